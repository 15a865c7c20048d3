//! The line of waiting owners and the reservation for its first.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt;
use lock_core::{Alarm, LockBackend, LossCause, Previous, Release, Renewal, Then};
use lock_sqlite::SqliteBackend;

use crate::file::Locks;
use crate::other::{self, Other};
use crate::{
    alarmed, asks, commits, granted, granted_in_time, hinted, in_time, name, owner, refused,
    renewed, ttl, until,
};

const LONG_CLAIM: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_release_reserves_the_lock_for_the_first_in_line_and_wakes_it() {
    let locks = Locks::new();
    let connect = || async {
        let options = locks.options().claim_time(LONG_CLAIM);
        options.connect().await.unwrap()
    };
    let backends = [connect().await, connect().await, connect().await];
    let holder = asks("x", owner());
    let grant = granted(&backends[0], &holder).await;
    let first = asks("x", owner()).standing_in_line();
    let second = asks("x", owner()).standing_in_line();
    let mut hints = backends[1].watch(&name("x")).await.unwrap();
    refused(&backends[1], &first).await;
    refused(&backends[2], &second).await;
    // Asking again keeps the place.
    refused(&backends[1], &first).await;
    assert_eq!(backends[0].inspect(&name("x")).await.unwrap().waiting, 2);
    let held = renewed(&backends[0], "x", holder.owner, grant.token).await;
    assert_eq!(held, Renewal::Renewed { others_wait: true });

    let mut commit = commits("x", holder.owner, &grant, 1, "1");
    commit.then = Then::Release;
    backends[0].commit(&commit).await.unwrap();
    hinted(&mut hints).await;
    refused(&backends[2], &second).await;
    refused(&backends[0], &asks("x", owner())).await;
    assert_eq!(backends[0].inspect(&name("x")).await.unwrap().holder, None);
    let next = granted(&backends[1], &first).await;
    assert!(next.token > grant.token);
    assert!(next.others_wait);
    assert_eq!(next.previous, Previous::Released);
    assert_eq!(granted(&backends[1], &first).await, next);

    assert_eq!(
        backends[1].release(&name("x"), first.owner).await.unwrap(),
        Release::Released
    );
    // Late duplicates of it neither take the lock back nor stand in line again.
    assert_eq!(
        backends[1].acquire(&first).await.unwrap(),
        lock_core::Acquisition::Ended
    );
    assert!(!granted(&backends[2], &second).await.others_wait);
}

#[tokio::test]
async fn a_client_that_is_gone_is_skipped() {
    let locks = Locks::new();
    let backend = locks
        .options()
        .claim_time(LONG_CLAIM)
        .connect()
        .await
        .unwrap();
    let gone = locks.backend().await;
    let holder = asks("x", owner());
    granted(&backend, &holder).await;
    refused(&gone, &asks("x", owner()).standing_in_line()).await;
    refused(&gone, &asks("x", owner()).standing_in_line()).await;
    drop(gone);
    let next = asks("x", owner()).standing_in_line();
    refused(&backend, &next).await;
    backend.release(&name("x"), holder.owner).await.unwrap();
    granted(&backend, &next).await;
    assert_eq!(backend.inspect(&name("x")).await.unwrap().waiting, 0);
}

#[tokio::test]
async fn a_forced_release_hands_on_like_any_other() {
    let locks = Locks::new();
    let backend = locks
        .options()
        .claim_time(LONG_CLAIM)
        .connect()
        .await
        .unwrap();
    let holder = asks("x", owner());
    let grant = granted(&backend, &holder).await;
    let waiter = asks("x", owner()).standing_in_line();
    refused(&backend, &waiter).await;
    let mut hints = backend.watch(&name("x")).await.unwrap();
    backend.force_release(&name("x")).await.unwrap();
    hinted(&mut hints).await;
    assert_eq!(granted(&backend, &waiter).await.previous, Previous::Forced);
    let forced = Renewal::Lost {
        cause: LossCause::Forced,
    };
    assert_eq!(
        renewed(&backend, "x", holder.owner, grant.token).await,
        forced
    );
}

#[tokio::test]
async fn a_lease_that_ran_out_leaves_the_line_to_the_next_attempts() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    let mut short = asks("x", owner());
    short.ttl = ttl(50);
    granted(&backend, &short).await;
    let waiter = asks("x", owner()).standing_in_line();
    backend.acquire(&waiter).await.unwrap();
    let grant = granted_in_time(&backend, &waiter).await;
    assert!(!grant.others_wait);
    assert_eq!(locks.number("SELECT count(*) FROM line").await, 0);
}

#[tokio::test]
async fn a_process_that_is_killed_keeps_no_place_in_line() {
    if let Some(file) = other::asked_for() {
        return wait_in_line(file).await;
    }
    let locks = Locks::new();
    let backend = locks
        .options()
        .claim_time(LONG_CLAIM)
        .connect()
        .await
        .unwrap();
    let holder = asks("x", owner());
    granted(&backend, &holder).await;
    let mut waiter = Other::start(
        "line::a_process_that_is_killed_keeps_no_place_in_line",
        &locks.path(),
    );
    until(|| async {
        let waiting = backend.inspect(&name("x")).await.unwrap().waiting;
        (waiting == 1).then_some(())
    })
    .await;
    waiter.kill();
    assert_eq!(
        locks.ears().iter().filter(|ear| !ear.contains('-')).count(),
        2
    );
    let next = asks("x", owner()).standing_in_line();
    refused(&backend, &next).await;
    backend.release(&name("x"), holder.owner).await.unwrap();
    // Not after a claim time, which is longer than this test waits.
    granted(&backend, &next).await;
    // The next client to come clears away what it left.
    let another = locks.backend().await;
    assert_eq!(locks.ears().len(), 2);
    drop((another, backend));
    assert!(locks.ears().is_empty());
}

#[tokio::test]
async fn a_client_without_wake_ups_stands_in_no_line_and_wakes_others() {
    let locks = Locks::new();
    let polling = locks.options().wake_ups(false).connect().await.unwrap();
    assert!(!polling.capabilities().push && !polling.capabilities().line);
    assert!(polling.watch(&name("x")).await.is_err());
    let backend = locks.backend().await;
    let holder = asks("x", owner());
    granted(&polling, &holder).await;
    refused(&polling, &asks("x", owner()).standing_in_line()).await;
    assert_eq!(polling.inspect(&name("x")).await.unwrap().waiting, 0);
    let waiter = asks("x", owner()).standing_in_line();
    let mut hints = backend.watch(&name("x")).await.unwrap();
    refused(&backend, &waiter).await;
    polling.release(&name("x"), holder.owner).await.unwrap();
    hinted(&mut hints).await;
    granted(&backend, &waiter).await;
}

#[tokio::test]
async fn whoever_watches_without_standing_in_line_is_woken_by_a_release() {
    let locks = Locks::new();
    let (holder, watcher) = (locks.backend().await, locks.backend().await);
    let request = asks("x", owner());
    granted(&holder, &request).await;
    let mut hints = watcher.watch(&name("x")).await.unwrap();
    let mut others = watcher.watch(&name("y")).await.unwrap();
    refused(&watcher, &asks("x", owner())).await;
    holder.release(&name("x"), request.owner).await.unwrap();
    hinted(&mut hints).await;
    drop(hints);
    let mut never = std::pin::pin!(others.next());
    assert!(futures_util::poll!(never.as_mut()).is_pending());
    // One mark is left, that of the name that is still watched.
    assert_eq!(
        locks.ears().iter().filter(|ear| ear.contains('-')).count(),
        1
    );
}

#[tokio::test]
async fn a_forced_release_is_told_to_the_holder() {
    let locks = Locks::new();
    let (operator, backend) = (locks.backend().await, locks.backend().await);
    let mut alarms = backend.alarms();
    granted(&backend, &asks("x\0", owner())).await;
    operator.force_release(&name("x\0")).await.unwrap();
    alarmed(&mut alarms, Alarm::Check(name("x\0"))).await;
    drop(backend);
    assert_eq!(in_time(alarms.next()).await, None);
}

/// The other part of a test above: it stands in line until it is killed.
async fn wait_in_line(path: PathBuf) {
    let backend = SqliteBackend::open(path).await.unwrap();
    refused(&backend, &asks("x", owner()).standing_in_line()).await;
    std::future::pending::<()>().await;
}
