//! Waiters that are slow to be polled, or are not polled at all, and callers whose time is up while
//! the store hangs: nobody else waits for them without a bound.

use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use futures_util::FutureExt;
use lock_core::{DistributedMutex, ErrorKind, LockGuard};
use lock_testkit::{Fault, StepKind};

use super::*;

/// A guard whose lease may pass on: it was granted while others waited.
async fn granted_with_tokens(locks: &LockClient) -> (DistributedMutex<u32>, LockGuard<u32>) {
    let mutex = locks.mutex::<u32>("m").unwrap();
    let blocker = mutex.lock().await.unwrap();
    let waiting = mutex.clone();
    let waiter = tokio::spawn(async move { waiting.lock().await.unwrap() });
    settle().await;
    blocker.release().await.unwrap();
    (mutex, waiter.await.unwrap())
}

/// A waker that has a guard dropped with it.
struct Drops(Mutex<Option<LockGuard<u32>>>);

impl Wake for Drops {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Drops {
    fn drop(&mut self) {
        drop(self.0.lock().unwrap().take());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_meets_nobody_but_a_waiter_who_is_just_leaving_goes_back_once() {
    let most = LockOptions::HANDOVER_MAX_LIMIT;
    let store = MemoryBackend::new();
    let (locks, backend) = handover::passing(&store, most, ms(1000));
    let (mutex, guard) = granted_with_tokens(&locks).await;
    let mut waiter = Box::pin(mutex.lock());
    let waker = Waker::from(Arc::new(Drops(Mutex::new(Some(guard)))));
    let polled = waiter.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    drop(waker);
    // The last to have the waker is the queue that it leaves, and then it still counts as waiting.
    drop(waiter);
    settle().await;
    assert_clean(&locks, 1);
    assert_eq!(backend.calls(StepKind::Release), 2);
}

#[tokio::test(start_paused = true)]
async fn a_time_out_holds_though_updates_before_it_are_being_written() {
    let (locks, backend) = faulty(&MemoryBackend::new());
    let mutex = locks.mutex::<u32>("m").unwrap();
    let guard = mutex.lock().await.unwrap();
    let updating = mutex.clone();
    let update = tokio::spawn(async move {
        updating
            .update(|n| {
                *n += 1;
                Ok(())
            })
            .await
    });
    settle().await;
    let timed = mutex.clone();
    let timed = tokio::spawn(async move { timed.lock_timeout(ms(500)).await.map(drop) });
    settle().await;
    backend.always(StepKind::Commit, Fault::HangBefore);
    guard.release().await.unwrap();
    let answer = tokio::time::timeout(ms(600), timed).await;
    let error = answer.expect("its time is up").unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    // What was before it goes on without it.
    backend.always(StepKind::Commit, Fault::None);
    update.await.unwrap().unwrap();
    assert_eq!(mutex.peek().await.unwrap().value, 1);
    settle().await;
    assert_clean(&locks, 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_is_not_polled_keeps_no_other_process_out() {
    let store = MemoryBackend::new();
    let (locks, _) = handover::passing(&store, 100, ms(1000));
    let (mutex, guard) = granted_with_tokens(&locks).await;
    let mut idle = Box::pin(mutex.lock());
    assert!(idle.as_mut().now_or_never().is_none());
    guard.release().await.unwrap();
    let other = client(&store).mutex::<u32>("m").unwrap();
    let theirs = other.lock_timeout(TTL * 2).await.expect("it is let in");
    theirs.release().await.unwrap();
    // The waiter still has its turn.
    idle.await.unwrap().release().await.unwrap();
    settle().await;
    assert_clean(&locks, 1);
}

#[tokio::test(start_paused = true)]
async fn an_update_that_is_not_polled_does_not_keep_those_before_it_waiting() {
    let (locks, _) = faulty(&MemoryBackend::new());
    let mutex = locks.mutex::<u32>("m").unwrap();
    let guard = mutex.lock().await.unwrap();
    let updating = mutex.clone();
    let first = tokio::spawn(async move {
        updating
            .update(|n| {
                *n += 1;
                Ok(())
            })
            .await
    });
    settle().await;
    let mut idle = Box::pin(mutex.update(|n| {
        *n += 10;
        Ok(())
    }));
    assert!(idle.as_mut().now_or_never().is_none());
    guard.release().await.unwrap();
    let told = tokio::time::timeout(TTL * 2, first).await;
    told.expect("it is told").unwrap().unwrap();
    assert_eq!(mutex.peek().await.unwrap().value, 1);
    idle.await.unwrap();
    assert_eq!(mutex.peek().await.unwrap().value, 11);
    settle().await;
    assert_clean(&locks, 1);
}

#[tokio::test(start_paused = true)]
async fn a_long_lease_is_kept_though_short_ones_leave_the_store_too_little_time() {
    let (locks, backend) = faulty(&MemoryBackend::new());
    // It is to be renewed each 20 ms, and the store takes 25.
    let short = LockOptions::builder().ttl(ms(60)).build().unwrap();
    backend.always(StepKind::Renew, Fault::DelayReply(ms(25)));
    let long = locks.mutex::<()>("long").unwrap().lock().await.unwrap();
    let mutex = locks
        .mutex_with("short", || ())
        .options(short)
        .build()
        .unwrap();
    for _ in 0..300 {
        let guard = mutex.lock().await.unwrap();
        tokio::time::sleep(ms(30)).await;
        guard.release().await.unwrap();
        assert!(long.is_held());
    }
    long.release().await.unwrap();
}
