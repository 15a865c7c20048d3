//! lock-core's client on a file.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use lock_core::{ErrorKind, LockClient, LockOptions};

use crate::file::Locks;
use crate::{in_time, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_of_four_clients_add_up() {
    let locks = Locks::new();
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(LockClient::new(locks.backend().await));
    }
    let work = clients.iter().flat_map(|client| {
        (0..4).map(|_| {
            let count = client.mutex::<u64>("count").unwrap();
            async move {
                for _ in 0..10 {
                    let mut guard = in_time(count.lock()).await.unwrap();
                    *guard += 1;
                    guard.commit().await.unwrap();
                }
            }
        })
    });
    join_all(work).await;
    let count = clients[0].mutex::<u64>("count").unwrap();
    assert_eq!(count.peek().await.unwrap().value, 160);
    assert_eq!(locks.number("SELECT count(*) FROM line").await, 0);
}

#[tokio::test]
async fn a_waiter_gets_the_lock_by_push_and_not_by_its_timer() {
    let locks = Locks::new();
    let (one, other) = (
        LockClient::new(locks.backend().await),
        LockClient::new(locks.backend().await),
    );
    let guard = one.mutex::<()>("job").unwrap().lock().await.unwrap();
    let job = other.mutex::<()>("job").unwrap();
    let waiting = tokio::spawn(async move { job.lock().await.map(|guard| guard.token()) });
    until(async || {
        let info = locks.number("SELECT count(*) FROM line").await;
        (info == 1).then_some(())
    })
    .await;
    let token = guard.token();
    guard.release().await.unwrap();
    // The lease of the holder and the longest pause are both longer than this test waits.
    assert!(in_time(waiting).await.unwrap().unwrap() > token);
}

#[tokio::test]
async fn a_client_without_wake_ups_gets_its_turn_by_polling() {
    let locks = Locks::new();
    let options = locks.options().wake_ups(false);
    let (one, other) = (
        LockClient::new(locks.backend().await),
        LockClient::new(options.connect().await.unwrap()),
    );
    let guard = one.mutex::<()>("job").unwrap().lock().await.unwrap();
    let job = other.mutex::<()>("job").unwrap();
    let waiting = tokio::spawn(async move { job.lock().await.map(drop) });
    tokio::task::yield_now().await;
    guard.release().await.unwrap();
    in_time(waiting).await.unwrap().unwrap();
    assert!(locks.number("SELECT count(*) FROM line").await == 0);
}

#[tokio::test]
async fn many_leases_of_one_client_are_renewed_past_their_ttl() {
    let locks = Locks::new();
    let options = LockOptions::builder()
        .ttl(Duration::from_secs(3))
        .build()
        .unwrap();
    let client = LockClient::builder(locks.backend().await)
        .options(options)
        .build();
    let mutexes: Vec<_> = (0..200)
        .map(|i| client.mutex::<()>(format!("lock-{i}")).unwrap())
        .collect();
    let mut guards = Vec::new();
    for mutex in &mutexes {
        guards.push(mutex.lock().await.unwrap());
    }
    // Twice the ttl, by the clock that decides.
    let elapsed = "SELECT count(*) FROM locks WHERE (SELECT max(expires_ns) FROM locks) - since_ns > 9000000000";
    until(async || (locks.number(elapsed).await == 200).then_some(())).await;
    assert!(guards.iter().all(lock_core::LockGuard::is_held));
    client.close(Duration::from_secs(20)).await.unwrap();
    assert_eq!(locks.number("SELECT count(owner) FROM locks").await, 0);
}

#[tokio::test]
async fn an_update_of_an_update_runs_in_any_runtime() {
    let locks = Locks::new();
    let client = Arc::new(LockClient::new(locks.backend().await));
    // The runtime in which the first steps ran is gone before the next ones.
    for expected in 1..=3_u64 {
        let client = Arc::clone(&client);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let count = client.mutex::<u64>("count").unwrap();
                let mut guard = in_time(count.lock()).await.unwrap();
                *guard += 1;
                let value = *guard;
                guard.commit().await.unwrap();
                value
            })
        });
        let value = tokio::task::spawn_blocking(|| thread.join().unwrap()).await;
        assert_eq!(value.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_file_that_another_process_keeps_locked_costs_the_caller_its_time_and_no_more() {
    let locks = Locks::new();
    let options = locks.options().busy_timeout(Duration::from_millis(50));
    let patience = LockOptions::builder()
        .patience(Duration::from_millis(200))
        .build()
        .unwrap();
    let client = LockClient::builder(options.connect().await.unwrap())
        .options(patience)
        .build();
    let mut other = locks.connection().await;
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let job = client.mutex::<()>("job").unwrap();
    let error = in_time(job.lock()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("in use by others"), "{error}");
    // Who reads waits for nobody.
    assert!(client.mutex::<u32>("job").unwrap().peek().await.is_ok());
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    drop(in_time(job.lock()).await.unwrap());
}
