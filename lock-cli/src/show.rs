//! `dlock status` and `dlock list`: who holds what.

use std::time::Duration;

use distributed_mutex::{
    Clock, Error, HolderInfo, LabelParts, LockInfo, LockOptions, Previous, SystemClock,
};
use serde_json::{Value, json};

use crate::breaks::{self, Break};
use crate::cli::{ListArgs, StatusArgs};
use crate::codes;
use crate::length::show;
use crate::output::{Escaped, Style, complain, failed, print, print_json, styled, table, whole};
use crate::store;

/// Shows one lock.
pub(crate) async fn status(args: &StatusArgs, url: Option<&str>) -> u8 {
    let (info, last_break) = match looked_at(&args.name, url).await {
        Ok(seen) => seen,
        Err(e) => return failed(&e),
    };
    // Who holds the lock is worth knowing without it.
    let last_break = last_break.unwrap_or_else(|e| {
        complain(format_args!(
            "the record of breaks cannot be read: {}",
            Escaped(&whole(&e))
        ));
        None
    });
    if args.json {
        let mut shown = as_json(&info);
        if let Value::Object(fields) = &mut shown {
            let _before = fields.insert("last_break".to_owned(), json!(last_break));
        }
        print_json(&shown);
    } else {
        print(page(&info, last_break.as_ref()));
    }
    match info.holder {
        Some(_) => codes::OK,
        None => codes::REFUSED,
    }
}

/// The lock, and its last break if that can be read.
async fn looked_at(
    name: &str,
    url: Option<&str>,
) -> Result<(LockInfo, Result<Option<Break>, Error>), Error> {
    let locks = store::connect(url, LockOptions::builder()).await?;
    let info = locks.inspect(name).await?;
    Ok((info, breaks::last(&locks, name).await))
}

/// Lists the locks that are held.
pub(crate) async fn list(args: &ListArgs, url: Option<&str>) -> u8 {
    let locks = match store::connect(url, LockOptions::builder()).await {
        Ok(locks) => locks,
        Err(e) => return failed(&e),
    };
    let clock = SystemClock::new();
    loop {
        let mut infos = match locks.list(&args.prefix, args.limit).await {
            Ok(infos) => infos,
            Err(e) => return failed(&e),
        };
        infos.sort_by(|a, b| a.name.cmp(&b.name));
        if args.json {
            let all: Vec<Value> = infos.iter().map(as_json).collect();
            print_json(&all);
            return codes::OK;
        }
        let text = lines(&infos, args);
        if !args.watch {
            print(text);
            return codes::OK;
        }
        // Home, the lines, and the rest of the screen cleared: no flicker.
        let text = text.replace('\n', "\u{1b}[K\n");
        print(format_args!("\u{1b}[H{text}\u{1b}[J"));
        let next = clock.now().after(WATCH);
        clock.sleep_until(next).await;
    }
}

const WATCH: Duration = Duration::from_secs(1);

fn lines(infos: &[LockInfo], args: &ListArgs) -> String {
    if infos.is_empty() && !args.watch {
        return String::new();
    }
    let head = ["NAME", "HELD", "LEFT", "WAITING", "TOKEN", "HOLDER"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for info in infos {
        let holder = info.holder.clone().unwrap_or_else(HolderInfo::unknown);
        rows.push(vec![
            info.name.to_string(),
            or_unknown(holder.held_for.map(show)),
            holder.expires_in.map_or_else(|| "for ever".into(), show),
            info.waiting.to_string(),
            or_unknown(holder.token.map(|token| token.get().to_string())),
            who(&holder),
        ]);
    }
    table(&rows)
}

fn or_unknown(text: Option<String>) -> String {
    text.unwrap_or_else(|| "?".to_owned())
}

/// The holder as its label says, or as far as it is known.
fn who(holder: &HolderInfo) -> String {
    match (holder.label.is_empty(), &holder.owner) {
        (false, _) => LabelParts::of(&holder.label).to_string(),
        (true, Some(owner)) => format!("owner {owner}"),
        (true, None) => "another program".to_owned(),
    }
}

/// `web-3 pid 4711 (dlock), held for 3m 12s, 7.1 s left`
pub(crate) fn sentence(holder: &HolderInfo) -> String {
    let mut text = who(holder);
    if let Some(held_for) = holder.held_for {
        text.push_str(&format!(", held for {}", show(held_for)));
    }
    match holder.expires_in {
        Some(left) => text.push_str(&format!(", {} left if it is not renewed", show(left))),
        None => text.push_str(", without an end"),
    }
    text
}

fn page(info: &LockInfo, last_break: Option<&Break>) -> String {
    let mut rows: Vec<(&str, String)> = Vec::new();
    rows.push(("lock", info.name.to_string()));
    match &info.holder {
        None => rows.push(("state", styled(Style::Good, "free"))),
        Some(holder) => {
            rows.push(("state", styled(Style::Bold, "held")));
            holder_rows(holder, &mut rows);
        }
    }
    rows.push(("waiting", info.waiting.to_string()));
    if let (None, Some(token)) = (&info.holder, info.last_token) {
        rows.push(("last token", token.get().to_string()));
    }
    rows.push(("before", before(info.previous)));
    if let Some(last) = last_break {
        rows.push(("last break", format!("{}, by {}", last.when(), last.by())));
        rows.push(("  from", last.from()));
        rows.push(("  reason", last.reason()));
    }
    let lines = rows
        .iter()
        .map(|(key, value)| format!("{key:<11}{value}\n"));
    lines.collect()
}

fn holder_rows(holder: &HolderInfo, rows: &mut Vec<(&str, String)>) {
    rows.push(("holder", who(holder)));
    let trace = LabelParts::of(&holder.label).trace;
    if let Some(trace) = trace {
        rows.push(("trace", Escaped(&trace).to_string()));
    }
    rows.push(("held for", or_unknown(holder.held_for.map(show))));
    rows.push((
        "time left",
        match holder.expires_in {
            Some(left) => format!("{} if it is not renewed", show(left)),
            None => "it has no end: `dlock break` frees it".to_owned(),
        },
    ));
    if let Some(token) = holder.token {
        rows.push(("token", token.get().to_string()));
    }
}

/// How the last lease that is over ended.
fn before(previous: Previous) -> String {
    match previous {
        Previous::Abandoned { token, .. } => format!(
            "the lease with token {} ran out: its holder crashed, hung or was cut off",
            token.get()
        ),
        Previous::First => "no lease on record".to_owned(),
        Previous::Forced => "the last lease that is over was broken by force".to_owned(),
        Previous::Released => "the last lease that is over was given up".to_owned(),
        _ => "unknown".to_owned(),
    }
}

fn as_json(info: &LockInfo) -> Value {
    let holder = info.holder.as_ref().map(|holder| {
        let parts = LabelParts::of(&holder.label);
        json!({
            "owner": holder.owner.map(|owner| owner.to_string()),
            "token": holder.token.map(|token| token.get()),
            "held_for_ms": holder.held_for.map(millis),
            "expires_in_ms": holder.expires_in.map(millis),
            "label": holder.label,
            "host": parts.host,
            "pid": parts.pid,
            "program": parts.program,
            "text": parts.text,
            "trace": parts.trace,
        })
    });
    let previous = match info.previous {
        Previous::Abandoned { .. } => "abandoned",
        Previous::First => "first",
        Previous::Forced => "forced",
        Previous::Released => "released",
        _ => "unknown",
    };
    json!({
        "name": info.name.as_str(),
        "held": info.holder.is_some(),
        "holder": holder,
        "waiting": info.waiting,
        "last_token": info.last_token.map(|token| token.get()),
        "previous": previous,
    })
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
