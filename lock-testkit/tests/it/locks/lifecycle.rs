//! Runtimes that end, guards that outlive them, and clients that are closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use futures_util::FutureExt;
use lock_core::{ErrorKind, LossCause};
use lock_testkit::{Fault, StepKind};
use tokio::runtime::{Builder, Runtime};

use super::*;

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
}

#[test]
fn a_guard_dropped_outside_a_runtime_is_released_by_the_next_one() {
    let store = MemoryBackend::new();
    let (first, locks) = (runtime(), client(&store));
    let mutex = locks.mutex::<u32>("m").unwrap();
    let guard = first.block_on(mutex.lock()).unwrap();
    drop(first);
    drop(guard);
    // Another name, so that what frees the first is the background release and not the caller.
    runtime().block_on(async {
        locks
            .mutex::<u32>("other")
            .unwrap()
            .lock()
            .await
            .unwrap()
            .release()
            .await
            .unwrap();
        settle().await;
        assert!(locks.inspect("m").await.unwrap().holder.is_none());
        drop(mutex);
        assert_clean(&locks, 0);
    });
}

#[test]
fn a_guard_dropped_outside_while_its_runtime_lives_is_released_there() {
    let store = MemoryBackend::new();
    let (runtime, locks) = (runtime(), client(&store));
    let guard = runtime
        .block_on(locks.mutex::<u32>("m").unwrap().lock())
        .unwrap();
    drop(guard);
    runtime.block_on(async {
        settle().await;
        assert!(locks.inspect("m").await.unwrap().holder.is_none());
    });
}

#[test]
fn a_client_goes_on_renewing_on_another_runtime_when_its_first_is_gone() {
    let store = MemoryBackend::new();
    let locks = client(&store);
    let first = runtime();
    let guard = first
        .block_on(locks.mutex::<u32>("m").unwrap().lock())
        .unwrap();
    drop(first);
    runtime().block_on(async {
        let _other = locks.mutex::<u32>("n").unwrap().lock().await.unwrap();
        tokio::time::sleep(TTL * 5).await;
        assert!(guard.is_held());
        guard.commit().await.unwrap();
    });
}

#[test]
fn a_guard_moved_into_a_task_that_its_runtime_drops_is_harmless() {
    let store = MemoryBackend::new();
    let (runtime, locks) = (runtime(), client(&store));
    let guard = runtime
        .block_on(locks.mutex::<u32>("m").unwrap().lock())
        .unwrap();
    drop(runtime.spawn(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    }));
    runtime.block_on(settle());
    drop(runtime);
    assert_eq!(locks.stats().leases, 0);
}

#[test]
fn locking_outside_a_runtime_is_an_error_and_not_a_panic() {
    let locks = client(&MemoryBackend::new());
    let mutex = locks.mutex::<u32>("m").unwrap();
    let mut lock = std::pin::pin!(mutex.lock());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = lock.as_mut().poll(&mut context) else {
        panic!("it neither failed nor waited for a runtime");
    };
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("runtime"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_guard_dropped_by_a_panic_is_released() {
    let store = MemoryBackend::new();
    let locks = client(&store);
    let mutex = locks.mutex::<u32>("m").unwrap();
    let task = tokio::spawn(async move {
        let mut guard = mutex.lock().await.unwrap();
        *guard = 1;
        panic!("the service has a defect");
    });
    assert!(task.await.unwrap_err().is_panic());
    settle().await;
    assert!(locks.inspect("m").await.unwrap().holder.is_none());
    assert_clean(&locks, 0);
}

#[tokio::test(start_paused = true)]
async fn close_gives_up_every_lease_and_ends_every_wait() {
    let store = MemoryBackend::new();
    let locks = client(&store);
    let mut guards = Vec::new();
    for i in 0..10 {
        guards.push(
            locks
                .mutex::<u32>(format!("m{i}"))
                .unwrap()
                .lock()
                .await
                .unwrap(),
        );
    }
    let local = locks.mutex::<u32>("m0").unwrap();
    let local = tokio::spawn(async move { local.lock().await });
    let _elsewhere = client(&store)
        .mutex::<u32>("n")
        .unwrap()
        .lock()
        .await
        .unwrap();
    let remote = locks.mutex::<u32>("n").unwrap();
    let remote = tokio::spawn(async move { remote.lock().await });
    settle().await;
    locks.close(ms(1000)).await.unwrap();
    for i in 0..10 {
        let info = client(&store).inspect(format!("m{i}")).await.unwrap();
        assert!(info.holder.is_none(), "{info:?}");
    }
    for guard in guards {
        assert_eq!(guard.lost().await, LossCause::Closed);
        assert_eq!(
            guard.commit().await.unwrap_err().kind(),
            ErrorKind::LeaseLost
        );
    }
    for waiter in [local, remote] {
        assert_eq!(waiter.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    }
    settle().await;
    assert_eq!(client(&store).inspect("n").await.unwrap().waiting, 0);
    let late = locks.mutex::<u32>("m0").unwrap().lock().await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_save_that_a_close_overtook_is_lost_to_the_close() {
    let (locks, backend) = faulty(&MemoryBackend::new());
    let mut guard = locks.mutex::<u32>("m").unwrap().lock().await.unwrap();
    backend.next(StepKind::Commit, Fault::HangBefore);
    let saving = tokio::spawn(async move { (guard.save().await, guard.lost().await) });
    settle().await;
    assert!(locks.close(TTL).await.is_ok());
    let (saved, cause) = saving.await.unwrap();
    assert_eq!(cause, LossCause::Closed);
    assert_eq!(saved.unwrap_err().loss(), Some(cause));
}

/// Sees whether a client has nothing under way while it still holds the lock.
struct Gap {
    locks: LockClient,
    seen: AtomicBool,
}

impl Wake for Gap {
    fn wake(self: Arc<Self>) {
        let is_settled = self.locks.stats().outstanding == 0;
        let info = self.locks.inspect("m").now_or_never();
        let is_held = info.is_none_or(|info| info.unwrap().holder.is_some());
        self.seen.fetch_or(is_settled && is_held, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn close_waits_from_a_commit_that_fails_to_the_release_that_follows() {
    let (locks, backend) = faulty(&MemoryBackend::new());
    // It gives up long before the lease would end.
    let impatient = LockOptions::builder().ttl(TTL).patience(ms(500));
    let mutex = locks
        .mutex_with("m", || 0)
        .options(impatient.build().unwrap());
    let guard = mutex.build().unwrap().lock().await.unwrap();
    backend.always(StepKind::Commit, Fault::Refuse);
    let commit = tokio::spawn(guard.commit());
    settle().await;
    let gap = Arc::new(Gap {
        locks: locks.clone(),
        seen: AtomicBool::new(false),
    });
    let mut closing = Box::pin(locks.close(TTL * 10));
    let waker = Waker::from(Arc::clone(&gap));
    let polled = closing.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    assert!(commit.await.unwrap().is_err());
    settle().await;
    assert!(!gap.seen.load(Ordering::SeqCst));
    closing.await.unwrap();
    assert!(locks.inspect("m").await.unwrap().holder.is_none());
}

#[tokio::test(start_paused = true)]
async fn close_ends_in_time_though_the_store_hangs() {
    let (locks, backend) = faulty(&MemoryBackend::new());
    let _guard = locks.mutex::<u32>("m").unwrap().lock().await.unwrap();
    backend.every_step(Fault::HangBefore);
    let started = tokio::time::Instant::now();
    let error = locks.close(ms(700)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(started.elapsed() < ms(720), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_release_in_the_background_is_repeated_until_the_store_is_back() {
    let store = MemoryBackend::new();
    let (locks, backend) = faulty(&store);
    let guard = locks.mutex::<u32>("m").unwrap().lock().await.unwrap();
    backend.every_step(Fault::LoseRequest);
    drop(guard);
    tokio::time::sleep(ms(1500)).await;
    assert!(backend.calls(StepKind::Release) > 1);
    assert!(client(&store).inspect("m").await.unwrap().holder.is_some());
    backend.every_step(Fault::None);
    tokio::time::sleep(ms(1001)).await;
    assert!(client(&store).inspect("m").await.unwrap().holder.is_none());
}

#[test]
fn the_clients_tasks_end_with_its_last_handle() {
    let runtime = runtime();
    runtime.block_on(async {
        let locks = client(&MemoryBackend::new());
        let mutex = locks.mutex::<u32>("m").unwrap();
        let guard = mutex.lock().await.unwrap();
        drop((locks, mutex));
        settle().await;
        assert_eq!(
            tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks(),
            2
        );
        drop(guard);
        settle().await;
        assert_eq!(
            tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks(),
            0
        );
    });
}

#[test]
fn a_renewal_that_was_under_way_when_its_runtime_ended_is_sent_again_on_the_next() {
    let store = MemoryBackend::new();
    let (locks, backend) = faulty(&store);
    let first = runtime();
    let guard = first.block_on(async {
        let guard = locks.mutex::<u32>("m").unwrap().lock().await.unwrap();
        backend.next(StepKind::Renew, Fault::HangBefore);
        tokio::time::sleep(ms(1010)).await;
        guard
    });
    drop(first);
    runtime().block_on(async {
        let _other = locks.mutex::<u32>("n").unwrap().lock().await.unwrap();
        tokio::time::sleep(TTL * 5).await;
        assert!(guard.is_held());
    });
}

#[test]
fn a_release_that_was_under_way_when_its_runtime_ended_is_not_forgotten() {
    let store = MemoryBackend::new();
    let (locks, backend) = faulty(&store);
    let first = runtime();
    first.block_on(async {
        let guard = locks.mutex::<u32>("m").unwrap().lock().await.unwrap();
        backend.next(StepKind::Release, Fault::HangBefore);
        drop(guard);
        settle().await;
    });
    drop(first);
    assert_eq!(locks.stats().outstanding, 1);
    runtime().block_on(async {
        // Closing starts what is needed on this runtime, and waits for it.
        locks.close(ms(1000)).await.unwrap();
        assert!(client(&store).inspect("m").await.unwrap().holder.is_none());
    });
}

#[test]
fn who_waits_is_told_that_the_runtime_has_ended_on_which_its_turn_was_to_be_freed() {
    let store = MemoryBackend::new();
    let (locks, backend) = faulty(&store);
    let mutex = locks.mutex::<u32>("m").unwrap();
    let (first, second) = (runtime(), runtime());
    first.block_on(async {
        let guard = mutex.lock().await.unwrap();
        backend.next(StepKind::Release, Fault::HangBefore);
        drop(guard);
        settle().await;
    });
    let waits = second.spawn(async move { mutex.lock().await.map(drop) });
    second.block_on(settle());
    assert!(!waits.is_finished());
    drop(first);
    second.block_on(async {
        let limit = TTL * 100;
        let granted = tokio::time::timeout(limit, waits).await.unwrap().unwrap();
        granted.unwrap();
    });
}

#[tokio::test(start_paused = true)]
async fn releases_that_get_no_answer_hold_up_no_others() {
    let store = MemoryBackend::new();
    let (locks, backend) = faulty(&store);
    let mut guards = Vec::new();
    for i in 0..600 {
        guards.push(
            locks
                .mutex::<u32>(format!("m{i}"))
                .unwrap()
                .lock()
                .await
                .unwrap(),
        );
    }
    let last = locks.mutex::<u32>("last").unwrap().lock().await.unwrap();
    // As many as may be under way at once, and more, fail at once and are repeated after a pause.
    for _ in 0..600 {
        backend.next(StepKind::Release, Fault::Refuse);
    }
    drop(guards);
    tokio::task::yield_now().await;
    drop(last);
    tokio::time::sleep(ms(5)).await;
    assert!(locks.inspect("last").await.unwrap().holder.is_none());
    tokio::time::sleep(ms(1000)).await;
    assert_clean(&locks, 0);
}

#[tokio::test(start_paused = true)]
async fn watching_for_a_loss_keeps_no_client_alive() {
    let store = MemoryBackend::new();
    let locks = client(&store);
    let guard = locks.mutex::<u32>("m").unwrap().lock().await.unwrap();
    let watcher = tokio::spawn(guard.lost());
    drop((locks, guard));
    settle().await;
    // The watcher alone is left.
    assert_eq!(
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks(),
        1
    );
    watcher.abort();
}
