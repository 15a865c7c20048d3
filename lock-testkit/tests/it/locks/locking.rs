use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lock_core::{ErrorKind, Health, LossCause, Previous};
use lock_testkit::{Fault, StepKind};

use super::*;

#[tokio::test(start_paused = true)]
async fn one_holder_at_a_time_and_local_waiters_are_served_first_come_first_served() {
    let (locks, backend) = faulty(&MemoryBackend::new());
    let order = locks.mutex::<Vec<u32>>("order").unwrap();
    let inside = Arc::new(AtomicU32::new(0));
    let first = order.lock().await.unwrap();
    let mut tasks = Vec::new();
    for i in 0..100 {
        let (order, inside) = (order.clone(), Arc::clone(&inside));
        tasks.push(tokio::spawn(async move {
            let mut guard = order.lock().await.unwrap();
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
            guard.push(i);
            tokio::time::sleep(ms(1)).await;
            inside.fetch_sub(1, Ordering::SeqCst);
            guard.commit().await.unwrap();
        }));
        settle().await;
    }
    first.release().await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(
        order.peek().await.unwrap().value,
        (0..100).collect::<Vec<_>>()
    );
    // One commit each; for the rest local waiters ask nobody but each other.
    assert_eq!(backend.calls(StepKind::Commit), 100);
    let grants = backend.calls(StepKind::Acquire);
    assert!(grants < 10, "{grants} grants");
    assert!(backend.calls(StepKind::Release) <= grants);
}

#[tokio::test(start_paused = true)]
async fn an_uncontended_lock_and_commit_are_two_calls() {
    let (locks, backend) = faulty(&MemoryBackend::new());
    let mutex = locks.mutex::<u64>("n").unwrap();
    let guard = mutex.lock().await.unwrap();
    guard.commit().await.unwrap();
    settle().await;
    assert_eq!(backend.calls(StepKind::Acquire), 1);
    assert_eq!(backend.calls(StepKind::Commit), 1);
    for step in [
        StepKind::Release,
        StepKind::Renew,
        StepKind::Watch,
        StepKind::Peek,
    ] {
        assert_eq!(backend.calls(step), 0, "{step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn clients_take_turns_in_the_order_in_which_they_came() {
    let store = MemoryBackend::new();
    let holder = client(&store)
        .mutex::<Vec<usize>>("m")
        .unwrap()
        .lock()
        .await
        .unwrap();
    let mut tasks = Vec::new();
    for i in 0..5 {
        let mutex = client(&store).mutex::<Vec<usize>>("m").unwrap();
        tasks.push(tokio::spawn(async move {
            mutex
                .update(|order| {
                    order.push(i);
                    Ok(())
                })
                .await
                .unwrap();
        }));
        settle().await;
    }
    holder.release().await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    let order = client(&store)
        .mutex::<Vec<usize>>("m")
        .unwrap()
        .peek()
        .await
        .unwrap()
        .value;
    assert_eq!(order, [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_is_woken_by_the_release_and_not_by_its_timer() {
    let store = MemoryBackend::new();
    let guard = client(&store)
        .mutex::<()>("m")
        .unwrap()
        .lock()
        .await
        .unwrap();
    let (other, backend) = faulty(&store);
    let waiter = tokio::spawn(async move {
        let guard = other.mutex::<()>("m").unwrap().lock().await.unwrap();
        (guard.previous(), guard)
    });
    tokio::time::sleep(ms(700)).await;
    let calls = backend.calls(StepKind::Acquire);
    let released = tokio::time::Instant::now();
    guard.release().await.unwrap();
    let (previous, _guard) = waiter.await.unwrap();
    assert_eq!(previous, Previous::Released);
    assert!(released.elapsed() < ms(10), "{:?}", released.elapsed());
    // Refused, once more after registering, and the attempt that the wake-up led to.
    assert_eq!((calls, backend.calls(StepKind::Acquire)), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn a_lost_wake_up_costs_a_bounded_delay() {
    let store = MemoryBackend::new();
    let guard = client(&store)
        .mutex::<()>("m")
        .unwrap()
        .lock()
        .await
        .unwrap();
    let (other, backend) = faulty(&store);
    backend.mute();
    let mutex = other.mutex::<()>("m").unwrap();
    let waiter = tokio::spawn(async move { mutex.lock().await });
    settle().await;
    guard.release().await.unwrap();
    let waited = tokio::time::Instant::now();
    let _guard = waiter.await.unwrap().unwrap();
    assert!(waited.elapsed() <= TTL + ms(10), "{:?}", waited.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_expiry_of_a_crashed_holder_frees_the_lock() {
    let store = MemoryBackend::new();
    let (crashed, backend) = faulty(&store);
    let guard = crashed.mutex::<()>("m").unwrap().lock().await.unwrap();
    let (owner, token) = (store.inspect_owner("m").await, guard.token());
    backend.every_step(Fault::HangBefore);
    let started = tokio::time::Instant::now();
    let next = client(&store)
        .mutex::<()>("m")
        .unwrap()
        .lock()
        .await
        .unwrap();
    assert_eq!(next.previous(), Previous::Abandoned { owner, token });
    assert!(started.elapsed() <= TTL + ms(20), "{:?}", started.elapsed());
    assert!(next.token() > token);
}

#[tokio::test(start_paused = true)]
async fn a_refused_try_is_none_and_leaves_no_place_in_line() {
    let store = MemoryBackend::new();
    let (holder, backend) = faulty(&store);
    let mutex = holder.mutex::<()>("m").unwrap();
    let guard = mutex.lock().await.unwrap();
    let other = client(&store);
    assert!(
        other
            .mutex::<()>("m")
            .unwrap()
            .try_lock()
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(holder.inspect("m").await.unwrap().waiting, 0);
    // A local holder is seen without asking the store.
    let calls = backend.calls(StepKind::Acquire);
    assert!(mutex.try_lock().await.unwrap().is_none());
    assert_eq!(backend.calls(StepKind::Acquire), calls);
    guard.release().await.unwrap();
    assert!(
        other
            .mutex::<()>("m")
            .unwrap()
            .try_lock()
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_deadline_and_leaves_the_line() {
    let store = MemoryBackend::new();
    let locks = client(&store);
    let _guard = locks.mutex::<()>("m").unwrap().lock().await.unwrap();
    let other = client(&store);
    let mutex = other.mutex::<()>("m").unwrap();
    let started = tokio::time::Instant::now();
    let error = mutex.lock_timeout(ms(500)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(
        started.elapsed() >= ms(500) && started.elapsed() < ms(520),
        "{:?}",
        started.elapsed()
    );
    let deadline = tokio::time::Instant::now() + ms(100);
    assert_eq!(
        mutex.lock_until(deadline).await.unwrap_err().kind(),
        ErrorKind::Timeout
    );
    assert!(tokio::time::Instant::now() < deadline + ms(20));
    // A deadline that has passed is one attempt.
    let error = mutex
        .lock_until(std::time::Instant::now())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    settle().await;
    assert_eq!(locks.inspect("m").await.unwrap().waiting, 0);
    drop(mutex);
    assert_clean(&other, 0);
    // Local waiters keep their deadline too.
    let local = locks.mutex::<()>("m").unwrap();
    assert_eq!(
        local.lock_timeout(ms(50)).await.unwrap_err().kind(),
        ErrorKind::Timeout
    );
}

#[tokio::test(start_paused = true)]
async fn a_zero_timeout_takes_a_free_lock() {
    let locks = client(&MemoryBackend::new());
    let mutex = locks.mutex::<()>("m").unwrap();
    assert!(mutex.lock_timeout(Duration::ZERO).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_held_lease_is_renewed_each_third_of_its_ttl() {
    let store = MemoryBackend::new();
    let (locks, backend) = faulty(&store);
    let guard = locks.mutex::<()>("m").unwrap().lock().await.unwrap();
    tokio::time::sleep(TTL * 10 + ms(100)).await;
    assert_eq!(guard.health(), Health::Healthy);
    assert_eq!(backend.calls(StepKind::Renew), 30);
    guard.release().await.unwrap();
    tokio::time::sleep(TTL * 10).await;
    assert_eq!(
        backend.calls(StepKind::Renew),
        30,
        "a released lease is renewed no more"
    );
}

#[tokio::test(start_paused = true)]
async fn a_thousand_leases_are_renewed_in_batches() {
    let store = MemoryBackend::new();
    let (locks, backend) = faulty(&store);
    let mut guards = Vec::new();
    for i in 0..1000 {
        guards.push(
            locks
                .mutex::<()>(format!("m{i}"))
                .unwrap()
                .lock()
                .await
                .unwrap(),
        );
    }
    tokio::time::sleep(TTL * 10).await;
    assert!(guards.iter().all(lock_core::LockGuard::is_held));
    let calls = backend.calls(StepKind::Renew);
    // 30 rounds of four batches.
    assert!((90..=130).contains(&calls), "{calls}");
}

#[tokio::test(start_paused = true)]
async fn tokens_grow_over_release_expiry_force_and_the_loss_of_everything() {
    let store = MemoryBackend::new();
    let (locks, backend) = faulty(&store);
    let mutex = locks.mutex::<()>("m").unwrap();
    let mut last = 0;
    for round in 0..40 {
        let guard = mutex.lock().await.unwrap();
        let token = guard.token().get();
        assert!(token > last, "round {round}: {token} after {last}");
        last = token;
        match round % 4 {
            0 => guard.release().await.unwrap(),
            1 => {
                backend.every_step(Fault::LoseRequest);
                tokio::time::sleep(TTL).await;
                assert!(!guard.is_held());
                backend.every_step(Fault::None);
                drop(guard);
                settle().await;
            }
            2 => {
                locks.force_release("m").await.unwrap();
                assert_eq!(guard.lost().await, LossCause::Forced);
            }
            _ => {
                guard.release().await.unwrap();
                // Virtual time stands still, and a restart takes a while.
                settle().await;
                store.wipe();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn names_are_independent() {
    let locks = client(&MemoryBackend::new());
    let mut guards = Vec::new();
    for name in [
        "a", "A", "a ", "{a}", "a\0", "a\n", "ä", "a\u{308}", "*", "%61",
    ] {
        let mutex = locks.mutex::<String>(name).unwrap();
        let mut guard = mutex.try_lock().await.unwrap().expect(name);
        name.clone_into(&mut guard);
        guard.save().await.unwrap();
        guards.push((name, guard));
    }
    for (name, _guard) in &guards {
        assert_eq!(
            locks
                .mutex::<String>(name)
                .unwrap()
                .peek()
                .await
                .unwrap()
                .value,
            *name
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_operator_sees_who_holds_what() {
    let store = MemoryBackend::new();
    let locks = client(&store);
    let labelled = LockOptions::builder()
        .ttl(TTL)
        .label("worker 7")
        .build()
        .unwrap();
    let mutex = locks
        .mutex_with("job/a", || ())
        .options(labelled)
        .build()
        .unwrap();
    let guard = mutex.lock().await.unwrap();
    let waiting = client(&store).mutex::<()>("job/a").unwrap();
    let waiter = tokio::spawn(async move { waiting.lock().await });
    tokio::time::sleep(ms(500)).await;
    let info = locks.inspect("job/a").await.unwrap();
    let holder = info.holder.unwrap();
    assert_eq!(holder.label, "worker 7");
    assert_eq!(holder.token, Some(guard.token()));
    assert!(holder.held_for.unwrap() >= ms(500));
    assert!(holder.expires_in.unwrap() <= TTL);
    assert_eq!(info.waiting, 1);
    let _b = locks.mutex::<()>("job/b").unwrap().lock().await.unwrap();
    let _c = locks.mutex::<()>("other").unwrap().lock().await.unwrap();
    assert_eq!(locks.list("job/", 10).await.unwrap().len(), 2);
    assert_eq!(locks.list("", 2).await.unwrap().len(), 2);
    waiter.abort();
}

trait InspectOwner {
    async fn inspect_owner(&self, name: &str) -> lock_core::OwnerId;
}

impl InspectOwner for MemoryBackend {
    async fn inspect_owner(&self, name: &str) -> lock_core::OwnerId {
        let info = client(self).inspect(name).await.unwrap();
        info.holder.unwrap().owner.unwrap()
    }
}
