//! Futures dropped at every await point (C7).

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use lock_core::{DistributedMutex, LockGuard};
use lock_testkit::{Fault, StepKind};

use super::*;

/// Polls a future `polls` times, letting everything else run in between, time too after a while,
/// and then drops it;
/// `Some` if it was done before.
async fn dropped_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for i in 0..polls {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        if i < 30 {
            tokio::task::yield_now().await
        } else {
            tokio::time::sleep(ms(1)).await
        }
    }
    None
}

/// Runs an operation again and again, dropped one poll later each time, until it gets through; after
/// each drop nothing may be left and the value must be the old one or the new one.
async fn at_every_await_point<F>(
    prepare: Option<Fault>,
    at_least: usize,
    operation: impl Fn(DistributedMutex<u32>) -> F,
) where
    F: Future<Output = ()>,
{
    let mut through = false;
    for polls in 0..200 {
        let store = MemoryBackend::new();
        let (locks, backend) = faulty(&store);
        let mutex = locks.mutex::<u32>("m").unwrap();
        if let Some(fault) = prepare {
            for step in [StepKind::Acquire, StepKind::Commit, StepKind::Release] {
                backend.next(step, fault);
            }
        }
        let before = mutex.peek().await.unwrap().value;
        through = dropped_after(polls, operation(mutex.clone()))
            .await
            .is_some();
        tokio::time::sleep(ms(300)).await;
        let after = mutex.peek().await.unwrap().value;
        assert!(
            after == before || after == before + 1,
            "{polls}: {before} became {after}"
        );
        assert!(!through || after == before + 1);
        let info = locks.inspect("m").await.unwrap();
        assert!(
            info.holder.is_none() && info.waiting == 0,
            "{polls} polls leave {info:?}"
        );
        let other = client(&store).mutex::<u32>("m").unwrap();
        drop(other.try_lock().await.unwrap().expect("the name is free"));
        drop(mutex);
        assert_clean(&locks, 0);
        if through {
            assert!(polls >= at_least, "only {polls} await points were passed");
            break;
        }
    }
    assert!(through, "it never got through");
}

#[tokio::test(start_paused = true)]
async fn lock_and_commit_dropped_at_every_await_point() {
    for fault in [None, Some(Fault::LoseReply), Some(Fault::LoseRequest)] {
        at_every_await_point(fault, 4, |mutex| async move {
            let mut guard = mutex.lock().await.unwrap();
            *guard += 1;
            guard.commit().await.unwrap();
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn save_and_release_dropped_at_every_await_point() {
    at_every_await_point(None, 6, |mutex| async move {
        let mut guard = mutex.lock().await.unwrap();
        *guard += 1;
        guard.save().await.unwrap();
        guard.release().await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn update_dropped_at_every_await_point() {
    for fault in [None, Some(Fault::LoseReply)] {
        at_every_await_point(fault, 4, |mutex| async move {
            mutex
                .update(|n| {
                    *n += 1;
                    Ok(())
                })
                .await
                .unwrap();
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_dropped_at_every_await_point_leaves_no_place_in_line() {
    for polls in 0..30 {
        let store = MemoryBackend::new();
        let holder = client(&store);
        let guard = holder.mutex::<u32>("m").unwrap().lock().await.unwrap();
        let (locks, _backend) = faulty(&store);
        let mutex = locks.mutex::<u32>("m").unwrap();
        assert!(dropped_after(polls, mutex.lock()).await.is_none());
        // The drop and the release race: the lock must be free after both.
        guard.release().await.unwrap();
        settle().await;
        drop(mutex);
        assert_clean(&locks, 0);
        let info = holder.inspect("m").await.unwrap();
        assert!(
            info.holder.is_none() && info.waiting == 0,
            "{polls}: {info:?}"
        );
        let other = client(&store).mutex::<u32>("m").unwrap();
        drop(other.try_lock().await.unwrap().expect("the name is free"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_is_dropped_after_it_was_woken_passes_the_turn_on() {
    let store = MemoryBackend::new();
    let guard = client(&store)
        .mutex::<u32>("m")
        .unwrap()
        .lock()
        .await
        .unwrap();
    let (locks, backend) = faulty(&store);
    let mutex = locks.mutex::<u32>("m").unwrap();
    let waiter = tokio::spawn(async move { mutex.lock().await });
    settle().await;
    let third = client(&store).mutex::<u32>("m").unwrap();
    let third = tokio::spawn(async move { third.lock().await.map(drop) });
    settle().await;
    // The release reserves the lock for the waiter, whose attempt then hangs; and it goes away.
    backend.next(StepKind::Acquire, Fault::HangBefore);
    guard.release().await.unwrap();
    tokio::task::yield_now().await;
    waiter.abort();
    let started = tokio::time::Instant::now();
    third.await.unwrap().unwrap();
    assert!(started.elapsed() < ms(100), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_arrives_after_its_caller_went_away_is_released() {
    let store = MemoryBackend::new();
    let (locks, backend) = faulty(&store);
    backend.next(StepKind::Acquire, Fault::HangAfter);
    let mutex = locks.mutex::<u32>("m").unwrap();
    assert!(dropped_after(10, mutex.lock()).await.is_none());
    settle().await;
    assert!(locks.inspect("m").await.unwrap().holder.is_none());
}

#[tokio::test(start_paused = true)]
async fn thousands_of_locks_dropped_at_random_leave_nothing() {
    let store = MemoryBackend::new();
    let (locks, _backend) = faulty(&store);
    for i in 0_usize..5000 {
        let mutex = locks.mutex::<u32>(format!("m{}", i % 7)).unwrap();
        let _guard: Option<Result<LockGuard<u32>, _>> = dropped_after(i % 5, mutex.lock()).await;
    }
    settle().await;
    assert_clean(&locks, 0);
    for i in 0..7 {
        assert!(
            locks
                .inspect(format!("m{i}"))
                .await
                .unwrap()
                .holder
                .is_none()
        );
    }
}
