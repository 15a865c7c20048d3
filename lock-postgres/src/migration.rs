//! The table, made by numbered migrations.
//!
//! # Invariants
//! 1. A migration that was published is never changed; what is new is a migration of its own.
//! 2. Processes that start at once take turns by an advisory lock that ends with the transaction.

use std::time::Duration;

use lock_core::Clock;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use crate::answers::get;
use crate::error::{At, Failure};
use crate::statements::{Table, text};
use crate::store::within;

const MIGRATIONS: &[(i64, &str)] = &[(1, include_str!("sql/0001_records.sql"))];

/// The version that this library works with.
pub(crate) const VERSION: i64 = 1;

/// The statements that make the table, as one script for a tool of the user's own.
pub(crate) fn script(table: &Table) -> String {
    let mut script = format!("{BEGIN};\n{};\n", versions(table));
    for (version, sql) in MIGRATIONS {
        script.push_str(&filled(sql, table));
        script.push_str(&format!("{};\n", recorded(*version, table)));
    }
    script.push_str("COMMIT;\n");
    script
}

/// What one who migrated before this transaction did must be seen in it.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// Brings the table to the present version; does nothing if it is there. Waits as long as this for
/// other sessions, and ten times as long for the server to do it.
pub(crate) async fn apply(
    connection: &mut PgConnection,
    table: &Table,
    at: &At,
    clock: &dyn Clock,
    patience: Duration,
) -> Result<(), Failure> {
    let limit = patience.saturating_mul(10);
    match within(clock, limit, run(connection, table, at, patience)).await {
        Some(Err(failure)) if failure.pinned => Err(Failure::unavailable(format!(
            "another session migrates the table {} as well, or keeps it locked, and did not end \
             within {} ms; try again when it has",
            at.records,
            patience.as_millis()
        ))),
        Some(answer) => answer,
        None => Err(Failure::no_answer(at, limit)),
    }
}

async fn run(
    connection: &mut PgConnection,
    table: &Table,
    at: &At,
    patience: Duration,
) -> Result<(), Failure> {
    let sending = |error| Failure::sending(error, at);
    let mut transaction = connection.begin_with(BEGIN).await.map_err(sending)?;
    let wait = format!("SET LOCAL lock_timeout = {}", patience.as_millis());
    let lock = format!("SELECT pg_advisory_xact_lock({})", key(&table.records()));
    for sql in [wait, lock, versions(table)] {
        execute(&mut transaction, sql, at).await?;
    }
    let present = present(&mut transaction, table, at).await?;
    for (version, sql) in MIGRATIONS.iter().filter(|(version, _)| *version > present) {
        execute(&mut transaction, filled(sql, table), at).await?;
        execute(&mut transaction, recorded(*version, table), at).await?;
    }
    transaction.commit().await.map_err(sending)
}

/// Refuses a table of another version.
pub(crate) async fn check(
    connection: &mut PgConnection,
    table: &Table,
    at: &At,
    clock: &dyn Clock,
    limit: Duration,
) -> Result<(), Failure> {
    let looking = async {
        let version = present(connection, table, at).await?;
        Ok::<_, Failure>((version, unlogged(connection, table, at).await?))
    };
    // It was only read.
    let silent = || {
        Failure::unavailable(format!(
            "{} did not tell the version of the table {} within {} ms; does another session keep it \
             locked?",
            at.server,
            at.records,
            limit.as_millis()
        ))
    };
    let (version, unlogged) = within(clock, limit, looking).await.ok_or_else(silent)??;
    match version {
        VERSION if unlogged.is_some_and(|is| is != table.unlogged) => Err(of_other_kind(table, at)),
        VERSION => Ok(()),
        older if older < VERSION => Err(Failure::invalid(format!(
            "the table {} has version {older}, and this lock-postgres works with {VERSION}; run \
             PostgresOptions::migrate, or the statements of PostgresOptions::migration_sql by your \
             own tool",
            at.records
        ))),
        newer => Err(Failure::invalid(format!(
            "the table {} has version {newer}, and this lock-postgres works with {VERSION}; use a \
             newer lock-postgres, or another table",
            at.records
        ))),
    }
}

async fn present(connection: &mut PgConnection, table: &Table, at: &At) -> Result<i64, Failure> {
    let sql = format!(
        "SELECT coalesce(max(version), 0)::bigint AS version FROM {}",
        table.migrations()
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(sql))
        .fetch_all(&mut *connection)
        .await
        .map_err(|error| Failure::sending(error, at))?;
    match rows.as_slice() {
        [row] => get(row, "version"),
        _ => Err(Failure::unexpected("the version of the table")),
    }
}

/// Whether a crash of the server empties the table; `None` if it is not there.
async fn unlogged(
    connection: &mut PgConnection,
    table: &Table,
    at: &At,
) -> Result<Option<bool>, Failure> {
    let mut sql =
        "SELECT (SELECT c.relpersistence = 'u' FROM pg_class c WHERE c.oid = to_regclass("
            .to_owned();
    text(&table.records(), &mut sql);
    sql.push_str(")) AS unlogged");
    let row = sqlx::raw_sql(AssertSqlSafe(sql))
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| Failure::sending(error, at))?;
    get(&row, "unlogged")
}

fn of_other_kind(table: &Table, at: &At) -> Failure {
    let records = &at.records;
    Failure::invalid(if table.unlogged {
        format!(
            "the table {records} is logged, and an unlogged one was asked for; use another table, or \
             run ALTER TABLE {records} SET UNLOGGED while no client is connected"
        )
    } else {
        format!(
            "the table {records} is UNLOGGED: a crash of the server would empty it and free locks \
             that are held; run ALTER TABLE {records} SET LOGGED, use another table, or say \
             PostgresOptions::unlogged, or unlogged=true in the URL, if that is what you want"
        )
    })
}

async fn execute(connection: &mut PgConnection, sql: String, at: &At) -> Result<(), Failure> {
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await;
    done.map(drop).map_err(|error| Failure::sending(error, at))
}

fn versions(table: &Table) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (version bigint PRIMARY KEY, \
         applied_at timestamptz NOT NULL DEFAULT clock_timestamp())",
        table.migrations()
    )
}

fn recorded(version: i64, table: &Table) -> String {
    format!(
        "INSERT INTO {} (version) VALUES ({version}) ON CONFLICT DO NOTHING",
        table.migrations()
    )
}

fn filled(sql: &str, table: &Table) -> String {
    let kind = if table.unlogged { "UNLOGGED " } else { "" };
    sql.replace("{unlogged}", kind)
        .replace("{records}", &table.records())
}

/// FNV-1a over the name of the table: the same in every version and on every machine.
fn key(text: &str) -> i64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    i64::from_be_bytes(hash.to_be_bytes())
}
