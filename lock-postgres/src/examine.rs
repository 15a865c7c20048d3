//! What there is to say about a server: version, what survives, standbys, pooler, clock, rights.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Comparison, Finding};
use sqlx::postgres::PgRow;

use crate::answers::get;
use crate::error::Failure;
use crate::store::{Lane, Store};

/// Looks at the server by one statement.
pub(crate) async fn examine(store: &Store) -> Result<Vec<Finding>, Failure> {
    let statement: Arc<str> = Arc::from(SQL);
    let comparison = Comparison::begin();
    let rows = store.ask(Lane::Shared, &statement, &[]).await?;
    let row = rows
        .first()
        .ok_or_else(|| Failure::unexpected("no row about the server"))?;
    let now_us: i64 = get(row, "now_us")?;
    let clock = comparison.end(Duration::from_micros(u64::try_from(now_us).unwrap_or(0)));
    let version: String = get(row, "version")?;
    Ok(vec![
        Finding::note("version", format!("PostgreSQL {version}")),
        persistence(row, store.unlogged)?,
        standbys(row)?,
        pooler(store.written_out),
        room(row)?,
        clock,
    ])
}

const SQL: &str = "SELECT current_setting('server_version') AS version, \
     current_setting('synchronous_commit') AS synchronous_commit, \
     current_setting('fsync')::boolean AS fsync, \
     current_setting('full_page_writes')::boolean AS full_page_writes, \
     current_setting('synchronous_standby_names') AS synchronous, \
     current_setting('max_connections')::bigint AS connections_max, \
     (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections, \
     (SELECT count(*) FROM pg_stat_replication) AS standbys, \
     (SELECT coalesce(max(extract(epoch FROM replay_lag)), 0)::double precision \
        FROM pg_stat_replication) AS lag_s, \
     (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us";

fn persistence(row: &PgRow, unlogged: bool) -> Result<Finding, Failure> {
    const TOPIC: &str = "persistence";
    if unlogged {
        return Ok(Finding::warning(
            TOPIC,
            "the table is UNLOGGED",
            "a crash of the server empties it: every lock and value is forgotten, and two holders can \
             coexist until the lease of the first ends; a standby has nothing of it",
            "use a logged table, which is the default, where that must not be",
        ));
    }
    let (fsync, pages): (bool, bool) = (get(row, "fsync")?, get(row, "full_page_writes")?);
    let commit: String = get(row, "synchronous_commit")?;
    Ok(match (fsync && pages, commit.as_str()) {
        (false, _) => Finding::warning(
            TOPIC,
            "`fsync` or `full_page_writes` is off",
            "a crash of the machine can forget acknowledged locks and values, or damage the database",
            "turn both on",
        ),
        (true, "off") => Finding::warning(
            TOPIC,
            "`synchronous_commit` is off",
            "a crash forgets the last moments: two holders can coexist until the lease of the first \
             ends, and acknowledged values can be gone",
            "set `synchronous_commit` to `on` for the user of the locks",
        ),
        (true, how) => Finding::note(
            TOPIC,
            format!("every commit is on disk (`synchronous_commit {how}`)"),
        ),
    })
}

fn standbys(row: &PgRow) -> Result<Finding, Failure> {
    const TOPIC: &str = "replicas";
    let count: i64 = get(row, "standbys")?;
    let lag_s: f64 = get(row, "lag_s")?;
    let (synchronous, commit): (String, String) =
        (get(row, "synchronous")?, get(row, "synchronous_commit")?);
    let waits = !synchronous.is_empty() && matches!(commit.as_str(), "on" | "remote_apply");
    Ok(match (count, waits) {
        (0, true) => Finding::warning(
            TOPIC,
            "a synchronous standby is asked for, and none is connected",
            "commits wait for it: locks are neither taken nor given up",
            "bring the standby back, or take it out of `synchronous_standby_names`",
        ),
        (0, false) => Finding::note(
            TOPIC,
            "none: nothing fails over, and a lost machine loses its locks and values",
        ),
        (count, true) => Finding::note(
            TOPIC,
            format!("{count}, and commits wait for those in `{synchronous}`; {lag_s:.1} s behind"),
        ),
        (count, false) => Finding::warning(
            TOPIC,
            format!("{count}, replicated asynchronously, {lag_s:.1} s behind"),
            "a failover can forget steps that were acknowledged: two holders can coexist until the \
             lease of the first ends",
            "name a standby in `synchronous_standby_names`",
        ),
    })
}

fn pooler(between: bool) -> Finding {
    if between {
        return Finding::warning(
            "pooler",
            "a pooler in transaction mode stands between",
            "nothing can listen behind it: waiters ask again and again, stand in no line, and a \
             holder learns of a forced release only at its next renewal",
            "connect the locks to the server itself, past the pooler: one client takes at most a \
             few connections",
        );
    }
    Finding::note("pooler", "none: wake-ups are pushed")
}

/// Whether there is room for one more client.
fn room(row: &PgRow) -> Result<Finding, Failure> {
    let (used, most): (i64, i64) = (get(row, "connections")?, get(row, "connections_max")?);
    let fact = format!("{used} of {most} connections are in use");
    if used.saturating_mul(10) < most.saturating_mul(9) {
        return Ok(Finding::note("connections", fact));
    }
    Ok(Finding::warning(
        "connections",
        fact,
        "a client that cannot reconnect cannot renew, and loses its leases",
        "raise `max_connections`, or use a pooler for everything but the locks",
    ))
}
