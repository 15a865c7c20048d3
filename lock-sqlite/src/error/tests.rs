use lock_core::{Effect, Error, ErrorKind};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};

use super::{Failure, Phase};

async fn connection() -> SqliteConnection {
    let options = SqliteConnectOptions::new().in_memory(true);
    options.connect().await.unwrap()
}

async fn failure(connection: &mut SqliteConnection, statement: &str) -> sqlx::Error {
    let statement = AssertSqlSafe(statement.to_owned());
    sqlx::raw_sql(statement)
        .execute(connection)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_full_disk_is_said_to_be_full_and_only_a_commit_may_have_been_applied() {
    let mut connection = connection().await;
    sqlx::raw_sql("CREATE TABLE t (b BLOB); PRAGMA max_page_count = 4")
        .execute(&mut connection)
        .await
        .unwrap();
    for (phase, effect) in [
        (Phase::Opening, Effect::NotApplied),
        (Phase::Stepping, Effect::NotApplied),
        (Phase::Committing, Effect::Unknown),
    ] {
        let full = failure(&mut connection, "INSERT INTO t VALUES (zeroblob(100000))").await;
        let error = Error::from(Failure::sqlite(full, "locks.db", phase));
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.effect(), effect);
        let text = "the disk is full on which locks.db lies; make room on it";
        assert!(error.to_string().starts_with(text), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }
}

#[tokio::test]
async fn a_commit_that_failed_for_an_unknown_reason_has_an_unknown_effect() {
    let mut connection = connection().await;
    for (phase, effect) in [
        (Phase::Opening, Effect::NotApplied),
        (Phase::Stepping, Effect::NotApplied),
        (Phase::Committing, Effect::Unknown),
    ] {
        let refused = failure(&mut connection, "COMMIT").await;
        let error = Error::from(Failure::sqlite(refused, "locks.db", phase));
        assert_eq!(error.effect(), effect);
        let gone = Error::from(Failure::sqlite(
            sqlx::Error::WorkerCrashed,
            "locks.db",
            phase,
        ));
        assert_eq!(gone.effect(), effect);
        assert!(gone.is_retryable());
    }
}

#[tokio::test]
async fn a_commit_that_others_kept_from_the_file_was_not_applied() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("locks.db"))
        .busy_timeout(std::time::Duration::ZERO)
        .create_if_missing(true);
    let mut writes = options.connect().await.unwrap();
    let mut others = options.connect().await.unwrap();
    let say = async |connection: &mut SqliteConnection, statement: &'static str| {
        sqlx::raw_sql(statement).execute(connection).await.unwrap();
    };
    say(&mut writes, "CREATE TABLE t (n)").await;
    say(&mut others, "BEGIN; SELECT * FROM t").await;
    say(&mut writes, "BEGIN IMMEDIATE; INSERT INTO t VALUES (1)").await;
    let busy = failure(&mut writes, "COMMIT").await;
    let error = Failure::sqlite(busy, "locks.db", Phase::Committing);
    assert!(error.busy);
    assert_eq!(Error::from(error).effect(), Effect::NotApplied);
}

#[test]
fn what_the_file_system_refuses_says_what_to_do() {
    use std::io::ErrorKind as Io;
    let table = [
        (
            Io::PermissionDenied,
            ErrorKind::Denied,
            "permission denied; give this user",
        ),
        (
            Io::ReadOnlyFilesystem,
            ErrorKind::Denied,
            "is mounted read-only; choose",
        ),
        (
            Io::StorageFull,
            ErrorKind::Unavailable,
            "the disk is full; make room",
        ),
        (
            Io::QuotaExceeded,
            ErrorKind::Unavailable,
            "the disk is full; make room",
        ),
        (Io::Other, ErrorKind::Unavailable, "cannot make locks.db"),
    ];
    for (io, kind, part) in table {
        let error = Error::from(Failure::file(io.into(), "cannot make locks.db"));
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(part), "{error}");
    }
}
