//! The options of a URL that are the client's own, whatever the store.

use std::time::Duration;

use lock_core::{Error, LockOptions, LockOptionsBuilder};

use crate::duration;
use crate::requirement::Requirement;
use crate::url::{StoreUrl, invalid};

/// What every URL may say.
pub(crate) const CLIENT_OPTIONS: [&str; 14] = [
    "drift_allowance",
    "forget_after",
    "handover_max",
    "handover_time",
    "label",
    "max_state_bytes",
    "patience",
    "poll_max",
    "poll_min",
    "renew_interval",
    "renewal_thread",
    "request_timeout",
    "require",
    "ttl",
];

/// Takes the client's options out of the URL; what it does not say is as it was.
pub(crate) fn take(
    url: &mut StoreUrl,
    mut options: LockOptionsBuilder,
) -> Result<LockOptions, Error> {
    if let Some(length) = take_length(url, "ttl")? {
        options = options.ttl(length);
    }
    if let Some(length) = take_length(url, "renew_interval")? {
        options = options.renew_interval(length);
    }
    if let Some(length) = take_length(url, "drift_allowance")? {
        options = options.drift_allowance(length);
    }
    if let Some(length) = take_length(url, "request_timeout")? {
        options = options.request_timeout(length);
    }
    if let Some(length) = take_length(url, "patience")? {
        options = options.patience(length);
    }
    let (least, most) = (take_length(url, "poll_min")?, take_length(url, "poll_max")?);
    if least.is_some() || most.is_some() {
        let default = options.clone().build()?.poll();
        options = options.poll(least.unwrap_or(default.0), most.unwrap_or(default.1));
    }
    let times = take_number(url, "handover_max", "a number of times")?;
    let longest = take_length(url, "handover_time")?;
    if times.is_some() || longest.is_some() {
        let default = options.clone().build()?.handover();
        options = options.handover(times.unwrap_or(default.0), longest.unwrap_or(default.1));
    }
    if let Some(bytes) = take_number(url, "max_state_bytes", "a number of bytes")? {
        options = options.max_state_bytes(bytes);
    }
    if let Some(text) = url.take("forget_after") {
        options = match text.as_str() {
            "never" => options.forget_never(),
            length => {
                let form = format!("never, or {}", duration::FORM);
                let length = duration::parse(length);
                options.forget_after(length.ok_or_else(|| wrong("forget_after", &form))?)
            }
        };
    }
    if let Some(label) = url.take("label") {
        options = options.label(label);
    }
    options.build()
}

/// Takes out of the URL whether renewals get a thread of their own.
pub(crate) fn take_renewal_thread(url: &mut StoreUrl) -> Result<bool, Error> {
    match url.take("renewal_thread").as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(wrong("renewal_thread", "true or false")),
    }
}

/// Takes the promises out of the URL that the store has to make.
pub(crate) fn take_requirements(url: &mut StoreUrl) -> Result<Vec<Requirement>, Error> {
    let Some(text) = url.take("require") else {
        return Ok(Vec::new());
    };
    text.split(',')
        .map(|word| {
            let found = Requirement::ALL.into_iter().find(|r| r.word() == word);
            let words = Requirement::ALL.map(Requirement::word).join(", ");
            found.ok_or_else(|| wrong("require", &format!("a list, with commas, of {words}")))
        })
        .collect()
}

pub(crate) fn take_length(url: &mut StoreUrl, name: &str) -> Result<Option<Duration>, Error> {
    let Some(text) = url.take(name) else {
        return Ok(None);
    };
    let length = duration::parse(&text).ok_or_else(|| wrong(name, duration::FORM))?;
    Ok(Some(length))
}

fn take_number<N>(url: &mut StoreUrl, name: &str, form: &str) -> Result<Option<N>, Error>
where
    N: std::str::FromStr<Err = std::num::ParseIntError>,
{
    let Some(text) = url.take(name) else {
        return Ok(None);
    };
    let number = text.parse().map_err(|e| wrong(name, form).with_source(e))?;
    Ok(Some(number))
}

/// The value is not shown: it may be anything that was put in the wrong place.
pub(crate) fn wrong(name: &str, form: &str) -> Error {
    invalid(format!("the option '{name}' of the URL must be {form}"))
}

#[cfg(test)]
mod tests;
