//! Futures dropped anywhere: nothing stays behind (C7).

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lock_core::{LockBackend, LockClient};

use crate::file::Locks;
use crate::{asks, granted, in_time, name, owner, refused, until};

/// Polls a future `polls` times, letting everything else run in between, and then drops it; `Some`
/// if it was done before.
async fn dropped_after<T>(polls: u64, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for i in 0..polls {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        if i < 3 {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }
    None
}

#[tokio::test]
async fn lock_and_commit_dropped_at_every_await_point() {
    let locks = Locks::new();
    let client = LockClient::new(locks.backend().await);
    let other = LockClient::new(locks.backend().await);
    for polls in 0..1000 {
        let lock = format!("m{polls}");
        let through = dropped_after(polls, async {
            let mut guard = client.mutex::<u32>(&lock).unwrap().lock().await.unwrap();
            *guard += 1;
            guard.commit().await.unwrap();
        })
        .await
        .is_some();
        until(async || (client.stats().outstanding == 0).then_some(())).await;
        let next = other.mutex::<u32>(&lock).unwrap();
        let next = next.try_lock().await.unwrap().expect("the name is free");
        assert!(*next <= 1 && (!through || *next == 1), "{polls}: {}", *next);
        next.release().await.unwrap();
        if through {
            assert!(polls > 4, "only {polls} polls");
            return;
        }
    }
    panic!("it never got through");
}

#[tokio::test]
async fn steps_dropped_at_every_await_point_leave_no_transaction_open() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    for polls in 0..60 {
        let lock = format!("m{polls}");
        let request = asks(&lock, owner());
        drop(dropped_after(polls % 20, backend.acquire(&request)).await);
        // Steps of one client come one after the other, so the release finds what was granted.
        in_time(backend.release(&name(&lock), request.owner))
            .await
            .unwrap();
        let mut other = locks.connection().await;
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut other)
            .await
            .unwrap();
        sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
        assert_eq!(backend.inspect(&name(&lock)).await.unwrap().holder, None);
    }
}

#[tokio::test]
async fn a_runtime_that_ends_during_a_step_leaves_the_file_free() {
    let locks = Locks::new();
    let (backend, other) = (locks.backend().await, locks.backend().await);
    for round in 0..40_u32 {
        let lock = format!("m{round}");
        let request = asks(&lock, owner());
        std::thread::scope(|scope| {
            let body = || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let polls = u64::from(round % 20);
                    drop(dropped_after(polls, backend.acquire(&request)).await);
                });
            };
            scope.spawn(body).join().unwrap();
        });
        in_time(backend.release(&name(&lock), request.owner))
            .await
            .unwrap();
        granted(&other, &asks(&lock, owner())).await;
        refused(&backend, &asks(&lock, owner())).await;
    }
}

#[tokio::test]
async fn a_backend_that_is_dropped_leaves_nothing_but_the_file() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    let hints = backend.watch(&name("x")).await.unwrap();
    granted(&backend, &asks("x", owner())).await;
    assert_eq!(locks.ears().len(), 2);
    drop(backend);
    drop(hints);
    // SQLite's thread closes the file, and with the last connection the log goes.
    until(async || {
        let left = std::fs::read_dir(locks.folder()).unwrap().count();
        (left == 1).then_some(())
    })
    .await;
}
