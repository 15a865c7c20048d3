//! [`StoreUrl`]: the URL of a store, taken apart; no message shows more of it than its scheme and the
//! names of its options.
//!
//! # Invariants
//! 1. A text of the URL that may be part of a password is in no message: what stands before the
//!    query, and the query itself where it holds an `@`, which a password with a bare `?` would put
//!    there.

use std::fmt;

use lock_core::{Error, ErrorKind};

/// The URL of a store: where it is, and the options for its backend.
///
/// A backend of another crate is given one ([`Connector::scheme`](crate::Connector::scheme)).
/// `Debug` shows the scheme and the options' names, and nothing that may be a password.
#[derive(Clone)]
pub struct StoreUrl {
    scheme: String,
    address: String,
    options: Vec<(String, String)>,
}

impl StoreUrl {
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let scheme = match url.split_once(':') {
            Some((scheme, _)) if is_scheme(scheme) => scheme.to_owned(),
            _ => {
                return Err(invalid(
                    "not the URL of a store; it looks like sqlite:locks.db or redis://127.0.0.1/",
                ));
            }
        };
        let (address, query) = match url.split_once('?') {
            Some((address, query)) => (address, Some(query)),
            None => (url, None),
        };
        if url.contains('#') {
            return Err(invalid(
                "the URL of a store has no fragment (#…); a '#' in a password is written %23",
            ));
        }
        let mut options: Vec<(String, String)> = Vec::new();
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            let (name, value) = option(query.unwrap_or_default(), pair)?;
            if options.iter().any(|(known, _)| *known == name) {
                return Err(invalid(format!("the URL has the option '{name}' twice")));
            }
            options.push((name, value));
        }
        Ok(Self {
            scheme,
            address: address.to_owned(),
            options,
        })
    }

    /// The scheme: `redis`, `sqlite`, ….
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The URL without its options. It may hold a password: put it into no message.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The value of one of the options that the backend declared, percent signs decoded.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        let found = self.options.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Takes an option out.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.options.iter().position(|(known, _)| known == name)?;
        Some(self.options.remove(at).1)
    }

    /// Refuses an option that is none of these.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Error> {
        let unknown = self
            .options
            .iter()
            .find(|(name, _)| !known.contains(&name.as_str()));
        let Some((name, _)) = unknown else {
            return Ok(());
        };
        Err(invalid(format!(
            "a {}: URL has no option '{name}'; it knows {}",
            self.scheme,
            known.join(", ")
        )))
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<&str> = self.options.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("StoreUrl")
            .field("scheme", &self.scheme)
            .field("options", &options)
            .finish_non_exhaustive()
    }
}

/// As RFC 3986 has it, and lower case, so that there is one way to write each.
pub(crate) fn is_scheme(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
}

fn option(query: &str, pair: &str) -> Result<(String, String), Error> {
    if query.contains('@') {
        return Err(invalid(
            "the URL has an '@' behind a '?'; in a password a '?' is written %3F, and in an option \
             an '@' is written %40",
        ));
    }
    let well_formed = pair.split_once('=').filter(|(name, _)| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    });
    let Some((name, value)) = well_formed else {
        return Err(invalid(
            "what stands behind the '?' of a store's URL is name=value&name=value…, with names in \
             lower case",
        ));
    };
    let value = decoded(value).ok_or_else(|| {
        invalid(format!(
            "the value of the option '{name}' is no UTF-8 text with %XX"
        ))
    })?;
    Ok((name.to_owned(), value))
}

/// Decodes `%XX`; `None` if one is torn or the text is no UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let (digits, after) = after.split_at_checked(2)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests;
