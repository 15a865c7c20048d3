//! Behind a pooler that gives each transaction another connection.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use lock_core::{Effect, ErrorKind, LockBackend, LockClient, LockOptions, Renewal};
use lock_testkit::service::{PgBouncerOptions, PostgresServerOptions};

use crate::server::{Server, options};
use crate::{asks, commits, granted, is_committed, name, owner, refused, renewed, state, until};

#[tokio::test]
async fn the_steps_work_behind_a_transaction_pooler_and_say_that_they_cannot_be_woken() {
    let server = Server::start().await;
    let pooler = PgBouncerOptions::new(&server)
        .pool_size(2)
        .start()
        .await
        .unwrap();
    options(pooler.url()).migrate().await.unwrap();
    let backend = options(pooler.url()).connect().await.unwrap();
    let capabilities = backend.capabilities();
    assert!(!capabilities.push && !capabilities.line && !capabilities.force_alarm);
    let error = backend.watch(&name("x")).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);

    let hostile = "';--\\'\0$1😀";
    let request = asks(hostile, owner());
    let grant = granted(&backend, &request).await;
    assert_eq!(granted(&backend, &request).await, grant);
    refused(&backend, &asks(hostile, owner()).standing_in_line()).await;
    let held = renewed(&backend, hostile, request.owner, grant.token).await;
    assert_eq!(held, Renewal::Renewed { others_wait: false });
    let commit = commits(hostile, request.owner, &grant, 1, hostile);
    assert!(is_committed(&backend.commit(&commit).await.unwrap()));
    let peeked = backend.peek(&name(hostile)).await.unwrap().unwrap();
    assert_eq!(peeked.state, state(hostile));
    let listed = backend.list(hostile, 9).await.unwrap();
    assert_eq!(
        listed[0].holder.as_ref().unwrap().owner,
        Some(request.owner)
    );
    backend.force_release(&name(hostile)).await.unwrap();
    granted(&backend, &asks(hostile, owner())).await;
}

#[tokio::test]
async fn nothing_is_prepared_where_the_user_says_that_a_pooler_stands_between() {
    let log_all = PostgresServerOptions::new().config("log_statement = all");
    let server = Server::with(&log_all).await;
    let ask = |lock: &'static str, pooler| {
        let options = server.options().transaction_pooler(pooler);
        async move {
            let backend = options.connect().await.unwrap();
            granted(&backend, &asks(lock, owner())).await;
            backend.capabilities().push
        }
    };
    assert!(!ask("x", true).await);
    // What is prepared is logged as `execute`.
    assert!(!server.log().await.contains("execute sqlx_"));
    assert!(ask("y", false).await);
    assert!(server.log().await.contains("execute sqlx_"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_behind_a_transaction_pooler_take_turns_and_lose_no_update() {
    let server = Server::start().await;
    let pooler = PgBouncerOptions::new(&server)
        .pool_size(3)
        .start()
        .await
        .unwrap();
    let poll = (Duration::from_millis(5), Duration::from_millis(50));
    let options_of_locks = LockOptions::builder().poll(poll.0, poll.1).build().unwrap();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let backend = options(pooler.url()).connect().await.unwrap();
        let client = LockClient::builder(backend).options(options_of_locks.clone());
        clients.push(Arc::new(client.build()));
    }
    let work = (0..16).map(|i| {
        let locks = Arc::clone(&clients[i % clients.len()]);
        tokio::spawn(async move {
            for _ in 0..5 {
                let mut guard = locks.mutex::<u32>("m").unwrap().lock().await.unwrap();
                *guard += 1;
                guard.commit().await.unwrap();
            }
        })
    });
    for done in join_all(work).await {
        done.unwrap();
    }
    let guard = clients[0].mutex::<u32>("m").unwrap().lock().await.unwrap();
    assert_eq!(*guard, 80);
}

#[tokio::test]
async fn a_commit_whose_server_died_behind_the_pooler_may_have_been_applied() {
    let server = Server::start().await;
    let pooler = PgBouncerOptions::new(&server).start().await.unwrap();
    let backend = Arc::new(options(pooler.url()).connect().await.unwrap());
    let request = asks("x", owner());
    let grant = granted(&backend, &request).await;
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
                'BEGIN PERFORM pg_sleep(600); RETURN NEW; END'";
    server.say(slow).await;
    let trigger =
        "CREATE TRIGGER slow BEFORE UPDATE ON lock_records FOR EACH ROW EXECUTE FUNCTION slow()";
    server.say(trigger).await;
    let commit = commits("x", request.owner, &grant, 1, "1");
    let asking = Arc::clone(&backend);
    let answer = tokio::spawn(async move { asking.commit(&commit).await });
    let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    until(|| async { (server.value(sleeps).await == "1").then_some(()) }).await;
    server.kill().await.unwrap();
    let error = answer.await.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Unavailable, Effect::Unknown),
        "{error}"
    );
}

#[tokio::test]
async fn a_commit_whose_session_was_ended_may_have_been_applied_and_its_connection_is_not_used_again()
 {
    let server = Server::start().await;
    let backend = Arc::new(server.options().max_connections(1).connect().await.unwrap());
    let request = asks("x", owner());
    let grant = granted(&backend, &request).await;
    let mut holds = sqlx::PgPool::connect(server.url())
        .await
        .unwrap()
        .begin()
        .await
        .unwrap();
    let lock = "SELECT FROM lock_records FOR UPDATE";
    sqlx::query(lock).execute(&mut *holds).await.unwrap();
    let commit = commits("x", request.owner, &grant, 1, "1");
    let asking = Arc::clone(&backend);
    let answer = tokio::spawn(async move {
        loop {
            match asking.commit(&commit).await {
                // The wait for the row was over before the session was ended.
                Err(error) if error.effect() == Effect::NotApplied => {}
                answer => return answer,
            }
        }
    });
    let end =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    until(|| async { (server.value(end).await == "t").then_some(()) }).await;
    let error = answer.await.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Unavailable, Effect::Unknown),
        "{error}"
    );
    holds.rollback().await.unwrap();
    granted(&backend, &asks("y", owner())).await;
}
