//! What a URL may say, and what is said of it.

use std::error::Error as _;
use std::time::Duration;

use distributed_mutex::{
    Connector, Error, ErrorKind, LockClient, LockOptions, MemoryBackend, Requirement, connect,
};
use lock_testkit::service::{PostgresServer, RedisServer};

use crate::File;

/// The message, its sources, and `Debug`.
fn all_of(error: &Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(" {cause} {cause:?}"));
        source = cause.source();
    }
    text
}

async fn refusal(url: &str) -> Error {
    connect(url).await.unwrap_err()
}

async fn add_one(locks: &LockClient) -> u64 {
    let count = locks.mutex::<u64>("count").unwrap();
    let mut guard = count.lock().await.unwrap();
    *guard = guard.checked_add(1).unwrap();
    let value = *guard;
    guard.commit().await.unwrap();
    value
}

#[tokio::test]
async fn one_source_runs_on_each_store() {
    let (file, redis) = (File::new(), RedisServer::start().await.unwrap());
    let postgres = PostgresServer::start().await.unwrap();
    for url in [
        "memory:?ttl=5s",
        &file.url("?ttl=5s"),
        &format!("{}?ttl=5s", redis.url()),
        &format!(
            "{}?ttl=5s&migrate=true&schema=public&table=my_locks&sslmode=prefer",
            postgres.url()
        ),
    ] {
        let locks = connect(url).await.unwrap();
        assert_eq!(locks.options().ttl().as_millis(), 5000, "{url}");
        assert_eq!(
            (add_one(&locks).await, add_one(&locks).await),
            (1, 2),
            "{url}"
        );
    }
}

#[tokio::test]
async fn namespaces_of_one_store_are_apart() {
    let (file, redis) = (File::new(), RedisServer::start().await.unwrap());
    for url in [file.url(""), redis.url().to_owned()] {
        let one = connect(&format!("{url}?namespace=shop:")).await.unwrap();
        let other = connect(&format!("{url}?namespace=bank%3A")).await.unwrap();
        assert_eq!((add_one(&one).await, add_one(&other).await), (1, 1));
        let again = connect(&format!("{url}?namespace=shop:")).await.unwrap();
        assert_eq!(add_one(&again).await, 2);
    }
}

#[tokio::test]
async fn options_of_the_backend_reach_it() {
    let (file, redis) = (File::new(), RedisServer::start().await.unwrap());
    for url in [
        file.url("?claim_time=1ms"),
        file.url("?busy_timeout=0ms"),
        format!("{}?claim_time=1ms", redis.url()),
        format!("{}?connect_timeout=0ms", redis.url()),
        // The client would wait for longer than any backend does.
        format!("{}?request_timeout=61s", redis.url()),
        "postgres://user@127.0.0.1:1/?request_timeout=61s".to_owned(),
    ] {
        let error = refusal(&url).await;
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("lies between"), "{error}");
    }
    assert!(!file.path().exists());
}

#[tokio::test]
async fn what_the_url_says_goes_before_the_programs_defaults() {
    let (ttl, patience) = (Duration::from_secs(3), Duration::from_secs(4));
    let defaults = LockOptions::builder().ttl(ttl).patience(patience);
    let connector = Connector::new().defaults(defaults);
    let locks = connector.connect("memory:?ttl=7s").await.unwrap();
    assert_eq!(locks.options().ttl().as_millis(), 7000);
    assert_eq!(locks.options().patience(), patience);
}

#[tokio::test]
async fn an_unknown_option_is_refused_with_the_known_ones_before_anything_is_made() {
    let file = File::new();
    let error = refusal(&file.url("?tll=10s")).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    for part in ["sqlite:", "'tll'", "busy_timeout", "namespace", "ttl"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    // What is another store's option is none of this one's.
    assert!(
        refusal(&file.url("?connect_timeout=1s"))
            .await
            .to_string()
            .contains("no option")
    );
    assert!(!file.path().exists());
    let error = refusal("etcd://127.0.0.1/").await;
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(refusal("memory:shared").await.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_password_is_in_no_error() {
    // A port that nobody listens on: it was free, and is closed again.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let at = |rest: &str| format!("redis://user:hunter2@127.0.0.1:{port}/{rest}");
    for url in [
        at("?connect_timeout=50ms"),
        at("?ttl=hunter2"),
        at("?wrong=1"),
        at("x"),
        at("#hunter2"),
        format!("redis://user:a?hunter2@127.0.0.1:{port}/"),
        "redis://user:hunter2@:x/".to_owned(),
        "rediss+x://user:hunter2@h/".to_owned(),
        "redis://user:hunter2@h:99999/".to_owned(),
    ] {
        let shown = all_of(&refusal(&url).await);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn a_password_is_in_no_debug_text_of_what_is_connected() {
    let redis = RedisServer::start().await.unwrap();
    redis
        .command(&["CONFIG", "SET", "requirepass", "hunter2"])
        .await
        .unwrap();
    let url = redis.url().replacen("redis://", "redis://:hunter2@", 1);
    let wrong = redis.url().replacen("redis://", "redis://:hunter22@", 1);
    let error = refusal(&wrong).await;
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(!all_of(&error).contains("hunter2"));
    let connector = Connector::new();
    let locks = connector.connect(&url).await.unwrap();
    let guard = locks.mutex::<u64>("m").unwrap().lock().await.unwrap();
    assert!(!format!("{connector:?} {locks:?} {guard:?}").contains("hunter2"));
    guard.release().await.unwrap();
}

#[tokio::test]
async fn a_store_that_lacks_a_required_promise_is_refused_before_the_first_lock() {
    let file = File::new();
    let strict = Connector::new().require(Requirement::SurvivesRestart);
    assert!(strict.connect(&file.url("")).await.is_ok());
    let error = strict.connect("memory:").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let expected = "the memory store does not promise survives-restart, which is required; \
                    choose another store";
    assert_eq!(error.to_string(), expected);
    let error = refusal(&file.url("?require=line,loss-alarm,survives-failover")).await;
    assert!(
        error
            .to_string()
            .contains("promise loss-alarm, survives-failover,"),
        "{error}"
    );
    assert!(
        connect(&file.url("?require=push,line,force-alarm"))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_backend_of_another_crate_registers_a_scheme_and_its_options() {
    let store = std::sync::Arc::new(MemoryBackend::new());
    let connector = Connector::new().scheme("other", &["zone"], move |url| {
        let client = store.another_client();
        async move {
            if url.option("zone") == Some("none") {
                return Err(Error::new(ErrorKind::Unavailable, "no such zone"));
            }
            assert_eq!(
                (url.scheme(), url.address()),
                ("other", "other://host/path")
            );
            assert_eq!(url.option("ttl"), None);
            Ok(client)
        }
    });
    let locks = connector
        .connect("other://host/path?zone=a&ttl=7s")
        .await
        .unwrap();
    assert_eq!(locks.options().ttl().as_millis(), 7000);
    let again = connector.connect("other://host/path").await.unwrap();
    assert_eq!((add_one(&locks).await, add_one(&again).await), (1, 2));
    let error = connector.connect("other://h/?zone=none").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let error = connector.connect("other://h/?zones=a").await.unwrap_err();
    assert!(error.to_string().contains("zone"), "{error}");
    assert_eq!(
        refusal("other://host/path").await.kind(),
        ErrorKind::Unsupported
    );
}
