//! Runtimes that end, guards that outlive them, and clients that are closed.

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
