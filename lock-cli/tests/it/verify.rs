//! `dlock verify`: on stores that are well, on one that is not, and what is left behind.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use lock_testkit::service::{PostgresServer, RedisServer};
use rustix::process::Signal;

use crate::hand::{Place, Ran, Running, until, until_true};

async fn verify(url: &str, words: &[&str]) -> Ran {
    let place = Place::at(url);
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    let ran = tokio::task::spawn_blocking(move || {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        place.run(&[&["verify"], &words[..]].concat())
    });
    ran.await.unwrap()
}

/// A statement without failures that names the backend, and reasons for what was not run.
#[track_caller]
fn passes(ran: &Ran, backend: &str) {
    assert_eq!(ran.code, 0, "{ran:?}");
    let statement = ran.out.lines().last().unwrap_or_default();
    let names = format!("backend {backend}, profile smoke");
    assert!(statement.contains(&names), "{statement}");
    assert!(!statement.contains("FAIL"), "{statement}");
    let reason = "plans/server-kill: not done to a server in use";
    assert!(ran.out.contains(reason), "{}", ran.out);
}

fn folders(place: &Place) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(place.file("")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.to_string_lossy().contains("/.dlock-verify-"))
        .collect()
}

#[tokio::test]
async fn a_file_conforms_and_nothing_is_left_beside_it() {
    let place = Place::new();
    let url = format!("sqlite:{}", place.file("locks.db").display());
    let user = Place::at(&url);
    let _set = user.run(&["set", "stock", "7"]).expect(0, "");
    passes(&verify(&url, &[]).await, "sqlite");
    assert_eq!(folders(&place), [] as [PathBuf; 0]);
    assert_eq!(user.run(&["get", "stock"]).out, "7\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_conforms_and_only_what_ends_by_itself_is_left_on_it() {
    let server = RedisServer::start().await.unwrap();
    let url = format!("{}?namespace=shop:", server.url());
    let user = Place::at(&url);
    let _set = user.run(&["set", "stock", "7"]).expect(0, "");
    passes(&verify(&url, &[]).await, "redis");
    assert_eq!(user.run(&["get", "stock"]).out, "7\n");
    assert_eq!(keys(&server, "ms == -1").await, 0);
    // Of hundreds of names. One had tokens reserved far ahead, below which no other may be granted.
    assert!(keys(&server, "ms > 30000").await <= 1);
}

/// How many keys of runs there are whose time left is so.
async fn keys(server: &RedisServer, condition: &str) -> i64 {
    let script = format!(
        "local count = 0
        for _, key in ipairs(redis.call('KEYS', '*dlock-verify-*')) do
            local ms = redis.call('PTTL', key)
            if {condition} then count = count + 1 end
        end
        return count"
    );
    let reply = server.command(&["EVAL", &script, "0"]).await.unwrap();
    reply.integer().unwrap()
}

/// With the connections that a server has unless told otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_conforms_and_the_rows_are_to_be_forgotten() {
    let server = PostgresServer::start().await.unwrap();
    let url = format!("{}?migrate=true", server.url());
    let user = Place::at(&url);
    let _set = user.run(&["set", "stock", "7"]).expect(0, "");
    passes(&verify(&url, &[]).await, "postgres");
    assert_eq!(user.run(&["get", "stock"]).out, "7\n");
    let stay = "SELECT count(*) FROM lock_records \
        WHERE forget_at IS NULL OR forget_at > now() + interval '30 s'";
    // That of the user, and that with tokens reserved far ahead.
    let count = server.sql(stay).await.unwrap();
    let count = count.concat().concat();
    assert!(["1", "2"].contains(&count.as_str()), "{count}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_forgets_is_found() {
    let server = RedisServer::start().await.unwrap();
    let is_over = AtomicBool::new(false);
    let flushing = async {
        while !is_over.load(Ordering::SeqCst) {
            server.command(&["FLUSHALL"]).await.unwrap();
        }
    };
    let verifying = async {
        let ran = verify(server.url(), &["--case", "steps/", "--seed", "7"]).await;
        is_over.store(true, Ordering::SeqCst);
        ran
    };
    let (ran, ()) = tokio::join!(verifying, flushing);
    let ran = ran.expect(1, "");
    assert!(ran.out.contains("FOUND      steps/"), "{}", ran.out);
    assert!(ran.out.contains("\nseed 7\n"), "{}", ran.out);
    assert!(ran.out.contains("FAILURES"), "{}", ran.out);
}

#[tokio::test]
async fn a_store_that_is_not_there_is_no_finding() {
    let ran = verify("redis://127.0.0.1:1/?connect_timeout=300ms", &[]).await;
    let ran = ran.expect(69, "127.0.0.1:1");
    assert_eq!(ran.out, "");
}

#[test]
fn a_case_that_there_is_not_is_no_success() {
    let words = ["verify", "--case", "no-such-case"];
    let _ran = Place::new().run(&words).expect(64, "no case has");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_run_leaves_on_a_server_ends_by_itself() {
    let server = RedisServer::start().await.unwrap();
    let place = Place::at(server.url());
    let running = Running(place.dlock(&["verify"]).spawn().unwrap());
    // Values that are written to be kept are among so many.
    while keys(&server, "true").await < 100 {
        assert_eq!(keys(&server, "ms == -1").await, 0);
    }
    running.signal(Signal::KILL);
    assert_eq!(running.end().code, -1);
    assert_eq!(keys(&server, "ms == -1").await, 0);
}

#[test]
fn a_run_that_is_interrupted_leaves_nothing_behind() {
    let place = Place::new();
    let url = format!("sqlite:{}", place.file("locks.db").display());
    let running = Running(place.dlock(&["verify", "--url", &url]).spawn().unwrap());
    let folder = until("a folder of its own", || folders(&place).pop());
    until_true("a file in it", || folder.join("locks.db").exists());
    running.signal(Signal::INT);
    let _ended = running.end().expect(130, "ended by a signal");
    assert_eq!(folders(&place), [] as [PathBuf; 0]);
}
