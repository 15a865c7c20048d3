//! A lease that passes from one waiter of a process to the next (C9).

use std::sync::{Arc, Mutex};

use lock_core::{ErrorKind, FencingToken, LockBackend, LossCause, Previous, SystemClock};
use lock_testkit::checker::liveness::Limits;
use lock_testkit::history::{History, Outcome, Recorder, Step};
use lock_testkit::judge::{Rules, judge};
use lock_testkit::spec::{Bound, Property, Verdict};
use lock_testkit::{Fault, StepKind};
use proptest::prelude::*;

use super::*;

/// A client whose leases pass on so many times, for so long.
pub(super) fn passing(
    store: &MemoryBackend,
    times: u32,
    longest: Duration,
) -> (LockClient, FaultyBackend) {
    let backend = FaultyBackend::new(store.another_client());
    let options = LockOptions::builder().ttl(TTL).handover(times, longest);
    let client = LockClient::builder(backend.clone())
        .options(options.build().unwrap())
        .build();
    (client, backend)
}

/// Has so many tasks take turns, once each; what each found, in the order of their turns.
async fn turns(locks: &LockClient, count: u32, work: Duration) -> Vec<(FencingToken, Previous)> {
    let found = Arc::new(Mutex::new(Vec::new()));
    let tasks = (0..count).map(|_| {
        let (mutex, found) = (locks.mutex::<()>("m").unwrap(), Arc::clone(&found));
        tokio::spawn(async move {
            let guard = mutex.lock().await.unwrap();
            found
                .lock()
                .unwrap()
                .push((guard.token(), guard.previous()));
            tokio::time::sleep(work).await;
            guard.release().await.unwrap();
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let mut found = found.lock().unwrap();
    std::mem::take(&mut *found)
}

#[tokio::test(start_paused = true)]
async fn a_lease_passes_on_without_the_store_and_with_a_larger_token_each_time() {
    let store = MemoryBackend::new();
    let (locks, backend) = passing(&store, 100, ms(100));
    let found = turns(&locks, 20, Duration::ZERO).await;
    assert!(
        found.windows(2).all(|pair| pair[0].0 < pair[1].0),
        "{found:?}"
    );
    let others = found.iter().skip(1);
    assert!(
        others
            .clone()
            .all(|(_, previous)| *previous == Previous::Released)
    );
    // The first asks for itself, before anybody waits.
    assert_eq!(backend.calls(StepKind::Acquire), 2);
    assert_eq!(backend.calls(StepKind::Release), 2);
    assert_clean(&locks, 0);
    let next = client(&store).mutex::<()>("m").unwrap();
    assert!(next.try_lock().await.unwrap().unwrap().token() > found.last().unwrap().0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_goes_back_after_so_many_times_and_after_so_long() {
    for (times, longest, work, grants) in [
        // A block of tokens is no larger than the time since the last one.
        (3, ms(1500), ms(1), 1 + 3),
        (100, ms(50), ms(20), 1 + 4),
        (0, ms(50), ms(0), 13),
        (100, ms(0), ms(0), 13),
    ] {
        let (locks, backend) = passing(&MemoryBackend::new(), times, longest);
        assert_eq!(turns(&locks, 13, work).await.len(), 13);
        let calls = backend.calls(StepKind::Acquire);
        assert_eq!(
            calls, grants,
            "{times} times, {longest:?}, sections of {work:?}"
        );
        assert_clean(&locks, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn another_process_waits_for_no_longer_than_the_bound() {
    let store = MemoryBackend::new();
    let (locks, _) = passing(&store, 5, ms(1000));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let sections = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let mutex = locks.mutex::<()>("m").unwrap();
        let (stop, sections) = (Arc::clone(&stop), Arc::clone(&sections));
        tasks.push(tokio::spawn(async move {
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                let guard = mutex.lock().await.unwrap();
                tokio::time::sleep(ms(1)).await;
                sections.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                guard.release().await.unwrap();
            }
        }));
    }
    settle().await;
    let other = client(&store).mutex::<()>("m").unwrap();
    for _ in 0..20 {
        let before = sections.load(std::sync::atomic::Ordering::SeqCst);
        let guard = other.lock().await.unwrap();
        let waited = sections.load(std::sync::atomic::Ordering::SeqCst) - before;
        // The lease that was there when it came, and the one section that was in it already.
        assert!(waited <= 7, "{waited} sections went before");
        guard.release().await.unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_waiter_sees_what_was_committed_last_and_nothing_else() {
    let (locks, backend) = passing(&MemoryBackend::new(), 100, ms(1000));
    let mutex = locks.mutex::<u32>("m").unwrap();
    // Each ends its guard in another way and leaves what it says.
    let mut first = mutex.lock().await.unwrap();
    let waiter = |expected: u32, end: &'static str| {
        let mutex = mutex.clone();
        tokio::spawn(async move {
            let mut guard = mutex.lock().await.unwrap();
            assert_eq!(*guard, expected, "before {end}");
            *guard += 1;
            match end {
                "commit" => guard.commit().await.unwrap(),
                "release" => guard.release().await.unwrap(),
                "save and drop" => guard.save().await.unwrap(),
                _ => drop(guard),
            }
        })
    };
    let mut tasks = Vec::new();
    for (expected, end) in [
        (1, "drop"),
        (1, "commit"),
        (2, "release"),
        (2, "save and drop"),
        (3, "commit"),
        (4, "drop"),
    ] {
        tasks.push(waiter(expected, end));
        settle().await;
    }
    *first += 1;
    first.commit().await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(mutex.peek().await.unwrap().value, 4);
    // The first had nobody to pass it on to when it asked.
    assert_eq!(backend.calls(StepKind::Acquire), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_write_is_not_settled_does_not_pass_on() {
    let (locks, backend) = passing(&MemoryBackend::new(), 100, ms(1000));
    let mutex = locks.mutex::<u32>("m").unwrap();
    let (first, second) = (mutex.clone(), mutex.clone());
    let blocker = mutex.lock().await.unwrap();
    let task = tokio::spawn(async move {
        let mut guard = first.lock().await.unwrap();
        *guard = 7;
        // Asked for, and given up before it is known what became of it.
        let saved = tokio::time::timeout(ms(10), guard.save()).await;
        assert!(saved.is_err());
        drop(guard);
    });
    settle().await;
    let next = tokio::spawn(async move { second.lock().await.unwrap() });
    settle().await;
    backend.next(StepKind::Commit, Fault::Late(ms(200)));
    blocker.release().await.unwrap();
    task.await.unwrap();
    let guard = next.await.unwrap();
    // It asked the store, which has fenced the late write out.
    assert_eq!(*guard, 0);
    assert_eq!(backend.calls(StepKind::Acquire), 3);
    settle().await;
    tokio::time::sleep(ms(400)).await;
    guard.commit().await.unwrap();
    assert_eq!(mutex.peek().await.unwrap().value, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_passed_on_is_renewed_and_its_loss_is_told() {
    let store = MemoryBackend::new();
    let (locks, _) = passing(&store, 100, ms(1000));
    let mutex = locks.mutex::<()>("m").unwrap();
    let first = mutex.lock().await.unwrap();
    let waiting = |mutex: &lock_core::DistributedMutex<()>| {
        let mutex = mutex.clone();
        tokio::spawn(async move { mutex.lock().await.unwrap() })
    };
    let (second, third) = (waiting(&mutex), waiting(&mutex));
    settle().await;
    first.release().await.unwrap();
    let second = second.await.unwrap();
    let ended = second.lost();
    second.release().await.unwrap();
    let third = third.await.unwrap();
    tokio::time::sleep(TTL * 5).await;
    assert!(third.is_held());
    store.force_release(third.name()).await.unwrap();
    assert_eq!(third.lost().await, LossCause::Forced);
    // What ended well before stays so.
    let told = tokio::time::timeout(TTL, ended).await;
    assert!(told.is_err());
    let refused = third.release().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::LeaseLost);
    assert_clean(&locks, 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_an_operator_may_have_taken_does_not_pass_on() {
    let store = MemoryBackend::new();
    let (locks, backend) = passing(&store, 100, ms(1000));
    let mutex = locks.mutex::<()>("m").unwrap();
    let blocker = mutex.lock().await.unwrap();
    let waiting = || {
        let mutex = mutex.clone();
        tokio::spawn(async move { mutex.lock().await.unwrap() })
    };
    let (first, second) = (waiting(), waiting());
    settle().await;
    blocker.release().await.unwrap();
    let first = first.await.unwrap();
    // The alarm comes at once, and the renewal that would tell the loss is under way.
    backend.next(StepKind::Renew, Fault::DelayReply(ms(500)));
    store.force_release(first.name()).await.unwrap();
    settle().await;
    let error = first.release().await.unwrap_err();
    assert_eq!(error.loss(), Some(LossCause::Forced));
    let second = second.await.unwrap();
    assert_eq!(second.previous(), Previous::Forced);
    assert!(second.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_goes_away_when_the_lease_comes_leaves_nothing_held() {
    for others in [0, 2] {
        let store = MemoryBackend::new();
        let (locks, _) = passing(&store, 100, ms(1000));
        let mutex = locks.mutex::<()>("m").unwrap();
        let holder = mutex.lock().await.unwrap();
        let going = mutex.clone();
        let mut going = Box::pin(async move { going.lock().await });
        // It stands first in the queue.
        assert!(futures_util::FutureExt::now_or_never(&mut going).is_none());
        let staying: Vec<_> = (0..others)
            .map(|_| {
                let mutex = mutex.clone();
                tokio::spawn(async move { mutex.lock().await.unwrap().release().await })
            })
            .collect();
        settle().await;
        holder.release().await.unwrap();
        drop(going);
        for task in staying {
            task.await.unwrap().unwrap();
        }
        settle().await;
        assert_clean(&locks, 1);
        let other = client(&store).mutex::<()>("m").unwrap();
        assert!(other.try_lock().await.unwrap().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_does_not_pass_to_a_mutex_with_other_options() {
    let store = MemoryBackend::new();
    let (locks, backend) = passing(&store, 100, ms(1000));
    let mutex = locks.mutex::<()>("m").unwrap();
    let longer = LockOptions::builder().ttl(TTL * 3).build().unwrap();
    let other = locks
        .mutex_with("m", || ())
        .options(longer)
        .build()
        .unwrap();
    let blocker = mutex.lock().await.unwrap();
    let waiting = |mutex: &lock_core::DistributedMutex<()>| {
        let mutex = mutex.clone();
        tokio::spawn(async move {
            let guard = mutex.lock().await.unwrap();
            let remaining = guard.remaining();
            guard.release().await.unwrap();
            remaining
        })
    };
    let tasks = [waiting(&mutex), waiting(&other), waiting(&mutex)];
    settle().await;
    blocker.release().await.unwrap();
    let mut remaining = Vec::new();
    for task in tasks {
        remaining.push(task.await.unwrap());
    }
    assert!(
        remaining[1] > TTL * 2 && remaining[0] < TTL && remaining[2] < TTL,
        "{remaining:?}"
    );
    assert_eq!(backend.calls(StepKind::Acquire), 4);
    settle().await;
    assert_clean(&locks, 1);
}

#[tokio::test(start_paused = true)]
async fn closing_gives_a_lease_back_that_is_about_to_pass_on() {
    let store = MemoryBackend::new();
    let (locks, _) = passing(&store, 100, ms(1000));
    let mutex = locks.mutex::<()>("m").unwrap();
    let holder = mutex.lock().await.unwrap();
    let waiter = {
        let mutex = mutex.clone();
        tokio::spawn(async move { mutex.lock().await.map(drop) })
    };
    settle().await;
    holder.release().await.unwrap();
    // The waiter has not run since.
    locks.close(TTL).await.unwrap();
    assert_eq!(waiter.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    let other = client(&store).mutex::<()>("m").unwrap();
    assert!(other.try_lock().await.unwrap().is_some());
}

/// What each task of each client does, time after time: for how many milliseconds it does something
/// else, and for how many it holds the lock.
type Turns = Vec<Vec<Vec<(u64, u64)>>>;

/// Plays turns of clients whose leases pass on so many times, in virtual time; who was granted when.
fn played(times: u32, clients: Turns) -> History {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = MemoryBackend::new();
        let recorder = Arc::new(Recorder::new(Arc::new(SystemClock::new())));
        recorder.heal();
        let mut tasks = Vec::new();
        for (client, scripts) in (0..).zip(clients) {
            let (locks, _) = passing(&store, times, TTL / 2);
            for (task, script) in (0..).zip(scripts) {
                let (mutex, recorder) = (locks.mutex::<()>("m").unwrap(), Arc::clone(&recorder));
                let ttl_ns = u64::try_from(TTL.as_nanos()).unwrap();
                tasks.push(tokio::spawn(async move {
                    let who = (client, task);
                    for (rest, work) in script {
                        tokio::time::sleep(ms(rest)).await;
                        let asks = recorder.invoke(who, "m", Step::Acquire, 0, ttl_ns, None);
                        let guard = mutex.lock().await.unwrap();
                        let token = guard.token().get();
                        recorder.done_with(asks, token);
                        tokio::time::sleep(ms(work)).await;
                        let ends = recorder.invoke(who, "m", Step::Release, token, 0, None);
                        guard.release().await.unwrap();
                        recorder.complete(ends, Outcome::Done);
                    }
                }));
            }
        }
        for task in tasks {
            task.await.unwrap();
        }
        recorder.history()
    })
}

/// Judges by all rules, and that one client is granted at most so often while another waits.
fn judged(history: &History, most: u32) -> Verdict {
    // An attempt takes no time here, and the store keeps the lock for nobody who is gone.
    let limits = Limits::new(1_000_000, 1_000_000_000).push(1_000_000_000);
    // A lease that passed on is over before a ttl has gone since.
    let rules = Rules::new(Bound::Untimed).line();
    judge(history, &rules.limits(limits.overtaken(most)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_stands_in_line_is_overtaken_by_no_more_than_one_lease(
        times in 0_u32..5,
        clients in prop::collection::vec(
            prop::collection::vec(prop::collection::vec((0_u64..5, 0_u64..6), 1..16), 1..5),
            2..4,
        ),
    ) {
        let history = played(times, clients);
        if let Verdict::Invalid(violation) = judged(&history, times + 1) {
            prop_assert!(false, "{}", violation.explain(&history));
        }
    }
}

#[test]
fn a_lease_that_passes_on_more_often_than_is_declared_is_seen() {
    let busy = vec![vec![(0, 2); 20]; 3];
    let history = played(50, vec![busy.clone(), busy]);
    assert_eq!(judged(&history, 60), Verdict::Valid);
    let Verdict::Invalid(violation) = judged(&history, 8) else {
        panic!("nobody sees it");
    };
    assert_eq!(violation.property, Property::Lv5);
}
