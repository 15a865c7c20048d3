//! A wrong URL, a store that is not there, a file that is none: each error says what to do, within
//! bounded time, and its causes say more than it did.
#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking; a store that is not there is given up in real time"
)]

use std::error::Error as _;
use std::fs::{self, Permissions};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use distributed_mutex::{Error, ErrorKind, connect};
use lock_testkit::service::{PostgresServer, RedisServer};

use crate::File;

/// What is said, each time by one level of the chain.
fn chain(error: &Error) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        texts.push(cause.to_string());
        source = cause.source();
    }
    texts
}

/// Connecting fails in time, with this kind and these words, and no cause is told twice.
async fn refused(url: &str, kind: ErrorKind, words: &[&str]) {
    let answer = tokio::time::timeout(BOUND, connect(url)).await;
    let error = answer
        .unwrap_or_else(|_| panic!("{url}: no answer"))
        .unwrap_err();
    let texts = chain(&error);
    assert_eq!(error.kind(), kind, "{url}: {texts:?}");
    for word in words {
        assert!(
            texts[0].contains(word),
            "{url}: '{word}' is missing in {texts:?}"
        );
    }
    for (at, text) in texts.iter().enumerate().skip(1) {
        let before = &texts[..at];
        let repeats = before.iter().any(|earlier| earlier.contains(text.as_str()));
        assert!(!repeats, "{url}: told twice: {texts:?}");
    }
}

/// Far more than any time-out here.
const BOUND: Duration = Duration::from_secs(60);

/// A port that nobody listens on: it was free, and is closed again.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn a_url_that_is_none_or_of_no_store_says_what_one_looks_like() {
    refused("", ErrorKind::Invalid, &["sqlite:locks.db", "redis://"]).await;
    refused("locks.db", ErrorKind::Invalid, &["sqlite:locks.db"]).await;
    refused("SQLITE:x", ErrorKind::Invalid, &["sqlite:locks.db"]).await;
    refused(
        "mysql://h/",
        ErrorKind::Unsupported,
        &["mysql", "postgres", "Connector"],
    )
    .await;
    refused("sqlite:", ErrorKind::Invalid, &["such as locks.db"]).await;
    refused(
        "postgres://h/?sslmode=always",
        ErrorKind::Invalid,
        &["sslmode", "prefer"],
    )
    .await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_given_up_in_time_and_named_without_its_password() {
    let port = free_port();
    for scheme in ["redis", "postgres"] {
        let url = format!("{scheme}://user:hunter2@127.0.0.1:{port}/?connect_timeout=500ms");
        let at = format!("127.0.0.1:{port}");
        refused(&url, ErrorKind::Unavailable, &[&at, "is it running"]).await;
        let error = connect(&url).await.unwrap_err();
        assert!(!format!("{:?} {error:?}", chain(&error)).contains("hunter2"));
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_in_time() {
    // It takes connections into its queue and never looks at them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap().to_string();
    let _keeps_the_port = TcpStream::connect(silent.local_addr().unwrap()).unwrap();
    for scheme in ["redis", "postgres"] {
        let url = format!("{scheme}://user@{at}/0?connect_timeout=300ms");
        refused(&url, ErrorKind::Unavailable, &[&at, "300 ms", "running"]).await;
    }
}

#[tokio::test]
async fn a_server_of_another_kind_is_told_as_such() {
    let (redis, postgres) = (
        RedisServer::start().await.unwrap(),
        PostgresServer::start().await.unwrap(),
    );
    let url = format!("redis://{}/?connect_timeout=1s", postgres.addr());
    refused(&url, ErrorKind::Unavailable, &["Redis"]).await;
    let url = format!("postgres://x@{}/x?connect_timeout=1s", redis.addr());
    refused(&url, ErrorKind::Unavailable, &["PostgreSQL"]).await;
}

#[tokio::test]
async fn a_file_that_cannot_keep_locks_says_what_to_do() {
    let file = File::new();
    let missing = file.folder.path().join("missing/locks.db");
    let url = format!("sqlite:{}", missing.display());
    refused(&url, ErrorKind::Invalid, &["missing", "make it"]).await;
    let folder = format!("sqlite:{}", file.folder.path().display());
    refused(
        &folder,
        ErrorKind::Invalid,
        &["not a regular file", "choose another path"],
    )
    .await;
    fs::write(file.path(), "this is a letter, and a long one, to somebody").unwrap();
    refused(
        &file.url(""),
        ErrorKind::Invalid,
        &["not an SQLite database", "choose another"],
    )
    .await;
}

/// Root may write anything, so a process of somebody else tries.
#[tokio::test]
async fn a_file_that_may_only_be_read_says_which_right_is_missing() {
    const URL: &str = "DISTRIBUTED_MUTEX_TEST_URL";
    if let Ok(url) = std::env::var(URL) {
        let words = [
            url.trim_start_matches("sqlite:"),
            "cannot be written by this user",
            "give it",
        ];
        return refused(&url, ErrorKind::Denied, &words).await;
    }
    let file = File::new();
    drop(connect(&file.url("")).await.unwrap());
    let allow =
        |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    allow(&file.path(), 0o444);
    allow(file.folder.path(), 0o555);
    let test = "refusals::a_file_that_may_only_be_read_says_which_right_is_missing";
    let mut other = Command::new(std::env::current_exe().unwrap());
    other.args([test, "--exact"]).env(URL, file.url(""));
    if fs::metadata(file.path()).unwrap().uid() == 0 {
        other.uid(65_534).gid(65_534);
    }
    let ended = other.output().unwrap();
    allow(file.folder.path(), 0o700);
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[tokio::test]
async fn who_waits_behind_others_of_its_process_is_told_that_the_store_was_not_asked() {
    let locks = connect("memory:").await.unwrap();
    let mutex = locks.mutex::<()>("m").unwrap();
    let guard = mutex.lock().await.unwrap();
    let error = mutex.lock_timeout(Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let text = error.to_string();
    assert!(text.contains("others in this process had it"), "{text}");
    assert!(
        text.contains("the store was not asked") && !text.contains("attempt"),
        "{text}"
    );
    guard.release().await.unwrap();
    locks.close(BOUND).await.unwrap();
    let closed = mutex.lock().await.unwrap_err().to_string();
    assert_eq!(closed, "cannot acquire lock 'm': the client was closed");
}
