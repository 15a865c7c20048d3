//! What a store keeps of breaks.

use distributed_mutex::{LockClient, connect};
use lock_testkit::service::{PostgresServer, RedisServer};
use serde_json::{Value, json};

use crate::hand::{Place, Ran};

const HOLD: &str = "echo > held; while :; do sleep 0.02; done";

/// Breaks a lock that a command of its own place holds.
fn broken(url: &str, name: &str, reason: &str) -> Ran {
    let place = Place::at(url);
    let holder = place.start(&["--label", "for the board", name], HOLD);
    let _held = place.until_written("held");
    let ran = place.run(&["break", name, "--reason", reason, "--yes"]);
    let _ended = holder.end().expect(75, "an operator released it by force");
    ran
}

fn breaks(place: &Place) -> Vec<Value> {
    let ran = place.run(&["breaks", "--json"]).expect(0, "");
    serde_json::from_str(&ran.out).unwrap()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn shows_a_break(url: &str) {
    let place = Place::at(url);
    assert_eq!(place.run(&["breaks"]).expect(0, "").out, "");
    assert_eq!(place.run(&["breaks", "--json"]).expect(0, "").out, "[]\n");
    for (name, reason) in [
        ("x", "it hangs"),
        ("y", "by mistake"),
        ("x", "it hangs again"),
    ] {
        let _broken = broken(url, name, reason).expect(0, "");
    }
    let all = breaks(&place);
    let said: Vec<_> = all
        .iter()
        .map(|one| (&one["name"], &one["reason"]))
        .collect();
    assert_eq!(
        said,
        [
            (&json!("x"), &json!("it hangs")),
            (&json!("y"), &json!("by mistake")),
            (&json!("x"), &json!("it hangs again")),
        ]
    );
    let last = all.last().unwrap();
    for key in ["at_ms", "pid", "token"] {
        assert!(last[key].as_u64().is_some_and(|n| n > 0), "{key}: {last}");
    }
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().into_owned();
    assert_eq!(last["host"], host.as_str());
    let label = last["label"].as_str().unwrap();
    assert!(label.contains("for the board"), "{label}");

    let status = place.run(&["status", "x"]).expect(1, "").out;
    let user = last["user"].as_str().unwrap();
    for part in [
        "last break 2".to_owned(),
        format!(" ago, by {user} on {host}, pid {}\n", last["pid"]),
        format!("(dlock): for the board, token {}\n", last["token"]),
        "  reason   it hangs again\n".to_owned(),
    ] {
        assert!(status.contains(&part), "{part:?} is not in {status}");
    }
    let status = place.run(&["status", "x", "--json"]).expect(1, "").out;
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status.get("last_break"), Some(last));
    let never = place.run(&["status", "never"]).expect(1, "").out;
    assert!(!never.contains("last break"), "{never}");

    let list = place.run(&["breaks", "x"]).expect(0, "").out;
    assert_eq!(list.lines().count(), 3, "{list}");
    assert!(
        list.contains("UTC") && !list.contains("by mistake"),
        "{list}"
    );
}

/// On every store alike.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_break_is_on_record_with_who_when_why_and_from_whom() {
    let folder = Place::new();
    let redis = RedisServer::start().await.unwrap();
    let postgres = PostgresServer::start().await.unwrap();
    for url in [
        format!("sqlite:{}", folder.file("locks.db").display()),
        redis.url().to_owned(),
        format!("{}?migrate=true", postgres.url()),
    ] {
        blocking(move || shows_a_break(&url)).await;
    }
}

#[test]
fn breaks_of_two_locks_at_once_are_both_on_record() {
    let place = Place::new();
    let names = ["a", "b", "c", "d"];
    let holders: Vec<_> = names
        .iter()
        .map(|name| {
            let running = place.start(&[name], &format!("echo > {name}; sleep 60"));
            let _held = place.until_written(name);
            running
        })
        .collect();
    let breaking: Vec<_> = names
        .iter()
        .map(|name| {
            let mut command = place.dlock(&["break", name, "--reason", "all at once", "--yes"]);
            command.spawn().unwrap()
        })
        .collect();
    for child in breaking {
        let _broken = Ran::of(&child.wait_with_output().unwrap()).expect(0, "");
    }
    let mut on_record: Vec<_> = breaks(&place)
        .iter()
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect();
    on_record.sort();
    assert_eq!(on_record, names);
    drop(holders);
}

/// A client of the place's own file, for what no command does.
async fn client(place: &Place) -> LockClient {
    let _made = place.run(&["list"]).expect(0, "");
    let file = place.file("dlock/locks.db");
    connect(&format!("sqlite:{}", file.display()))
        .await
        .unwrap()
}

async fn put(locks: &LockClient, value: Value) {
    let mutex = locks.mutex::<Value>("dlock/breaks").unwrap();
    let mut guard = mutex.lock().await.unwrap();
    *guard = value;
    guard.commit().await.unwrap();
}

#[tokio::test]
async fn the_last_hundred_breaks_are_kept() {
    let place = Place::new();
    let locks = client(&place).await;
    let old = |n: u64| {
        json!({"name": format!("old-{n}"), "at_ms": n, "user": "root", "host": null, "pid": 7,
            "reason": "r", "token": null, "label": ""})
    };
    put(&locks, (0..100).map(old).collect()).await;
    let mut guard = locks.mutex::<u8>("x").unwrap().lock().await.unwrap();
    *guard = 7;
    let _broken = place
        .run(&["break", "x", "--reason", "r", "--yes"])
        .expect(0, "");
    let all = breaks(&place);
    assert_eq!(all.len(), 100);
    assert_eq!(all[0]["name"], "old-1");
    assert_eq!(all[99]["name"], "x");
    let _refused = guard.commit().await.unwrap_err();
}

#[tokio::test]
async fn a_break_that_cannot_be_recorded_holds_and_says_so() {
    let place = Place::new();
    let locks = client(&place).await;
    put(&locks, json!({"not": "a record"})).await;
    let guard = locks.mutex::<u8>("x").unwrap().lock().await.unwrap();
    let ran = place
        .run(&["break", "x", "--reason", "it hangs", "--yes"])
        .expect(0, "could not be recorded in the store");
    assert!(ran.out.contains("reason: it hangs"), "{ran:?}");
    let _refused = guard.commit().await.unwrap_err();
    // What is no record of breaks says nothing of who holds a lock.
    let status = place
        .run(&["status", "x"])
        .expect(1, "the record of breaks cannot be read");
    assert!(status.out.contains("broken by force"), "{status:?}");
}

#[test]
fn the_lock_of_the_record_is_nobody_else_s() {
    let place = Place::new();
    for words in [
        &["run", "dlock/breaks", "--", "true"][..],
        &["set", "dlock/breaks", "[]"],
        &["break", "dlock/breaks", "--reason", "r", "--yes"],
    ] {
        let _ran = place.run(words).expect(64, "dlock's own");
    }
    let _ran = place.run(&["get", "dlock/breaks"]).expect(1, "");
}
