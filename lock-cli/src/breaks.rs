//! The record of breaks: the value of a lock in the same store, so that every store can keep it.

use std::time::Duration;

use distributed_mutex::{DistributedMutex, Error, HolderInfo, LabelParts, LockClient, LockOptions};
use nix::unistd::{Uid, User};
use serde::{Deserialize, Serialize};

use crate::cli::BreaksArgs;
use crate::codes;
use crate::length::show;
use crate::moment;
use crate::output::{Escaped, failed, print, print_json, table};
use crate::store;

/// The lock whose value the record is. `dlock` lets nobody else take it.
pub(crate) const NAME: &str = "dlock/breaks";

/// So many are kept: with names, reasons and labels as long as they may be, and every character
/// escaped, they stay below the bound of a value.
const KEPT: usize = 100;

/// The longest reason, in bytes.
pub(crate) const REASON_BYTES_MAX: usize = 500;

/// One that broke a lock and died before its record was written keeps it for this long.
const PATIENCE: Duration = Duration::from_secs(12);

/// That a lock was taken from its holder.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Break {
    name: String,
    /// By the clock of who broke it.
    at_ms: u64,
    user: String,
    host: Option<String>,
    pid: u32,
    reason: String,
    /// Of the holder that lost the lock.
    token: Option<u64>,
    label: String,
}

impl Break {
    /// That we have just taken this lock from this holder.
    pub(crate) fn new(name: &str, reason: &str, holder: &HolderInfo) -> Self {
        let uid = Uid::effective();
        let user = User::from_uid(uid).ok().flatten();
        Self {
            name: name.to_owned(),
            at_ms: moment::now_ms(),
            user: user.map_or_else(|| format!("uid {uid}"), |user| user.name),
            host: store::label(None).parts().host,
            pid: std::process::id(),
            reason: reason.to_owned(),
            token: holder.token.map(|token| token.get()),
            label: holder.label.clone(),
        }
    }

    /// `alice on web-3, pid 4711`
    pub(crate) fn by(&self) -> String {
        let host = self.host.as_deref().unwrap_or("an unknown host");
        let text = format!("{} on {host}, pid {}", self.user, self.pid);
        Escaped(&text).to_string()
    }

    /// `2026-11-24 03:04:05 UTC, 3m 2s ago`
    pub(crate) fn when(&self) -> String {
        let ago = moment::now_ms().saturating_sub(self.at_ms);
        let ago = show(Duration::from_millis(ago));
        format!("{}, {ago} ago", moment::utc(self.at_ms))
    }

    pub(crate) fn reason(&self) -> String {
        Escaped(&self.reason).to_string()
    }

    /// Who lost the lock: `web-2 pid 99 (shop), token 17`
    pub(crate) fn from(&self) -> String {
        let holder = match self.label.as_str() {
            "" => "a holder without a label".to_owned(),
            label => LabelParts::of(label).to_string(),
        };
        match self.token {
            Some(token) => format!("{holder}, token {token}"),
            None => holder,
        }
    }
}

/// Adds a break to the record, which forgets the oldest beyond its bound.
pub(crate) async fn record(locks: &LockClient, new: Break) -> Result<(), Error> {
    let mut breaks = mutex(locks)?.lock_timeout(PATIENCE).await?;
    breaks.push(new);
    let over = breaks.len().saturating_sub(KEPT);
    drop(breaks.drain(..over));
    breaks.commit().await
}

/// The last break of a lock.
pub(crate) async fn last(locks: &LockClient, name: &str) -> Result<Option<Break>, Error> {
    let breaks = mutex(locks)?.peek().await?.value;
    Ok(breaks.into_iter().rfind(|one| one.name == name))
}

fn mutex(locks: &LockClient) -> Result<DistributedMutex<Vec<Break>>, Error> {
    // Whatever the URL says of other values.
    let options = LockOptions::builder().forget_never().build()?;
    locks.mutex_with(NAME, Vec::new).options(options).build()
}

/// Lists the breaks on record, the last one last.
pub(crate) async fn list(args: &BreaksArgs, url: Option<&str>) -> u8 {
    let read = async {
        let locks = store::connect(url, LockOptions::builder()).await?;
        Ok::<_, Error>(mutex(&locks)?.peek().await?.value)
    };
    let mut breaks = match read.await {
        Ok(breaks) => breaks,
        Err(e) => return failed(&e),
    };
    breaks.retain(|one| one.name.starts_with(&args.prefix));
    if args.json {
        print_json(&breaks);
    } else if !breaks.is_empty() {
        print(lines(&breaks));
    }
    codes::OK
}

fn lines(breaks: &[Break]) -> String {
    let head = ["NAME", "WHEN", "BY", "FROM", "REASON"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for one in breaks {
        rows.push(vec![
            Escaped(&one.name).to_string(),
            moment::utc(one.at_ms),
            one.by(),
            one.from(),
            one.reason(),
        ]);
    }
    table(&rows)
}
