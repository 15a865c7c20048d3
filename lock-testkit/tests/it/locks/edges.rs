//! Ends that are easily forgotten: after a guard, after a refusal, after a time-out, too late.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Wake, Waker};

use lock_core::{
    Acquire, Effect, ErrorKind, ForcedRelease, Label, LockBackend, LockName, OwnerId,
    SystemEntropy, Ttl,
};
use lock_testkit::{Fault, StepKind};

use super::*;

#[derive(Default)]
struct Count(AtomicU32);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn lost_rests_after_a_guard_that_ended_well() {
    let locks = client(&MemoryBackend::new());
    let guard = locks.mutex::<()>("m").unwrap().lock().await.unwrap();
    let mut lost = Box::pin(guard.lost());
    guard.release().await.unwrap();
    tokio::time::sleep(TTL).await;
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    assert!(
        lost.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    settle().await;
    assert_eq!(count.0.load(Ordering::Relaxed), 0, "it asks to be polled");
}

#[tokio::test(start_paused = true)]
async fn a_store_too_slow_for_the_ttl_is_given_up() {
    let store = MemoryBackend::new();
    let backend = FaultyBackend::new(store.another_client());
    let options = LockOptions::builder()
        .ttl(TTL)
        .request_timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    let locks = LockClient::builder(backend.clone())
        .options(options)
        .build();
    backend.always(StepKind::Acquire, Fault::DelayReply(TTL));
    let mutex = locks.mutex::<()>("m").unwrap();
    let hour = Duration::from_secs(3600);
    let error = tokio::time::timeout(hour, mutex.lock()).await;
    let error = error.expect("lock() gives up").unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Unavailable, Effect::Unknown)
    );
    settle().await;
    let tried = tokio::time::timeout(hour, mutex.try_lock()).await;
    assert!(tried.expect("try_lock() gives up").is_err());
    let quick = LockOptions::builder().ttl(ms(50)).build().unwrap();
    let short = locks
        .mutex_with("short", || ())
        .options(quick)
        .build()
        .unwrap();
    backend.always(StepKind::Acquire, Fault::DelayReply(ms(46)));
    let timed = tokio::time::timeout(hour, short.lock_timeout(ms(200))).await;
    assert!(timed.expect("lock_timeout() keeps its word").is_err());
}

#[tokio::test(start_paused = true)]
async fn a_refused_try_costs_one_request() {
    let store = MemoryBackend::new();
    let guard = client(&store)
        .mutex::<()>("m")
        .unwrap()
        .lock()
        .await
        .unwrap();
    let (locks, backend) = faulty(&store);
    let mutex = locks.mutex::<()>("m").unwrap();
    assert!(mutex.try_lock().await.unwrap().is_none());
    guard.release().await.unwrap();
    assert!(mutex.try_lock().await.unwrap().is_some(), "it is free now");
    assert_eq!(backend.calls(StepKind::Acquire), 2);
    settle().await;
    assert_eq!(backend.calls(StepKind::Release), 1, "that of the guard");
}

#[tokio::test(start_paused = true)]
async fn a_time_out_with_a_reply_missing_does_not_claim_that_nothing_happened() {
    let store = MemoryBackend::new();
    let (locks, backend) = faulty(&store);
    backend.always(StepKind::Acquire, Fault::LoseReply);
    backend.always(StepKind::Release, Fault::LoseRequest);
    let mutex = locks.mutex::<()>("m").unwrap();
    let error = mutex.lock_timeout(ms(200)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Timeout, Effect::Unknown)
    );
    assert!(client(&store).inspect("m").await.unwrap().holder.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_plain_lock_does_not_make_the_store_forget_a_value() {
    let locks = client(&MemoryBackend::new());
    let stock = locks.mutex::<u32>("stock").unwrap();
    let mut guard = stock.lock().await.unwrap();
    *guard = 7;
    guard.commit().await.unwrap();
    let plain = locks.mutex::<()>("stock").unwrap();
    let guard = plain.lock().await.unwrap();
    tokio::time::sleep(TTL).await;
    guard.release().await.unwrap();
    tokio::time::sleep(Duration::from_secs(3 * 24 * 3600)).await;
    assert_eq!(stock.peek().await.unwrap().value, 7);
}

#[tokio::test(start_paused = true)]
async fn a_reservation_is_nobodys_lease_to_be_forced() {
    let store = MemoryBackend::new();
    let name = LockName::new("m").unwrap();
    let ttl = Ttl::new(TTL).unwrap();
    let ask = |owner| Acquire::new(name.clone(), owner, ttl, Label::new("").unwrap());
    let first = OwnerId::draw(&SystemEntropy);
    let second = OwnerId::draw(&SystemEntropy);
    store.acquire(&ask(first)).await.unwrap();
    let in_line = ask(second).standing_in_line();
    store.acquire(&in_line).await.unwrap();
    store.release(&name, first).await.unwrap();
    let forced = store.force_release(&name).await.unwrap();
    assert_eq!(forced, ForcedRelease::NotHeld);
}
