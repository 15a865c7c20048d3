//! The examples tell the stories that they promise.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod orders;

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use lock_testkit::service::{PostgresServer, RedisServer};

/// The folder of the examples' programs, built as whoever runs one builds it: this crate does not
/// depend on them.
fn programs() -> &'static PathBuf {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let deps = std::env::current_exe().unwrap();
        let profile = deps.ancestors().nth(2).unwrap();
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "-p",
            "examples",
            "--examples",
            "--features",
            "postgres",
        ]);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success());
        profile.join("examples")
    })
}

fn tells(name: &str, args: &[&str], words: &[&str]) {
    let output = Command::new(programs().join(name))
        .args(args)
        .output()
        .unwrap();
    let story = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{story}{errors}");
    for word in words {
        assert!(
            story.contains(word),
            "'{word}' is missing:\n{story}{errors}"
        );
    }
}

const QUICKSTART: [&str; 3] = [
    "is killed while it holds the lock",
    "0 left",
    "the sums agree",
];
const FENCING: [&str; 3] = [
    "was refused",
    "the value is [\"fresh\"]",
    "the stale holder was fenced out",
];

#[test]
fn quickstart_with_four_processes_and_no_server() {
    tells("quickstart", &[], &QUICKSTART);
}

#[test]
fn quickstart_in_memory() {
    tells("quickstart", &["memory:"], &QUICKSTART);
}

#[test]
fn the_stories_on_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("locks.db").display());
    tells("quickstart", &[&url], &QUICKSTART);
    tells("fencing", &[&url], &FENCING);
    tells("my_lock", &[&url], &["got my_lock", "released my_lock"]);
}

#[test]
fn fencing_in_memory() {
    tells("fencing", &[], &FENCING);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stories_on_redis() {
    let server = RedisServer::start().await.unwrap();
    let url = server.url();
    tokio::task::block_in_place(|| {
        tells("quickstart", &[url], &QUICKSTART);
        tells("fencing", &[url], &FENCING);
        tells("my_lock", &[url], &["got my_lock", "released my_lock"]);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn money_is_moved_in_postgres_and_a_stopped_holder_harms_no_account() {
    let server = PostgresServer::start().await.unwrap();
    let url = server.url();
    tokio::task::block_in_place(|| {
        let words = ["the stale transfer was refused", "both accounts are intact"];
        tells("transfer", &[url], &words);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn my_lock_waits_for_another_language_or_reports_it() {
    let server = RedisServer::start().await.unwrap();
    let set = ["SET", "my_lock", "python", "NX", "PX", "1500"];
    server.command(&set).await.unwrap();
    let url = server.url();
    tokio::task::block_in_place(|| {
        let held = Command::new(programs().join("my_lock"))
            .args([url, "--try"])
            .output()
            .unwrap();
        assert_eq!(held.status.code(), Some(1));
        let story = String::from_utf8_lossy(&held.stdout);
        assert!(story.contains("held by another program"), "{story}");
        tells("my_lock", &[url], &["got my_lock", "released my_lock"]);
    });
}

#[test]
fn a_wrong_argument_is_refused() {
    let wrong = Command::new(programs().join("my_lock"))
        .arg("--wait")
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}
