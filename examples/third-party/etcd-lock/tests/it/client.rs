//! lock-core's client on the backend.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lock_core::{DistributedMutex, ErrorKind, LockClient, LockOptions, LossCause, Previous};

use crate::server::Server;
use crate::{in_time, until};

async fn client(server: &Server) -> LockClient {
    LockClient::new(server.backend().await)
}

fn counter(locks: &LockClient, lock: &str) -> DistributedMutex<u64> {
    locks.mutex(lock).unwrap()
}

#[tokio::test]
async fn a_value_is_committed_and_read_by_the_next_holder() {
    let server = Server::start().await;
    let (one, other) = (client(&server).await, client(&server).await);
    let mut guard = counter(&one, "x").lock().await.unwrap();
    assert_eq!(guard.previous(), Previous::First);
    *guard += 1;
    guard.save().await.unwrap();
    *guard += 1;
    guard.commit().await.unwrap();
    let guard = counter(&other, "x").lock().await.unwrap();
    assert_eq!((*guard, guard.previous()), (2, Previous::Released));
    assert!(counter(&one, "x").try_lock().await.unwrap().is_none());
    guard.release().await.unwrap();
    assert!(counter(&one, "x").try_lock().await.unwrap().is_some());
}

#[tokio::test]
async fn no_increment_of_contending_clients_is_lost() {
    let server = Server::start().await;
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let locks = client(&server).await;
        workers.spawn(async move {
            for _ in 0..20 {
                let mut guard = counter(&locks, "x").lock().await.unwrap();
                *guard += 1;
                guard.commit().await.unwrap();
            }
        });
    }
    in_time(workers.join_all()).await;
    let guard = counter(&client(&server).await, "x").lock().await.unwrap();
    assert_eq!(*guard, 60);
}

#[tokio::test]
async fn a_waiter_is_woken_by_the_release_long_before_the_expiry() {
    let server = Server::start().await;
    let (one, other) = (client(&server).await, client(&server).await);
    let options = LockOptions::builder()
        .ttl(Duration::from_secs(3600))
        .renew_interval(Duration::from_secs(600))
        .build()
        .unwrap();
    let held = one.mutex_with::<u64>("x", || 0).options(options);
    let guard = held.build().unwrap().lock().await.unwrap();
    let waiter = tokio::spawn(async move { counter(&other, "x").lock().await.map(drop) });
    until(async || server.requests().await.contains_key("Watch").then_some(())).await;
    guard.release().await.unwrap();
    in_time(waiter).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_lease_is_renewed_and_ends_when_nobody_renews_it() {
    let server = Server::start().await;
    let (one, other) = (client(&server).await, client(&server).await);
    let options = LockOptions::builder().renew_interval(Duration::from_millis(100));
    let held = one.mutex_with::<u64>("x", || 0);
    let held = held.options(options.build().unwrap()).build().unwrap();
    let mut guard = held.lock().await.unwrap();
    let token = guard.token();
    let renewals = async || server.requests().await.get("LeaseKeepAlive").copied();
    until(async || renewals().await.filter(|count| *count >= 3)).await;
    assert!(guard.is_held());
    *guard = 7;
    guard.save().await.unwrap();
    // Its holder is gone without a word: the keys of its lease go with it.
    let mut etcd = server.stranger().await;
    let holder = etcd.get("lock/holder/x", None).await.unwrap();
    etcd.lease_revoke(holder.kvs()[0].lease()).await.unwrap();
    let next = counter(&other, "x").lock().await.unwrap();
    assert!(matches!(next.previous(), Previous::Abandoned { token: t, .. } if t == token));
    assert_eq!(*next, 7);
    let cause = in_time(guard.lost()).await;
    assert!(matches!(cause, LossCause::Displaced | LossCause::Expired));
    let error = guard.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LeaseLost);
}

#[tokio::test]
async fn a_forced_release_fences_the_holder_out() {
    let server = Server::start().await;
    let (one, other) = (client(&server).await, client(&server).await);
    let mut guard = counter(&one, "x").lock().await.unwrap();
    *guard = 7;
    other.force_release("x").await.unwrap();
    let next = counter(&other, "x").lock().await.unwrap();
    assert_eq!((*next, next.previous()), (0, Previous::Forced));
    let error = guard.commit().await.unwrap_err();
    assert_eq!(error.loss(), Some(LossCause::Forced));
}

/// Polls a future so many times, lets everything else run in between, and then drops it; `Some` if
/// it was done before.
async fn dropped_after<T>(polls: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    None
}

#[tokio::test]
async fn lock_and_commit_dropped_anywhere_leave_nothing() {
    let server = Server::start().await;
    let (one, other) = (client(&server).await, client(&server).await);
    let mut through = 0;
    for polls in 0..60 {
        let lock = format!("x{polls}");
        let operation = async {
            let mut guard = counter(&one, &lock).lock().await.unwrap();
            *guard += 1;
            guard.commit().await.unwrap();
        };
        let done = dropped_after(polls, operation).await.is_some();
        let next = in_time(counter(&other, &lock).lock()).await.unwrap();
        assert!(*next <= 1 && (!done || *next == 1), "{polls}: {}", *next);
        next.release().await.unwrap();
        through += usize::from(done);
    }
    assert!(through > 0, "it never got through");
    one.close(Duration::from_secs(10)).await.unwrap();
    assert_eq!(server.keys("lock/holder/").await.len(), 0);
    until(async || (server.leases().await == 0).then_some(())).await;
}
