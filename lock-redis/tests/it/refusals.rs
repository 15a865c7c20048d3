//! Servers and answers that the backend does not accept, and what it says of them.

use std::time::Duration;

use lock_core::{Durability, Effect, Error, ErrorKind, ForcedRelease, LockBackend};
use lock_redis::{RedisBackend, RedisOptions};
use lock_testkit::proxy::Proxy;
use lock_testkit::service::RedisServerOptions;

use crate::server::Server;
use crate::{asks, granted, name, owner, until};

#[track_caller]
fn is(error: &Error, kind: ErrorKind, words: &str) {
    assert_eq!(error.kind(), kind, "{error:?}");
    assert_eq!(error.effect(), Effect::NotApplied, "{error:?}");
    assert!(error.to_string().contains(words), "{error}");
}

#[tokio::test]
async fn a_key_of_another_type_is_named() {
    let server = Server::start().await;
    let backend = server.backend().await;
    server.say::<i64>(&["RPUSH", "taken", "a"]).await;
    let request = asks("taken", owner());
    let error = backend.acquire(&request).await.unwrap_err();
    is(&error, ErrorKind::Invalid, "'taken'");
    is(&error, ErrorKind::Invalid, "holds a list");
    is(
        &backend
            .release(&name("taken"), request.owner)
            .await
            .unwrap_err(),
        ErrorKind::Invalid,
        "list",
    );
    is(
        &backend.inspect(&name("taken")).await.unwrap_err(),
        ErrorKind::Invalid,
        "list",
    );
    server.say::<()>(&["SET", "{y}:lock", "a"]).await;
    is(
        &backend.acquire(&asks("y", owner())).await.unwrap_err(),
        ErrorKind::Invalid,
        "another type",
    );
    is(
        &backend.peek(&name("y")).await.unwrap_err(),
        ErrorKind::Invalid,
        "another type",
    );
}

#[tokio::test]
async fn a_foreign_value_without_an_end_is_not_forced_away() {
    let server = Server::start().await;
    let backend = server.backend().await;
    server.say::<()>(&["SET", "precious", "data"]).await;
    let error = backend.force_release(&name("precious")).await;
    is(&error.unwrap_err(), ErrorKind::Invalid, "never expires");
    assert_eq!(server.say::<String>(&["GET", "precious"]).await, "data");
    // One with an end is somebody's lock.
    server
        .say::<()>(&["SET", "job", "other", "PX", "60000"])
        .await;
    assert!(matches!(
        backend.force_release(&name("job")).await.unwrap(),
        ForcedRelease::Released(_)
    ));
    assert_eq!(server.say::<i64>(&["EXISTS", "job"]).await, 0);
}

#[tokio::test]
async fn a_wrong_password_is_denied() {
    let server = Server::with(&RedisServerOptions::new().password("s3cret")).await;
    drop(server.backend().await);
    let nobody = format!("redis://{}", server.addr());
    for url in [nobody.replace("//", "//:wr0ng@"), nobody] {
        let error = RedisBackend::connect(&url).await.unwrap_err();
        is(&error, ErrorKind::Denied, "password");
        assert!(!format!("{error:?}").contains("wr0ng"));
    }
}

#[tokio::test]
async fn a_user_without_privileges_is_told_of_the_acl() {
    let server = Server::start().await;
    let all = ["ACL", "SETUSER", "poor", "on", ">p", "~*", "&*", "+@all"];
    server.say::<()>(&all).await;
    let url = server.url().replace("//", "//poor:p@");
    let backend = RedisBackend::connect(&url).await.unwrap();
    server
        .say::<()>(&["ACL", "SETUSER", "poor", "-evalsha", "-eval"])
        .await;
    is(
        &backend.acquire(&asks("x", owner())).await.unwrap_err(),
        ErrorKind::Denied,
        "ACL",
    );
    server
        .say::<()>(&["ACL", "SETUSER", "poor", "+@all", "resetkeys", "~y"])
        .await;
    is(
        &backend.acquire(&asks("x", owner())).await.unwrap_err(),
        ErrorKind::Denied,
        "ACL",
    );
    server
        .say::<()>(&["ACL", "SETUSER", "poor", "allkeys", "resetchannels"])
        .await;
    let error = RedisBackend::connect(&url).await.unwrap_err();
    is(&error, ErrorKind::Denied, "ACL");
}

#[tokio::test]
async fn the_documented_privileges_are_enough() {
    let server = Server::start().await;
    let commands = "evalsha eval getex get set setrange del pttl pexpire persist type hmget hset hdel mget zadd \
                    zscore zrem zcard zrange zrevrange zpopmin publish subscribe client|tracking \
                    info time scan";
    let mut words = vec!["ACL", "SETUSER", "least", "on", ">p", "resetchannels"];
    words.extend(["~app:*", "~{app:*", "&app:lock:client:*"]);
    let commands: Vec<String> = commands
        .split_whitespace()
        .map(|c| format!("+{c}"))
        .collect();
    words.extend(commands.iter().map(String::as_str));
    server.say::<()>(&words).await;
    let options = RedisOptions::new(&server.url().replace("//", "//least:p@")).unwrap();
    let backend = options.namespace("app:").connect().await.unwrap();
    let request = asks("x", owner());
    let grant = granted(&backend, &request).await;
    let waiter = asks("x", owner()).standing_in_line();
    crate::refused(&backend, &waiter).await;
    crate::renewed(&backend, "x", request.owner, grant.token).await;
    let commit = crate::commits("x", request.owner, &grant, 1, "1");
    assert!(crate::is_committed(&backend.commit(&commit).await.unwrap()));
    backend.release(&name("x"), request.owner).await.unwrap();
    granted(&backend, &waiter).await;
    assert_eq!(backend.list("", 9).await.unwrap().len(), 1);
    backend.force_release(&name("x")).await.unwrap();
    backend.peek(&name("x")).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let gone = Proxy::start(([127, 0, 0, 1], 1).into()).await.unwrap();
    gone.refuse().await;
    let nobody = gone.url();
    let error = RedisBackend::connect(&nobody).await.unwrap_err();
    is(&error, ErrorKind::Unavailable, &nobody);
    let unknown = "redis://no-such-host.invalid/";
    let error = RedisBackend::connect(unknown).await.unwrap_err();
    is(&error, ErrorKind::Unavailable, "no-such-host.invalid");
}

#[tokio::test]
async fn a_database_out_of_range_is_refused_and_one_in_range_is_its_own() {
    let server = Server::start().await;
    let error = RedisBackend::connect(&format!("{}/99", server.url()))
        .await
        .unwrap_err();
    is(&error, ErrorKind::Invalid, "out of range");
    let zero = server.backend().await;
    let three = RedisBackend::connect(&format!("{}/3", server.url()))
        .await
        .unwrap();
    granted(&zero, &asks("x", owner())).await;
    granted(&three, &asks("x", owner())).await;
}

#[tokio::test]
async fn a_replica_is_refused_at_connect_and_told_of_later() {
    let primary = Server::start().await;
    let server = Server::start().await;
    let backend = server.backend().await;
    let port = primary.port().to_string();
    server.say::<()>(&["REPLICAOF", "127.0.0.1", &port]).await;
    let error = backend.acquire(&asks("x", owner())).await.unwrap_err();
    is(&error, ErrorKind::Unavailable, "connect to the primary");
    let error = RedisBackend::connect(server.url()).await.unwrap_err();
    is(&error, ErrorKind::Invalid, "connect to the primary");
    server.say::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    until(|| async { backend.acquire(&asks("z", owner())).await.ok() }).await;
}

#[tokio::test]
async fn a_server_that_may_evict_locks_is_refused_unless_allowed() {
    let server = Server::with(
        &RedisServerOptions::new()
            .config("maxmemory 100mb")
            .config("maxmemory-policy allkeys-lru"),
    )
    .await;
    let error = RedisBackend::connect(server.url()).await.unwrap_err();
    is(&error, ErrorKind::Invalid, "allkeys-lru");
    let options = server.options().danger_allow_eviction_policy("allkeys-lru");
    granted(&options.connect().await.unwrap(), &asks("x", owner())).await;
}

#[tokio::test]
async fn a_server_out_of_memory_refuses_and_nothing_is_held() {
    let server = Server::start().await;
    let backend = server.backend().await;
    granted(&backend, &asks("x", owner())).await;
    server.say::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let error = backend.acquire(&asks("y", owner())).await.unwrap_err();
    is(&error, ErrorKind::Unavailable, "out of memory");
    assert_eq!(server.say::<i64>(&["EXISTS", "y"]).await, 0);
}

#[tokio::test]
async fn durability_is_claimed_only_where_each_write_is_synced() {
    let none = Server::start()
        .await
        .backend()
        .await
        .capabilities()
        .durability;
    assert_eq!(none, Durability::None);
    let synced = Server::with(
        &RedisServerOptions::new()
            .config("appendonly yes")
            .config("appendfsync always"),
    )
    .await;
    let durability = synced.backend().await.capabilities().durability;
    assert_eq!(durability, Durability::Restart);
}

#[tokio::test]
async fn too_few_replicas_fail_an_acquire_and_undo_it() {
    let server = Server::start().await;
    let options = server.options().min_replicas(1, Duration::from_millis(20));
    let backend = options.connect().await.unwrap();
    let error = backend.acquire(&asks("x", owner())).await.unwrap_err();
    is(&error, ErrorKind::Unavailable, "0 of 1 replicas");
    assert_eq!(server.say::<i64>(&["EXISTS", "x"]).await, 0);

    let replica = Server::with(&RedisServerOptions::new().replica_of(server.addr())).await;
    let request = asks("y", owner());
    let grant = until(|| async {
        match backend.acquire(&asks("y", request.owner)).await {
            Ok(lock_core::Acquisition::Granted(grant)) => Some(grant),
            // Refused once it was undone: the record of the release is still there.
            _ => {
                server.say::<i64>(&["DEL", "{y}:lock"]).await;
                None
            }
        }
    })
    .await;
    drop(replica);
    until(|| async {
        let info: String = server.say(&["INFO", "replication"]).await;
        info.contains("connected_slaves:0").then_some(())
    })
    .await;
    let commit = crate::commits("y", request.owner, &grant, 1, "1");
    let error = backend.commit(&commit).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown);
}
