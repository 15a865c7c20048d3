use lock_core::{Effect, ErrorKind, Health, LossCause, Previous};
use lock_testkit::{Fault, StepKind};

use super::*;

#[tokio::test(start_paused = true)]
async fn loss_is_told_before_the_store_lets_go_though_the_network_hangs() {
    for fault in [
        Fault::HangBefore,
        Fault::HangAfter,
        Fault::LoseRequest,
        Fault::Refuse,
    ] {
        let store = MemoryBackend::new();
        let (locks, backend) = faulty(&store);
        let guard = locks.mutex::<u32>("m").unwrap().lock().await.unwrap();
        tokio::time::sleep(ms(1500)).await;
        let started = tokio::time::Instant::now();
        backend.every_step(fault);
        assert_eq!(guard.lost().await, LossCause::Expired);
        if fault != Fault::HangAfter {
            let info = client(&store).inspect("m").await.unwrap();
            assert!(
                info.holder.is_some(),
                "{fault:?}: the store let go before the holder knew"
            );
        }
        assert!(
            started.elapsed() <= TTL + TTL / 3 + ms(3),
            "{fault:?}: {:?}",
            started.elapsed()
        );
        assert!(!guard.is_held());
        assert_eq!(guard.remaining(), Duration::ZERO);
        assert_eq!(
            guard.health(),
            Health::Lost {
                cause: LossCause::Expired
            }
        );
        let error = guard.commit().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LeaseLost);
        assert_eq!(error.effect(), Effect::NotApplied);
        assert_eq!(error.loss(), Some(LossCause::Expired));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_is_jeopardy_and_a_later_one_heals_it() {
    let (locks, backend) = faulty(&MemoryBackend::new());
    let guard = locks.mutex::<()>("m").unwrap().lock().await.unwrap();
    backend.next(StepKind::Renew, Fault::Refuse);
    tokio::time::sleep(ms(1010)).await;
    let Health::Jeopardy { left } = guard.health() else {
        panic!("{:?}", guard.health())
    };
    assert!(left > ms(1900) && left < ms(1945), "{left:?}");
    tokio::time::sleep(ms(300)).await;
    assert_eq!(guard.health(), Health::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_runtime_does_not_hide_the_loss() {
    let locks = client(&MemoryBackend::new());
    let mut guard = locks.mutex::<u32>("m").unwrap().lock().await.unwrap();
    *guard = 1;
    // Time passes and no task runs: what a blocking call in async code does.
    tokio::time::advance(TTL).await;
    assert!(!guard.is_held());
    assert_eq!(guard.save().await.unwrap_err().kind(), ErrorKind::LeaseLost);
    assert_eq!(
        guard.commit().await.unwrap_err().kind(),
        ErrorKind::LeaseLost
    );
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_slept_past_its_ttl_cannot_overwrite_its_successor() {
    let store = MemoryBackend::new();
    let (sleeper, backend) = faulty(&store);
    let mutex = sleeper.mutex::<Vec<String>>("m").unwrap();
    let mut stale = mutex.lock().await.unwrap();
    stale.push("stale".into());
    backend.every_step(Fault::HangBefore);
    tokio::time::sleep(TTL * 2).await;
    let next = client(&store).mutex::<Vec<String>>("m").unwrap();
    let mut guard = next.lock().await.unwrap();
    assert!(abandoned(guard.previous()));
    guard.push("fresh".into());
    guard.commit().await.unwrap();
    backend.every_step(Fault::None);
    assert_eq!(
        stale.commit().await.unwrap_err().kind(),
        ErrorKind::LeaseLost
    );
    assert_eq!(next.peek().await.unwrap().value, ["fresh"]);
}

#[tokio::test(start_paused = true)]
async fn a_forced_release_fences_the_holder_out_and_tells_it_at_once() {
    let store = MemoryBackend::new();
    let locks = client(&store);
    let guard = locks.mutex::<u32>("m").unwrap().lock().await.unwrap();
    settle().await;
    let started = tokio::time::Instant::now();
    client(&store).force_release("m").await.unwrap();
    assert_eq!(guard.lost().await, LossCause::Forced);
    assert!(started.elapsed() < ms(5), "{:?}", started.elapsed());
    let error = guard.commit().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.loss()),
        (ErrorKind::LeaseLost, Some(LossCause::Forced))
    );
    let next = client(&store)
        .mutex::<u32>("m")
        .unwrap()
        .lock()
        .await
        .unwrap();
    assert_eq!(next.previous(), Previous::Forced);
}

#[tokio::test(start_paused = true)]
async fn the_store_alone_fences_a_forced_holder_out_when_no_alarm_comes() {
    let store = MemoryBackend::new();
    let (locks, backend) = faulty(&store);
    backend.mute();
    let guard = locks.mutex::<u32>("m").unwrap().lock().await.unwrap();
    client(&store).force_release("m").await.unwrap();
    let error = guard.commit().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.loss()),
        (ErrorKind::LeaseLost, Some(LossCause::Forced))
    );
}

#[tokio::test(start_paused = true)]
async fn losing_everything_at_the_store_is_told() {
    let store = MemoryBackend::new();
    let guard = client(&store)
        .mutex::<u32>("m")
        .unwrap()
        .lock()
        .await
        .unwrap();
    settle().await;
    store.wipe();
    assert_eq!(guard.lost().await, LossCause::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_lives_on_after_its_loss_keeps_nobody_waiting() {
    let store = MemoryBackend::new();
    let locks = client(&store);
    let mutex = locks.mutex::<u32>("m").unwrap();
    let lost = mutex.lock().await.unwrap();
    locks.force_release("m").await.unwrap();
    lost.lost().await;
    let guard = mutex.lock_timeout(ms(100)).await.unwrap();
    guard.commit().await.unwrap();
    assert!(lost.release().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn work_stops_where_the_lease_is_lost() {
    let store = MemoryBackend::new();
    let locks = client(&store);
    let mutex = locks.mutex::<()>("m").unwrap();
    let guard = mutex.lock().await.unwrap();
    assert_eq!(guard.while_held(async { 7 }).await.unwrap(), 7);
    let forced = async {
        tokio::time::sleep(ms(100)).await;
        locks.force_release("m").await.unwrap();
    };
    let work = guard.while_held(async {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        unreachable!("the work was not dropped");
    });
    let (error, ()) = tokio::join!(work, forced);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::LeaseLost);
}

#[tokio::test(start_paused = true)]
async fn work_that_blocked_past_the_end_is_not_reported_as_done_under_the_lock() {
    let guard = client(&MemoryBackend::new())
        .mutex::<()>("m")
        .unwrap()
        .lock()
        .await
        .unwrap();
    let work = guard.while_held(async { tokio::time::advance(TTL).await });
    assert_eq!(work.await.unwrap_err().kind(), ErrorKind::LeaseLost);
}

#[tokio::test(start_paused = true)]
async fn lost_can_be_awaited_from_another_task() {
    let store = MemoryBackend::new();
    let locks = client(&store);
    let guard = locks.mutex::<()>("m").unwrap().lock().await.unwrap();
    let watcher = tokio::spawn(guard.lost());
    settle().await;
    locks.force_release("m").await.unwrap();
    assert_eq!(watcher.await.unwrap(), LossCause::Forced);
}

#[tokio::test(start_paused = true)]
async fn a_late_renewal_does_not_revive_a_released_lease() {
    let store = MemoryBackend::new();
    let (locks, backend) = faulty(&store);
    let guard = locks.mutex::<()>("m").unwrap().lock().await.unwrap();
    backend.next(StepKind::Renew, Fault::Late(ms(500)));
    tokio::time::sleep(ms(1010)).await;
    guard.release().await.unwrap();
    tokio::time::sleep(ms(600)).await;
    assert!(client(&store).inspect("m").await.unwrap().holder.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_comes_after_its_own_end_is_not_handed_out() {
    let store = MemoryBackend::new();
    let backend = FaultyBackend::new(store.another_client());
    let patient = LockOptions::builder()
        .ttl(TTL)
        .request_timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    let locks = LockClient::builder(backend.clone())
        .options(patient)
        .build();
    backend.next(StepKind::Acquire, Fault::DelayReply(TTL + ms(500)));
    let guard = locks.mutex::<()>("m").unwrap().lock().await.unwrap();
    assert!(
        guard.is_held() && guard.remaining() > TTL - ms(100),
        "{guard:?}"
    );
    assert_eq!(backend.calls(StepKind::Acquire), 2);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_comes_too_late_says_how_the_lease_was_lost() {
    let store = MemoryBackend::new();
    let (locks, backend) = faulty(&store);
    backend.mute();
    let mutex = locks.mutex::<()>("m").unwrap();
    let guard = mutex.lock().await.unwrap();
    client(&store).force_release("m").await.unwrap();
    let error = guard.release().await.unwrap_err();
    assert_eq!(error.loss(), Some(LossCause::Forced));
    let guard = mutex.lock().await.unwrap();
    store.wipe();
    let _next = client(&store)
        .mutex::<()>("m")
        .unwrap()
        .lock()
        .await
        .unwrap();
    let error = guard.release().await.unwrap_err();
    assert_eq!(error.loss(), Some(LossCause::Displaced));
}

#[tokio::test(start_paused = true)]
async fn renewals_that_starve_are_measured_and_said_once() {
    let (said, _default) = values::events();
    let locks = client(&MemoryBackend::new());
    let guard = locks.mutex::<()>("m").unwrap().lock().await.unwrap();
    tokio::time::sleep(ms(5000)).await;
    assert!(
        locks.stats().renewal_delay_max < ms(100),
        "{:?}",
        locks.stats()
    );
    assert!(!said.lock().unwrap().contains("WARN"));
    for _ in 0..2 {
        // As if a task had blocked the runtime for so long: renewals are due after 1 s.
        tokio::time::advance(ms(1900)).await;
        settle().await;
        assert!(guard.is_held());
    }
    let late = locks.stats().renewal_delay_max;
    assert!(late >= ms(800) && late <= ms(1900), "{late:?}");
    let said = said.lock().unwrap().clone();
    assert_eq!(said.matches("spawn_blocking").count(), 1, "{said}");
}
