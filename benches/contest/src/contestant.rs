//! [`Contestant`]: a lock as a service would use it, and what is timed of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{distributed_lock, floor_postgres, floor_redis, ours, rslock};

/// What goes wrong anywhere.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A lock as a service would use it: one value for all tasks of a process.
#[async_trait]
pub(crate) trait Contestant: Send + Sync {
    /// Locks, releases, and says how long it waited for the grant.
    async fn plain(&self, name: &str) -> Result<Duration, Failure>;

    /// Locks, reads a counter, writes it one larger, releases, and says how long it waited.
    async fn counter(&self, name: &str) -> Result<Duration, Failure>;

    /// The same by whatever is made for it.
    async fn update(&self, name: &str) -> Result<Duration, Failure> {
        self.counter(name).await
    }

    /// What the counter stands at.
    async fn total(&self, name: &str) -> Result<u64, Failure>;

    /// The least that the store can be asked.
    async fn ping(&self) -> Result<(), Failure>;
}

/// How long every lease may last: none runs out while it is measured.
pub(crate) const TTL: Duration = Duration::from_secs(30);

/// How often a lock without wake-ups is tried again.
pub(crate) const RETRY: Duration = Duration::from_millis(10);

/// The names of those that take part on this store, the floor first.
pub(crate) fn on(url: &str) -> &'static [&'static str] {
    if url.starts_with("redis") {
        &[
            "floor",
            "ours",
            "rslock",
            "rslock tuned",
            "distributed-lock",
        ]
    } else {
        &[
            "floor",
            "ours",
            "floor unlogged",
            "ours unlogged",
            "advisory lock",
            "SELECT 1",
            "distributed-lock",
            "distributed-lock tuned",
        ]
    }
}

/// The contestant of this name at this store.
pub(crate) async fn enter(name: &str, url: &str) -> Result<Arc<dyn Contestant>, Failure> {
    let redis = url.starts_with("redis");
    Ok(match (name, redis) {
        ("floor", true) => Arc::new(floor_redis::Floor::new(url).await?),
        ("floor", false) => Arc::new(floor_postgres::Floor::new(url, true).await?),
        ("floor unlogged", false) => Arc::new(floor_postgres::Floor::new(url, false).await?),
        ("advisory lock", false) => Arc::new(floor_postgres::Advisory::new(url).await?),
        ("SELECT 1", false) => Arc::new(floor_postgres::Nothing::new(url).await?),
        ("ours", _) => Arc::new(ours::Ours::new(url).await?),
        ("ours unlogged", false) => Arc::new(ours::Ours::unlogged(url).await?),
        ("rslock", true) => Arc::new(rslock::Rslock::new(url, false).await?),
        ("rslock tuned", true) => Arc::new(rslock::Rslock::new(url, true).await?),
        ("distributed-lock", true) => Arc::new(distributed_lock::OnRedis::new(url).await?),
        ("distributed-lock", false) => {
            Arc::new(distributed_lock::OnPostgres::new(url, false).await?)
        }
        ("distributed-lock tuned", false) => {
            Arc::new(distributed_lock::OnPostgres::new(url, true).await?)
        }
        _ => return Err(format!("{name} does not take part on this store").into()),
    })
}

/// What each contestant is, for the foot of the table.
pub(crate) fn about(url: &str) -> &'static [(&'static str, &'static str)] {
    if url.starts_with("redis") {
        &[
            (
                "floor",
                "`SET NX PX` and a compare-and-delete script by hand, on one multiplexed connection of the same client library, tried again each 10 ms; a counter by `GET` and `SET` between",
            ),
            ("ours", "`distributed-mutex` with its default options"),
            (
                "rslock",
                "rslock 0.10.0, `acquire`, defaults; a counter by `GET` and `SET` between",
            ),
            ("rslock tuned", "the same with a retry each 10 ms"),
            (
                "distributed-lock",
                "distributed-lock 0.2.0; its `acquire` does not wait, so it is called again each 10 ms",
            ),
        ]
    } else {
        &[
            (
                "floor",
                "a row with owner and expiry taken by one `INSERT … ON CONFLICT … DO UPDATE … WHERE`, given back by one `UPDATE`, both prepared, on a pool of 4 connections of the same client library, tried again each 10 ms; a counter by `SELECT` and `INSERT … ON CONFLICT … DO UPDATE` between. Each statement that writes is a commit, which waits for the log to be flushed",
            ),
            (
                "ours",
                "`distributed-mutex` with its default options; each step that writes is such a commit",
            ),
            (
                "floor unlogged",
                "the floor with its locks in an `UNLOGGED` table, which a crash of the server empties: no flush for the lock",
            ),
            (
                "ours unlogged",
                "ours with `unlogged=true`, which is such a table; a counter is kept in it, too",
            ),
            (
                "advisory lock",
                "`pg_advisory_lock` and `pg_advisory_unlock` by hand, on a connection that is kept between: no lease, no token, nothing written",
            ),
            ("SELECT 1", "no lock: the least that two statements take"),
            (
                "distributed-lock",
                "distributed-lock 0.2.0 (advisory locks, no lease, a connection for each lock held), defaults; a counter as the floor's",
            ),
            ("distributed-lock tuned", "the same with `use_transaction`"),
        ]
    }
}
