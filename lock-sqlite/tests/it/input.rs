//! What is given is not what it must be.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::time::Duration;

use lock_core::{Error, ErrorKind, LockBackend};
use lock_sqlite::{SqliteBackend, SqliteOptions};

use crate::file::Locks;
use crate::other::{self, Other};
use crate::{asks, granted, granted_in_time, name, owner, until};

async fn refusal(locks: &Locks) -> Error {
    locks.options().connect().await.unwrap_err()
}

fn says(error: &Error, kind: ErrorKind, part: &str) {
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(part), "{error}");
}

#[tokio::test]
async fn a_folder_that_does_not_exist_is_named_and_not_made() {
    let locks = Locks::new();
    let path = locks.folder().join("missing/deep/locks.db");
    let error = SqliteBackend::open(&path).await.unwrap_err();
    says(
        &error,
        ErrorKind::Invalid,
        "missing/deep does not exist; make it",
    );
    assert!(!locks.folder().join("missing").exists());
}

#[tokio::test]
async fn what_is_no_file_and_what_is_no_folder_is_refused() {
    let locks = Locks::new();
    let error = SqliteBackend::open(locks.folder()).await.unwrap_err();
    says(&error, ErrorKind::Invalid, "is not a regular file");
    fs::write(locks.folder().join("file"), "").unwrap();
    let path = locks.folder().join("file/locks.db");
    assert!(SqliteBackend::open(path).await.is_err());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_not_touched() {
    let locks = Locks::new();
    let text = "these are the accounts of the year\n".repeat(100);
    fs::write(locks.path(), &text).unwrap();
    says(
        &refusal(&locks).await,
        ErrorKind::Invalid,
        "is not an SQLite database",
    );
    assert_eq!(fs::read_to_string(locks.path()).unwrap(), text);
}

#[tokio::test]
async fn a_database_of_another_application_is_refused_and_not_touched() {
    for made in [
        "CREATE TABLE accounts (n INTEGER)",
        "PRAGMA application_id = 7",
        "PRAGMA user_version = 1",
    ] {
        let locks = Locks::new();
        fs::write(locks.path(), "").unwrap();
        locks.sql(made).await;
        let before = fs::read(locks.path()).unwrap();
        let error = refusal(&locks).await;
        says(
            &error,
            ErrorKind::Invalid,
            "the database of another application",
        );
        assert_eq!(fs::read(locks.path()).unwrap(), before);
    }
}

#[tokio::test]
async fn tables_of_another_version_are_refused_with_both_numbers() {
    let locks = Locks::new();
    drop(locks.backend().await);
    locks.sql("PRAGMA user_version = 7").await;
    let error = refusal(&locks).await;
    says(&error, ErrorKind::Invalid, "tables of version 7");
    assert!(error.to_string().contains("knows version 1"), "{error}");
}

#[tokio::test]
async fn an_empty_file_becomes_a_database() {
    let locks = Locks::new();
    fs::write(locks.path(), "").unwrap();
    granted(&locks.backend().await, &asks("x", owner())).await;
}

#[tokio::test]
async fn the_files_are_for_their_owner_alone() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    granted(&backend, &asks("x", owner())).await;
    let mode = |name: &str| {
        let metadata = fs::metadata(locks.folder().join(name)).unwrap();
        (metadata.permissions().mode() & 0o7777, metadata.file_type())
    };
    for file in ["locks.db", "locks.db-wal", "locks.db-shm"] {
        assert_eq!(mode(file).0, 0o600, "{file}");
    }
    assert_eq!(mode("locks.db-wakeups").0, 0o700);
    let ears = locks.ears();
    let (bits, kind) = mode(&format!("locks.db-wakeups/{}", ears[0]));
    assert!(ears.len() == 1 && bits == 0o600 && kind.is_fifo());
}

#[tokio::test]
async fn a_file_shared_with_a_group_shares_its_wake_ups() {
    let locks = Locks::new();
    fs::write(locks.path(), "").unwrap();
    fs::set_permissions(locks.path(), fs::Permissions::from_mode(0o660)).unwrap();
    let _backend = locks.backend().await;
    let folder = locks.folder().join("locks.db-wakeups");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.clone()), 0o770);
    assert_eq!(mode(folder.join(&locks.ears()[0])), 0o660);
}

/// Root may write anything, so a process of somebody else tries.
#[tokio::test]
async fn a_file_or_folder_that_may_not_be_written_is_refused_with_what_to_do() {
    if let Some(file) = other::asked_for() {
        return be_denied(file).await;
    }
    let locks = Locks::new();
    drop(locks.backend().await);
    until(async || (fs::read_dir(locks.folder()).unwrap().count() == 1).then_some(())).await;
    let set = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    // The file may be read and not written; then there is none, and none may be made.
    set(&locks.path(), 0o444);
    for expected in ["cannot be written by this user", "permission denied"] {
        set(locks.folder(), 0o555);
        let mut command = Other::command(
            "input::a_file_or_folder_that_may_not_be_written_is_refused_with_what_to_do",
            &locks.path(),
        );
        command.env("EXPECTED", expected);
        if rustix::process::geteuid().is_root() {
            command.uid(65_534).gid(65_534);
        }
        let mut other = Other::spawn(&mut command);
        let status = other.end().await;
        set(locks.folder(), 0o700);
        assert!(status.success(), "{expected}");
        drop(fs::remove_file(locks.path()));
    }
}

/// The other part of the test above.
async fn be_denied(path: PathBuf) {
    let expected = std::env::var("EXPECTED").unwrap();
    let error = SqliteBackend::open(path).await.unwrap_err();
    says(&error, ErrorKind::Denied, &expected);
}

#[tokio::test]
async fn options_out_of_bounds_are_refused_with_the_bound() {
    let locks = Locks::new();
    let ms = Duration::from_millis;
    let wrong = [
        (locks.options().claim_time(ms(9)), "between 10 ms and 60 s"),
        (locks.options().busy_timeout(ms(0)), "between 1 ms and 60 s"),
        (
            locks.options().busy_timeout(ms(60_001)),
            "between 1 ms and 60 s",
        ),
        (
            locks.options().namespace("n".repeat(129)),
            "at most 128 bytes",
        ),
    ];
    for (options, part) in wrong {
        says(
            &options.connect().await.unwrap_err(),
            ErrorKind::Invalid,
            part,
        );
    }
    assert!(!locks.path().exists());
}

#[tokio::test]
async fn a_file_that_is_deleted_or_replaced_in_use_is_noticed_at_the_next_step() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    let request = asks("x", owner());
    let grant = granted(&backend, &request).await;
    fs::remove_file(locks.path()).unwrap();
    let error = backend.acquire(&request).await.unwrap_err();
    says(
        &error,
        ErrorKind::Unavailable,
        "was deleted while it was in use",
    );
    // It is made anew, and whoever comes by the same path sees the same locks.
    let next = granted_in_time(&backend, &asks("x", owner())).await;
    assert!(next.token > grant.token);
    let another = locks.backend().await;
    assert!(another.inspect(&name("x")).await.unwrap().holder.is_some());

    let other_file = Locks::new();
    drop(other_file.backend().await);
    until(async || (fs::read_dir(other_file.folder()).unwrap().count() == 1).then_some(())).await;
    fs::rename(other_file.path(), locks.path()).unwrap();
    for suffix in ["-wal", "-shm"] {
        let mut path = locks.path().into_os_string();
        path.push(suffix);
        drop(fs::remove_file(path));
    }
    let error = backend.acquire(&request).await.unwrap_err();
    says(
        &error,
        ErrorKind::Unavailable,
        "was replaced by another file",
    );
    granted_in_time(&backend, &request).await;
}

#[tokio::test]
async fn a_value_larger_than_a_row_is_refused_and_the_lease_lives_on() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    let request = asks("x", owner());
    let grant = granted(&backend, &request).await;
    let mut commit = crate::commits("x", request.owner, &grant, 1, "");
    commit.state = lock_core::State::new(lock_core::FormatTag::JSON, vec![0; 1_000_000_001]);
    let error = backend.commit(&commit).await.unwrap_err();
    says(&error, ErrorKind::Invalid, "larger than SQLite stores");
    assert_eq!(backend.peek(&name("x")).await.unwrap(), None);
    let again = crate::commits("x", request.owner, &grant, 1, "1");
    assert!(crate::is_committed(&backend.commit(&again).await.unwrap()));
}

#[test]
fn urls_that_name_no_file_are_refused() {
    for url in [
        "locks.db",
        "sqlite:",
        "sqlite://",
        "sqlite:/",
        "sqlite:..",
        "sqlite::memory:",
        "sqlite:locks.db?mode=ro",
        "sqlite:locks.db#x",
        "sqlite:a\0b",
        "redis://127.0.0.1/",
    ] {
        let error = SqliteOptions::new(url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{url:?}");
    }
    for url in [
        "sqlite:locks.db",
        "sqlite://locks.db",
        "sqlite:///a/b",
        "sqlite:/a/b c%20d",
    ] {
        assert!(SqliteOptions::new(url).is_ok(), "{url:?}");
    }
}
