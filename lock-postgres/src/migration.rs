//! The table, made by numbered migrations.
//!
//! # Invariants
//! 1. A migration that was published is never changed; what is new is a migration of its own.
//! 2. Processes that start at once take turns by an advisory lock that ends with the transaction.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use crate::answers::get;
use crate::error::{At, Failure};
use crate::statements::Table;

const MIGRATIONS: &[(i64, &str)] = &[(1, include_str!("sql/0001_records.sql"))];

/// The version that this library works with.
pub(crate) const VERSION: i64 = 1;

/// The statements that make the table, as one script for a tool of the user's own.
pub(crate) fn script(table: &Table) -> String {
    let mut script = format!("BEGIN;\n{};\n", versions(table));
    for (version, sql) in MIGRATIONS {
        script.push_str(&filled(sql, table));
        script.push_str(&format!("{};\n", recorded(*version, table)));
    }
    script.push_str("COMMIT;\n");
    script
}

/// Brings the table to the present version; does nothing if it is there.
pub(crate) async fn apply(
    connection: &mut PgConnection,
    table: &Table,
    at: &At,
) -> Result<(), Failure> {
    let sending = |error| Failure::sending(error, at);
    let mut transaction = connection.begin().await.map_err(sending)?;
    let lock = format!("SELECT pg_advisory_xact_lock({})", key(&table.records()));
    for sql in [lock, versions(table)] {
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
) -> Result<(), Failure> {
    match present(connection, table, at).await? {
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
    sql.replace("{records}", &table.records())
}

/// FNV-1a over the name of the table: the same in every version and on every machine.
fn key(text: &str) -> i64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    i64::from_be_bytes(hash.to_be_bytes())
}
