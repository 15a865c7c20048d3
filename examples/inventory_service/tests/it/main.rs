//! The service on each store, built for that store alone: the same source, the same story. Two
//! processes (one, where the store is in its memory) serve orders for more than there is; one of the
//! two is killed in the middle; no unit is lost or sold twice.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod http;
mod program;
mod story;

use lock_testkit::service::{PostgresServer, RedisServer};

use program::{Program, Service};

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_neither_lost_nor_oversold_in_memory() {
    story::of_one_process(Program::built_for("memory"), "memory:").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_neither_lost_nor_oversold_on_sqlite_when_a_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("inventory.db");
    let url = format!("sqlite:{}?ttl=2s", file.display());
    story::of_two_processes(Program::built_for("sqlite"), &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_neither_lost_nor_oversold_on_redis_when_a_process_is_killed() {
    let server = RedisServer::start().await.unwrap();
    let url = format!("{}?ttl=2s", server.url());
    story::of_two_processes(Program::built_for("redis"), &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_neither_lost_nor_oversold_on_postgres_when_a_process_is_killed() {
    let server = PostgresServer::start().await.unwrap();
    let url = format!("{}?migrate=true&ttl=2s", server.url());
    story::of_two_processes(Program::built_for("postgres"), &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_was_built_for_another_store_says_which_feature_it_takes() {
    let said = Program::built_for("memory").refuses("redis://127.0.0.1/");
    assert!(said.contains("feature redis"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_makes_no_sense_is_refused_and_changes_nothing() {
    let service = Service::start(&Program::built_for("memory"), "memory:").await;
    let ask = async |method, path: &str, body: &str| service.ask(method, path, body).await.unwrap();
    let (long, large) = (
        "x".repeat(65),
        format!("{{\"units\": {}1}}", " ".repeat(1024)),
    );
    for (path, body, status) in [
        ("/skus/a", r#"{"units": 0}"#, 400),
        ("/skus/a", r#"{"units": 1000001}"#, 400),
        ("/skus/a", r#"{"units": -1}"#, 422),
        ("/skus/a", r#"{"units": 1, "unit": 1}"#, 422),
        ("/skus/a", "{", 400),
        ("/skus/a", &large, 413),
        ("/skus/a%20b", r#"{"units": 1}"#, 400),
        (&format!("/skus/{long}"), r#"{"units": 1}"#, 400),
        (
            &format!("/skus/a/reservations/{long}"),
            r#"{"units": 1}"#,
            400,
        ),
        ("/skus/a/reservations/x", r#"{"units": 1}"#, 404),
        ("/skus", r#"{"units": 1}"#, 405),
        ("/sku/a", r#"{"units": 1}"#, 404),
    ] {
        let answer = ask("PUT", path, body).await;
        assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
        assert_eq!(answer.json["outcome"], "nothing changed", "{path} {body}");
    }
    assert_eq!(
        ask("GET", "/skus", "").await.json["skus"],
        serde_json::json!([])
    );
    service.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_answer_is_told_as_such_and_the_same_request_sent_again_is_done_once()
{
    let server = RedisServer::start().await.unwrap();
    let url = format!("{}?patience=500ms&request_timeout=200ms", server.url());
    let service = Service::start(&Program::built_for("redis"), &url).await;
    assert_eq!(service.ask("GET", "/health", "").await.unwrap().status, 200);
    let create = async || {
        service
            .ask("PUT", "/skus/a", r#"{"units": 5}"#)
            .await
            .unwrap()
    };
    assert_eq!(create().await.status, 201);
    server.pause().await.unwrap();
    let reserve = "/skus/a/reservations/1";
    // Whether the store granted the lock is unknown, but nothing was written.
    let answer = service
        .ask("PUT", reserve, r#"{"units": 1}"#)
        .await
        .unwrap();
    assert!(answer.status == 503 && answer.retry_after, "{answer:?}");
    assert_eq!(answer.json["outcome"], "nothing changed");
    assert_eq!(service.ask("GET", "/health", "").await.unwrap().status, 503);
    server.unpause().await.unwrap();
    let answer = story::insist(&[&service], "PUT", reserve, r#"{"units": 1}"#).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let answer = story::insist(&[&service], "PUT", reserve, r#"{"units": 1}"#).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let stock = story::insist(&[&service], "GET", "/skus/a", "").await;
    assert_eq!(stock.json["left"], 4);
    service.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_figures_are_shown_to_prometheus() {
    let program = Program::built_for("memory,metrics");
    let service = Service::start(&program, "memory:").await;
    let put = async |path: &str, body| {
        assert_eq!(service.ask("PUT", path, body).await.unwrap().status, 201);
    };
    put("/skus/widget", r#"{"units": 5}"#).await;
    for id in 1..=3 {
        let order = format!("/skus/widget/reservations/{id}");
        put(&order, r#"{"units": 1}"#).await;
    }
    let page = service.ask("GET", "/metrics", "").await.unwrap();
    assert_eq!(page.status, 200);
    let value = |series: &str| -> f64 {
        let mut lines = page.text.lines();
        let line = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let value = line.and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("{series} is not in {}", page.text))
    };
    // The catalogue's commit, the SKU's, and one for each order.
    for series in [
        r#"lock_acquires_total{outcome="acquired"}"#,
        "lock_attempts_total",
        r#"lock_commits_total{outcome="committed"}"#,
        r#"lock_hold_seconds_count{end="committed"}"#,
        r#"lock_wait_seconds_bucket{outcome="acquired",le="30"}"#,
    ] {
        assert!(value(series) >= 5.0, "{series}: {}", page.text);
    }
    assert!(!page.text.contains("widget"), "{}", page.text);
    // It is no part of a service that was built without.
    let service = Service::start(&Program::built_for("memory"), "memory:").await;
    let answer = service.ask("GET", "/metrics", "").await.unwrap();
    assert_eq!(answer.status, 404);
}
