//! What a role, a database or a pool sets for its sessions, and what it is to the guarantees.

use lock_core::{Durability, ErrorKind, LockBackend};
use lock_postgres::PostgresOptions;
use lock_testkit::service::{PgBouncerOptions, PostgresServerOptions};
use sqlx::postgres::{PgPool, PgPoolOptions};

use crate::server::{Server, options};
use crate::{asks, granted, owner};

/// A pool whose connections say this first.
async fn pool(server: &Server, first: &'static str) -> PgPool {
    let pool = PgPoolOptions::new().after_connect(move |connection, _| {
        Box::pin(async move { sqlx::query(first).execute(connection).await.map(drop) })
    });
    pool.connect(server.url()).await.unwrap()
}

#[tokio::test]
async fn a_pool_or_a_pooler_that_isolates_more_is_refused_with_the_remedy() {
    let server = Server::start().await;
    let serializable = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE";
    let pooler = PgBouncerOptions::new(&server).start().await.unwrap();
    options(pooler.url()).connect().await.unwrap();
    let bad = PostgresOptions::from_pool(pool(&server, serializable).await);
    let set = "ALTER ROLE postgres SET default_transaction_isolation = 'repeatable read'";
    server.say(set).await;
    let pooler = PgBouncerOptions::new(&server).start().await.unwrap();
    for bad in [bad, options(pooler.url())] {
        let error = bad.connect().await.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let remedy = "default_transaction_isolation";
        assert!(error.to_string().contains(remedy), "{error}");
    }
    let committed = "SET default_transaction_isolation = 'read committed'";
    let good = PostgresOptions::from_pool(pool(&server, committed).await);
    let backend = good.connect().await.unwrap();
    granted(&backend, &asks("x", owner())).await;
}

#[tokio::test]
async fn a_pool_that_only_reads_is_refused() {
    let server = Server::start().await;
    let reads = "SET default_transaction_read_only = on";
    let pool = pool(&server, reads).await;
    let error = PostgresOptions::from_pool(pool).connect().await;
    let error = error.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("read-only"), "{error}");
}

#[tokio::test]
async fn nobody_claims_to_survive_a_crash_whose_commits_do_not_wait_for_the_disk() {
    let server = Server::with(&PostgresServerOptions::new().durable()).await;
    let durability = |options: PostgresOptions| async {
        options.connect().await.unwrap().capabilities().durability
    };
    assert_eq!(durability(server.options()).await, Durability::Restart);
    let waits = pool(&server, "SET synchronous_commit = on").await;
    let hurries = pool(&server, "SET synchronous_commit = off").await;
    let of_pool = |pool: PgPool| durability(PostgresOptions::from_pool(pool));
    assert_eq!(of_pool(waits).await, Durability::Restart);
    assert_eq!(of_pool(hurries).await, Durability::None);
    server
        .say("ALTER ROLE postgres SET synchronous_commit = off")
        .await;
    assert_eq!(durability(server.options()).await, Durability::None);
}

#[tokio::test]
async fn a_session_that_the_server_ends_in_its_sleep_costs_nobody_a_lock() {
    let server = Server::start().await;
    server
        .say("ALTER ROLE postgres SET idle_session_timeout = '200ms'")
        .await;
    let locks = lock_core::LockClient::new(server.backend().await);
    let mutex = locks.mutex::<u32>("m").unwrap();
    // Those on which steps went, in whose place the listener has one again and again.
    let idle = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'WITH%' AND state = 'idle'";
    for _ in 0..3 {
        let mut guard = mutex.lock().await.unwrap();
        *guard += 1;
        guard.commit().await.unwrap();
        crate::until(|| async { (server.value(idle).await == "0").then_some(()) }).await;
    }
    assert_eq!(*mutex.lock().await.unwrap(), 3);
}
