//! `dlock doctor`, on stores that are well and on stores that are not.

use std::time::Duration;

use lock_testkit::service::{
    ClockStep, PgBouncerOptions, PostgresServer, RedisFailover, RedisServer, RedisServerOptions,
};

use crate::hand::{Place, Ran};

async fn doctor(url: &str) -> Ran {
    let place = Place::at(url);
    let ran = tokio::task::spawn_blocking(move || place.run(&["doctor"]));
    ran.await.unwrap()
}

/// The lines of one topic that are no notes.
#[track_caller]
fn says(ran: &Ran, code: i32, severity: &str, topic: &str, fact: &str) {
    assert_eq!(ran.code, code, "{ran:?}");
    let line = ran
        .out
        .lines()
        .find(|line| line.starts_with(severity) && line.contains(topic) && line.contains(fact));
    assert!(line.is_some(), "{severity} {topic} {fact}: {}", ran.out);
    assert!(ran.out.contains("\n         so "), "{}", ran.out);
    assert!(ran.out.contains("\n         do "), "{}", ran.out);
}

fn durable() -> RedisServerOptions {
    RedisServerOptions::new()
        .config("appendonly yes")
        .config("appendfsync always")
}

#[tokio::test]
async fn a_server_that_is_well_has_no_finding_but_notes() {
    let server = durable().start().await.unwrap();
    let ran = doctor(server.url()).await.expect(0, "");
    assert!(
        ran.out.lines().all(|line| line.starts_with("ok ")),
        "{}",
        ran.out
    );
    for topic in [
        "version",
        "persistence",
        "eviction",
        "replicas",
        "clock",
        "latency",
    ] {
        assert!(ran.out.contains(topic), "{topic}: {}", ran.out);
    }
    let place = Place::at(server.url());
    let ran = tokio::task::spawn_blocking(move || place.run(&["doctor", "--json"]));
    let ran = ran.await.unwrap();
    assert!(ran.out.contains("\"severity\": \"note\""), "{}", ran.out);
}

#[tokio::test]
async fn a_file_that_is_well_has_no_finding_but_notes() {
    let place = Place::new();
    let ran = tokio::task::spawn_blocking(move || place.run(&["doctor"]));
    let ran = ran.await.unwrap().expect(0, "");
    assert!(
        ran.out.lines().all(|line| line.starts_with("ok ")),
        "{}",
        ran.out
    );
}

#[tokio::test]
async fn a_server_without_persistence_is_a_warning() {
    let server = RedisServer::start().await.unwrap();
    let ran = doctor(server.url()).await;
    says(
        &ran,
        1,
        "warning",
        "persistence",
        "nothing is written to disk",
    );
}

#[tokio::test]
async fn a_server_that_evicts_is_broken_and_one_that_might_is_a_warning() {
    let server = durable().start().await.unwrap();
    let set = |name: &'static str, value: &'static str| {
        let server = &server;
        async move {
            server
                .command(&["CONFIG", "SET", name, value])
                .await
                .unwrap();
        }
    };
    set("maxmemory-policy", "allkeys-lru").await;
    let ran = doctor(server.url()).await;
    says(&ran, 1, "warning", "eviction", "allkeys-lru");
    set("maxmemory", "100mb").await;
    let ran = doctor(server.url()).await;
    says(&ran, 2, "broken", "store", "may evict lock keys");
}

#[tokio::test]
async fn a_replica_is_broken_and_its_primary_warns_of_it() {
    let pair = RedisFailover::start_with(&durable()).await.unwrap();
    let ran = doctor(pair.replica().url()).await;
    says(&ran, 2, "broken", "store", "is a read-only replica");
    let ran = doctor(pair.primary().url()).await;
    says(&ran, 1, "warning", "replicas", "replicated asynchronously");
}

#[tokio::test]
async fn a_clock_that_is_off_is_a_warning() {
    let server = durable().steppable_clock().start().await.unwrap();
    let ran = doctor(server.url()).await.expect(0, "");
    assert!(ran.out.contains("clock"), "{}", ran.out);
    let hour = Duration::from_secs(3600);
    server.step_clock(ClockStep::Forward(hour)).await.unwrap();
    let ran = doctor(server.url()).await;
    says(&ran, 1, "warning", "clock", "ahead of this machine's");
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_a_warning() {
    let server = PostgresServer::start().await.unwrap();
    let pooler = PgBouncerOptions::new(&server).start().await.unwrap();
    let url = |base: &str| format!("{base}?migrate=true");
    let ran = doctor(&url(pooler.url())).await;
    says(&ran, 1, "warning", "pooler", "transaction mode");
    let ran = doctor(server.url()).await;
    assert!(ran.out.contains("none: wake-ups are pushed"), "{}", ran.out);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_broken() {
    let ran = doctor("redis://:s3cret@127.0.0.1:1/?connect_timeout=300ms").await;
    says(&ran, 2, "broken", "store", "cannot connect");
    assert!(!ran.out.contains("s3cret"), "{}", ran.out);
}
