//! What a client is given and cannot use: refused with an error of its own, before any harm (C13).

use std::error::Error as _;
use std::time::Duration;

use lock_core::{Effect, Error, ErrorKind, LockClient, LockOptions};
use lock_redis::RedisBackend;
use lock_testkit::service::RedisServerOptions;

use crate::net::{Net, add_one, counter, in_time, lasting, ms, settled};
use crate::server::Server;

#[track_caller]
fn is(error: &Error, kind: ErrorKind, text: &str) {
    assert_eq!(error.kind(), kind, "{error:?}");
    assert_eq!(error.effect(), Effect::NotApplied, "{error:?}");
    assert!(error.to_string().contains(text), "{error}");
}

#[tokio::test]
async fn names_and_ttls_out_of_bounds_are_refused_before_anything_is_sent() {
    let net = Net::start().await;
    let locks = net.client(lasting()).await;
    net.proxy.reset_counts();
    let empty = "a lock name must not be empty";
    is(
        &locks.mutex::<u32>("").unwrap_err(),
        ErrorKind::Invalid,
        empty,
    );
    is(
        &locks.inspect("").await.unwrap_err(),
        ErrorKind::Invalid,
        empty,
    );
    is(
        &locks.force_release("").await.unwrap_err(),
        ErrorKind::Invalid,
        empty,
    );
    // Counted in bytes: 257 characters, 514 bytes.
    let long = "ä".repeat(257);
    let bound = "at most 512 bytes long, and this one has 514; use a digest of it as the name";
    is(
        &locks.mutex::<u32>(&long).unwrap_err(),
        ErrorKind::Invalid,
        bound,
    );
    for ttl in [
        Duration::ZERO,
        ms(49),
        Duration::from_secs(24 * 60 * 60 + 1),
        Duration::MAX,
    ] {
        let error = LockOptions::builder().ttl(ttl).build().unwrap_err();
        is(
            &error,
            ErrorKind::Invalid,
            "a ttl lies between 50 ms and 24 h, and this one is",
        );
        is(&error, ErrorKind::Invalid, &format!("{ttl:?}"));
    }
    assert!(net.proxy.counts().is_empty());
    // The bounds themselves will do.
    let longest = "ä".repeat(256);
    let guard = counter(&locks, &longest).lock().await.unwrap();
    guard.commit().await.unwrap();
    for ttl in [ms(50), Duration::from_secs(24 * 60 * 60)] {
        let options = LockOptions::builder().ttl(ttl).build().unwrap();
        let mutex = locks.mutex_with("bound", || 0_u32).options(options);
        let mutex = mutex.build().unwrap();
        // 50 ms may be over before a busy machine has looked; whatever comes, it is no refusal.
        match in_time(add_one(&mutex)).await {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::LeaseLost, "{error}"),
        }
    }
}

#[tokio::test]
async fn hostile_names_are_held_at_once_and_each_keeps_its_own_value() {
    let net = Net::start().await;
    let locks = net.client(lasting()).await;
    let names = [
        "x",
        "{x}",
        "{x}:lock",
        "{x}:line",
        "x}",
        "%7Bx}",
        "x\0",
        "x\n",
        "x\r\nDEL x\r\n",
        " x",
        "x ",
        "X",
        "%",
        "*",
        "lock:client:",
        "ключ",
        "鎖",
        "é",
        "e\u{301}",
        "\u{202e}x",
        "'; --",
    ];
    let mut guards = Vec::new();
    for (i, name) in (1..).zip(names) {
        let mut guard = in_time(counter(&locks, name).lock()).await.unwrap();
        assert_eq!(*guard, 0, "{name:?}");
        *guard = i;
        guards.push(guard);
    }
    for guard in guards {
        guard.commit().await.unwrap();
    }
    for (i, name) in (1..).zip(names) {
        assert_eq!(
            counter(&locks, name).peek().await.unwrap().value,
            i,
            "{name:?}"
        );
    }
    settled(&locks).await;
    assert_eq!(locks.list("", 100).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_hostile_name_cannot_write_on_a_log() {
    let net = Net::start().await;
    let locks = net.client(lasting()).await;
    net.server
        .say::<i64>(&["RPUSH", "a\n\u{1b}[31m", "x"])
        .await;
    let error = counter(&locks, "a\n\u{1b}[31m").lock().await.unwrap_err();
    is(&error, ErrorKind::Invalid, r"cannot acquire lock 'a\n");
    assert!(!error.to_string().contains(['\n', '\u{1b}']), "{error}");
}

#[tokio::test]
async fn a_value_over_its_bound_is_not_written() {
    let net = Net::start().await;
    let options = LockOptions::builder().max_state_bytes(10).build().unwrap();
    let locks = net.client(options).await;
    let mutex = locks.mutex::<String>("m").unwrap();
    let mut guard = mutex.lock().await.unwrap();
    guard.push_str("12345678");
    guard.save().await.unwrap();
    guard.push('9');
    net.proxy.reset_counts();
    let text = "the encoded value has 11 bytes, and the bound is 10; keep large data elsewhere";
    is(&guard.save().await.unwrap_err(), ErrorKind::State, text);
    assert!(net.proxy.counts().is_empty());
    assert!(guard.is_held());
    is(&guard.commit().await.unwrap_err(), ErrorKind::State, text);
    net.is_free("m").await;
    assert_eq!(mutex.peek().await.unwrap().value, "12345678");
    settled(&locks).await;
}

#[tokio::test]
async fn a_stored_value_that_does_not_decode_is_left_as_it_is_and_the_lock_given_up() {
    let net = Net::start().await;
    let locks = net.client(lasting()).await;
    let mutex = locks.mutex::<u32>("m").unwrap();
    mutex.lock().await.unwrap().commit().await.unwrap();
    let garbled = "does not decode; it was left as it is";
    let foreign = "the stored value was written as an unknown format, and this mutex reads json";
    for (stored, format, text) in [
        ("not json", "1", garbled),
        ("\"text\"", "1", garbled),
        (
            "7",
            "200",
            "written as format 200, and this mutex reads json; it was left as it is",
        ),
        // Not what any version writes yet: it is still a value, and not the first one.
        ("7", "4711", foreign),
        ("7", "", foreign),
    ] {
        let fields = ["HSET", "{m}:lock", "s", stored, "f", format];
        net.server.say::<i64>(&fields).await;
        let error = mutex.lock().await.unwrap_err();
        is(&error, ErrorKind::State, "cannot acquire lock 'm': ");
        is(&error, ErrorKind::State, text);
        is(&mutex.peek().await.unwrap_err(), ErrorKind::State, text);
        is(&add_one(&mutex).await.unwrap_err(), ErrorKind::State, text);
        net.is_free("m").await;
        assert_eq!(net.record("m", "s").await.as_deref(), Some(stored));
        assert_eq!(net.record("m", "f").await.as_deref(), Some(format));
    }
    settled(&locks).await;
    // A plain lock looks at no value.
    let plain = locks.mutex::<()>("m").unwrap();
    plain.lock().await.unwrap().commit().await.unwrap();
    assert_eq!(net.record("m", "s").await.as_deref(), Some("7"));
}

#[tokio::test]
async fn a_key_of_another_type_in_the_locks_place_is_named_at_once_and_left_alone() {
    let net = Net::start().await;
    let locks = net.client(lasting()).await;
    net.server.say::<i64>(&["RPUSH", "taken", "a"]).await;
    let mutex = counter(&locks, "taken");
    let error = in_time(mutex.lock()).await.unwrap_err();
    is(
        &error,
        ErrorKind::Invalid,
        "cannot acquire lock 'taken': its lock key, the namespace and the name, holds a list of another program, not a lock; choose \
         another name or namespace, or delete that key",
    );
    assert_eq!(error.attempts(), Some(1));
    settled(&locks).await;
    let error = mutex.try_lock().await.unwrap_err();
    is(&error, ErrorKind::Invalid, "holds a list");
    settled(&locks).await;
    assert_eq!(net.server.say::<i64>(&["LLEN", "taken"]).await, 1);
    assert_eq!(net.server.say::<i64>(&["DBSIZE"]).await, 1);
}

#[tokio::test]
async fn a_server_that_became_a_read_only_replica_is_told_of_when_the_patience_is_spent() {
    let primary = Server::start().await;
    let server = Server::start().await;
    let options = LockOptions::builder().patience(ms(300)).build().unwrap();
    let locks = LockClient::builder(server.backend().await)
        .options(options)
        .build();
    let mutex = counter(&locks, "m");
    mutex.lock().await.unwrap().commit().await.unwrap();
    let port = primary.port().to_string();
    server.say::<()>(&["REPLICAOF", "127.0.0.1", &port]).await;
    let error = in_time(mutex.lock()).await.unwrap_err();
    is(&error, ErrorKind::Unavailable, "cannot acquire lock 'm': ");
    is(
        &error,
        ErrorKind::Unavailable,
        "is a read-only replica; connect to the primary",
    );
    assert!(error.attempts().unwrap() > 1, "{error}");
}

/// All that is ever printed of an error.
fn printed(error: &Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(" {cause} {cause:?}"));
        source = cause.source();
    }
    text
}

#[tokio::test]
async fn no_password_is_ever_printed() {
    let (secret, wrong) = ("pa55-of-the-server", "pa55-that-is-wrong");
    let server = Server::with(&RedisServerOptions::new().password(secret)).await;
    let backend = RedisBackend::connect(server.url()).await.unwrap();
    let locks = LockClient::new(backend);
    let mutex = counter(&locks, "m");
    let guard = mutex.lock().await.unwrap();
    let mut texts = vec![format!(
        "{:?} {locks:?} {mutex:?} {guard:?}",
        server.options()
    )];

    let refused = server.url().replace(secret, wrong);
    let error = RedisBackend::connect(&refused).await.unwrap_err();
    is(
        &error,
        ErrorKind::Denied,
        "refused the user name or password; correct them in the URL",
    );
    texts.push(printed(&error));
    let nowhere = format!("redis://ann:{secret}@no-such-host.invalid/");
    let error = RedisBackend::connect(&nowhere).await.unwrap_err();
    is(
        &error,
        ErrorKind::Unavailable,
        "cannot connect to redis://no-such-host.invalid",
    );
    texts.push(printed(&error));
    for url in [
        format!("redis://ann:{secret}@host/not-a-number"),
        format!("redis://ann:{secret}@host/?password={secret}"),
        format!("redis://ann:{secret}@host/#{secret}"),
        format!("redis//ann:{secret}@host"),
        format!("redis://ann:{secret}@host:port/"),
    ] {
        texts.push(printed(&RedisBackend::connect(&url).await.unwrap_err()));
    }
    // The server goes away, and the client says so.
    server.kill().await.unwrap();
    let impatient = LockOptions::builder().patience(ms(100)).build().unwrap();
    let other = locks.mutex_with("n", || 0_u32).options(impatient);
    let error = in_time(other.build().unwrap().lock()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    texts.push(printed(&error));
    for text in texts {
        assert!(!text.contains("pa55"), "{text}");
    }
}
