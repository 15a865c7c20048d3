//! Updates that share a commit.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use lock_core::{BoxError, DistributedMutex, Effect, Error, ErrorKind, SeededEntropy};
use lock_testkit::{Fault, StepKind};
use proptest::prelude::*;
use tokio::task::JoinHandle;

use super::*;

type List = DistributedMutex<Vec<u64>>;

fn push(list: &List, id: u64) -> JoinHandle<Result<usize, Error>> {
    let list = list.clone();
    tokio::spawn(async move {
        list.update(|ids| {
            ids.push(id);
            Ok(ids.len())
        })
        .await
    })
}

/// A mutex whose lock is held, so that updates gather behind it.
async fn gathered(
    store: &MemoryBackend,
) -> (
    LockClient,
    FaultyBackend,
    List,
    lock_core::LockGuard<Vec<u64>>,
) {
    let (locks, backend) = faulty(store);
    let list = locks.mutex::<Vec<u64>>("m").unwrap();
    let guard = list.lock().await.unwrap();
    (locks, backend, list, guard)
}

async fn value(list: &List) -> Vec<u64> {
    list.peek().await.unwrap().value
}

#[tokio::test(start_paused = true)]
async fn updates_that_wait_share_one_commit_and_keep_their_order() {
    let (locks, backend, list, guard) = gathered(&MemoryBackend::new()).await;
    let mut tasks = Vec::new();
    for id in 0..64 {
        tasks.push(push(&list, id));
        settle().await;
    }
    guard.release().await.unwrap();
    for (before, task) in (1..).zip(tasks) {
        assert_eq!(task.await.unwrap().unwrap(), before);
    }
    assert_eq!(value(&list).await, (0..64).collect::<Vec<_>>());
    assert_eq!(backend.calls(StepKind::Commit), 1);
    assert_eq!(backend.calls(StepKind::Acquire), 2);
    settle().await;
    assert_clean(&locks, 1);
}

#[tokio::test(start_paused = true)]
async fn an_update_alone_is_two_calls() {
    let (locks, backend) = faulty(&MemoryBackend::new());
    let list = locks.mutex::<Vec<u64>>("m").unwrap();
    assert_eq!(push(&list, 7).await.unwrap().unwrap(), 1);
    let calls = [StepKind::Acquire, StepKind::Commit, StepKind::Release];
    assert_eq!(calls.map(|step| backend.calls(step)), [1, 1, 0]);
    assert_clean(&locks, 1);
}

#[tokio::test(start_paused = true)]
async fn no_result_comes_before_the_commit_is_acknowledged() {
    let (_locks, backend, list, guard) = gathered(&MemoryBackend::new()).await;
    let tasks: Vec<_> = (0..8).map(|id| push(&list, id)).collect();
    settle().await;
    backend.next(StepKind::Commit, Fault::DelayReply(ms(700)));
    guard.release().await.unwrap();
    tokio::time::sleep(ms(600)).await;
    assert_eq!(value(&list).await.len(), 8);
    assert!(tasks.iter().all(|task| !task.is_finished()));
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_closure_that_fails_or_panics_leaves_no_trace_and_disturbs_no_other() {
    let (locks, backend, list, guard) = gathered(&MemoryBackend::new()).await;
    let mut tasks = vec![push(&list, 1)];
    settle().await;
    let spoil = |panics: bool| {
        let list = list.clone();
        tokio::spawn(async move {
            let spoilt = list.update::<()>(|ids| {
                ids.clear();
                assert!(!panics, "a closure panics");
                Err(BoxError::from("no"))
            });
            AssertUnwindSafe(spoilt).catch_unwind().await
        })
    };
    let failing = spoil(false);
    settle().await;
    tasks.push(push(&list, 2));
    settle().await;
    let panicking = spoil(true);
    settle().await;
    tasks.push(push(&list, 3));
    settle().await;
    // The last in the batch fails, too.
    let last = spoil(false);
    settle().await;
    guard.release().await.unwrap();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    for failed in [failing, last] {
        let error = failed.await.unwrap().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Aborted);
        assert_eq!(error.effect(), Effect::NotApplied);
    }
    assert!(panicking.await.unwrap().is_err());
    assert_eq!(value(&list).await, [1, 2, 3]);
    assert_eq!(backend.calls(StepKind::Commit), 1);
    settle().await;
    assert_clean(&locks, 1);
}

#[tokio::test(start_paused = true)]
async fn failing_closures_alone_write_nothing_and_give_the_lock_up() {
    let (locks, backend, list, guard) = gathered(&MemoryBackend::new()).await;
    let tasks: Vec<_> = (0..5)
        .map(|_| {
            let list = list.clone();
            tokio::spawn(async move { list.update::<()>(|_| Err("no".into())).await })
        })
        .collect();
    settle().await;
    guard.release().await.unwrap();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap_err().kind(), ErrorKind::Aborted);
    }
    assert_eq!(backend.calls(StepKind::Commit), 0);
    settle().await;
    assert_clean(&locks, 1);
    assert!(list.try_lock().await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_update_took_part_if_its_closure_was_run_and_not_otherwise() {
    for has_run in [false, true] {
        let (locks, backend, list, guard) = gathered(&MemoryBackend::new()).await;
        let ran = Arc::new(AtomicU64::new(0));
        let (dropped, count) = (list.clone(), Arc::clone(&ran));
        let dropped = tokio::spawn(async move {
            dropped
                .update(|ids| {
                    count.fetch_add(1, Ordering::SeqCst);
                    ids.push(1);
                    Ok(())
                })
                .await
        });
        settle().await;
        let other = push(&list, 2);
        settle().await;
        backend.next(StepKind::Commit, Fault::DelayReply(ms(100)));
        if has_run {
            guard.release().await.unwrap();
            settle().await;
            dropped.abort();
        } else {
            dropped.abort();
            settle().await;
            guard.release().await.unwrap();
        }
        other.await.unwrap().unwrap();
        assert_eq!(ran.load(Ordering::SeqCst), u64::from(has_run));
        let expected: &[u64] = if has_run { &[1, 2] } else { &[2] };
        assert_eq!(value(&list).await, expected);
        settle().await;
        assert_clean(&locks, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn all_who_share_a_commit_learn_that_the_lease_was_lost() {
    let store = MemoryBackend::new();
    let (locks, backend, list, guard) = gathered(&store).await;
    let tasks: Vec<_> = (0..4).map(|id| push(&list, id)).collect();
    settle().await;
    backend.next(StepKind::Commit, Fault::HangBefore);
    guard.release().await.unwrap();
    settle().await;
    client(&store).force_release("m").await.unwrap();
    for task in tasks {
        let error = task.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LeaseLost, "{error:?}");
        assert_eq!(error.loss(), Some(lock_core::LossCause::Forced));
        assert_eq!(error.effect(), Effect::NotApplied);
        assert_eq!(error.operation(), Some("update"));
    }
    assert!(value(&list).await.is_empty());
    settle().await;
    assert_clean(&locks, 1);
}

#[tokio::test(start_paused = true)]
async fn all_who_share_a_commit_learn_that_nobody_knows() {
    let (_locks, backend, list, guard) = gathered(&MemoryBackend::new()).await;
    let tasks: Vec<_> = (0..4).map(|id| push(&list, id)).collect();
    settle().await;
    for _ in 0..100 {
        backend.next(StepKind::Commit, Fault::LoseReply);
    }
    guard.release().await.unwrap();
    for task in tasks {
        let error = task.await.unwrap().unwrap_err();
        assert_eq!(
            (error.kind(), error.effect()),
            (ErrorKind::Unavailable, Effect::Unknown)
        );
    }
    assert_eq!(value(&list).await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn whoever_locks_between_updates_sees_those_before_and_none_after() {
    let (locks, _backend, list, guard) = gathered(&MemoryBackend::new()).await;
    let mut tasks = vec![push(&list, 1)];
    settle().await;
    tasks.push(push(&list, 2));
    settle().await;
    let locking = {
        let list = list.clone();
        tokio::spawn(async move {
            let mut guard = list.lock().await.unwrap();
            assert_eq!(*guard, [1, 2]);
            guard.push(3);
            guard.commit().await.unwrap();
        })
    };
    settle().await;
    tasks.push(push(&list, 4));
    settle().await;
    guard.release().await.unwrap();
    locking.await.unwrap();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(value(&list).await, [1, 2, 3, 4]);
    settle().await;
    assert_clean(&locks, 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_guard_commits_after_an_update_is_what_the_next_update_finds() {
    let (locks, backend) = handover::passing(&MemoryBackend::new(), 100, ms(1000));
    let list = locks.mutex::<Vec<u64>>("m").unwrap();
    let guard = list.lock().await.unwrap();
    let mut tasks = vec![push(&list, 0), push(&list, 1)];
    settle().await;
    backend.next(StepKind::Commit, Fault::DelayReply(ms(200)));
    guard.release().await.unwrap();
    // They come while the first commit is under way, and get its lease.
    settle().await;
    let locking = {
        let list = list.clone();
        tokio::spawn(async move {
            let mut guard = list.lock().await.unwrap();
            guard.push(2);
            guard.commit().await.unwrap();
        })
    };
    settle().await;
    tasks.push(push(&list, 3));
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    locking.await.unwrap();
    assert_eq!(value(&list).await, [0, 1, 2, 3]);
    assert_eq!(backend.calls(StepKind::Acquire), 2);
}

#[tokio::test(start_paused = true)]
async fn updates_of_one_name_as_different_types_do_not_share_a_value() {
    let (locks, _backend, list, guard) = gathered(&MemoryBackend::new()).await;
    let json = locks
        .mutex_with("m", || serde_json::Value::Null)
        .build()
        .unwrap();
    let first = push(&list, 1);
    settle().await;
    let second = tokio::spawn(async move {
        json.update(|value| {
            assert_eq!(*value, serde_json::json!([1]));
            *value = serde_json::json!([1, 2]);
            Ok(())
        })
        .await
    });
    settle().await;
    let third = push(&list, 3);
    settle().await;
    guard.release().await.unwrap();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    third.await.unwrap().unwrap();
    assert_eq!(value(&list).await, [1, 2, 3]);
    settle().await;
    assert_clean(&locks, 1);
}

#[tokio::test(start_paused = true)]
async fn a_value_over_its_bound_fails_alone_and_the_others_are_written() {
    let (locks, _) = faulty(&MemoryBackend::new());
    let small = LockOptions::builder().ttl(TTL).max_state_bytes(20);
    let list = locks
        .mutex_with("m", Vec::<u64>::new)
        .options(small.build().unwrap())
        .build()
        .unwrap();
    let guard = list.lock().await.unwrap();
    let mut tasks = Vec::new();
    for id in [1, 111_111_111_111_111_111, 2] {
        tasks.push(push(&list, id));
        settle().await;
    }
    guard.release().await.unwrap();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap().map_err(|e| e.kind()));
    }
    assert_eq!(answers, [Ok(1), Err(ErrorKind::State), Ok(2)]);
    assert_eq!(value(&list).await, [1, 2]);
}

/// What a task does with the list.
#[derive(Clone, Debug)]
enum Act {
    Cancel(u64),
    Commit,
    Fail,
    Fault(StepKind, Fault),
    Force,
    Release,
    Sleep(u64),
    Update,
}

fn act() -> impl Strategy<Value = Act> {
    let step = prop_oneof![
        1 => Just(StepKind::Acquire),
        3 => Just(StepKind::Commit),
        1 => Just(StepKind::Release),
        1 => Just(StepKind::Renew),
    ];
    let fault = prop_oneof![
        Just(Fault::Refuse),
        Just(Fault::LoseRequest),
        Just(Fault::LoseReply),
        Just(Fault::HangAfter),
        (0_u64..5000).prop_map(|n| Fault::DelayReply(ms(n))),
        (0_u64..5000).prop_map(|n| Fault::Late(ms(n))),
    ];
    prop_oneof![
        10 => Just(Act::Update),
        2 => Just(Act::Commit),
        1 => Just(Act::Fail),
        2 => (0_u64..40).prop_map(Act::Cancel),
        2 => (0_u64..1000).prop_map(Act::Sleep),
        4 => (step, fault).prop_map(|(step, fault)| Act::Fault(step, fault)),
        1 => Just(Act::Force),
        1 => Just(Act::Release),
    ]
}

/// What each number that was to be appended came to; none if its caller went away.
type Ledger = Arc<Mutex<BTreeMap<u64, Option<Result<(), Effect>>>>>;

async fn play(
    locks: LockClient,
    backend: FaultyBackend,
    script: Vec<Act>,
    ids: Arc<AtomicU64>,
    ledger: Ledger,
) {
    let list = locks.mutex::<Vec<u64>>("m").unwrap();
    let begin = || {
        let id = ids.fetch_add(1, Ordering::SeqCst);
        ledger.lock().unwrap().insert(id, None);
        id
    };
    let end = |id: u64, outcome: Result<(), Error>| {
        let outcome = outcome.map_err(|error| error.effect());
        ledger.lock().unwrap().insert(id, Some(outcome));
    };
    let append = |id: u64| {
        let list = list.clone();
        async move {
            list.update(|ids| {
                ids.push(id);
                Ok(())
            })
            .await
        }
    };
    for act in script {
        match act {
            Act::Cancel(n) => {
                let id = begin();
                if let Ok(outcome) = tokio::time::timeout(ms(n), append(id)).await {
                    end(id, outcome);
                }
            }
            Act::Commit => {
                let Ok(mut guard) = list.lock().await else {
                    continue;
                };
                let id = begin();
                guard.push(id);
                let outcome = guard.commit().await;
                end(id, outcome);
            }
            Act::Fail => {
                let id = begin();
                let failed = list
                    .update::<()>(|ids| {
                        ids.push(id);
                        Err("no".into())
                    })
                    .await;
                end(id, failed);
            }
            Act::Fault(step, fault) => backend.next(step, fault),
            Act::Force => drop(locks.force_release("m").await),
            Act::Release => {
                if let Ok(guard) = list.lock().await {
                    let _answer = guard.release().await;
                }
            }
            Act::Sleep(n) => tokio::time::sleep(ms(n)).await,
            Act::Update => {
                let id = begin();
                let outcome = append(id).await;
                end(id, outcome);
            }
        }
    }
}

async fn run(seed: u64, clients: Vec<Vec<Vec<Act>>>) -> Result<(), TestCaseError> {
    let store = MemoryBackend::new();
    let (ids, ledger) = (Arc::new(AtomicU64::new(0)), Ledger::default());
    let mut tasks = Vec::new();
    for (i, scripts) in clients.into_iter().enumerate() {
        let backend = FaultyBackend::new(store.another_client());
        let locks = LockClient::builder(backend.clone())
            .options(options())
            .entropy(Arc::new(SeededEntropy::new(seed ^ (i as u64) << 32)))
            .build();
        for script in scripts {
            let (ids, ledger) = (Arc::clone(&ids), Arc::clone(&ledger));
            tasks.push(tokio::spawn(play(
                locks.clone(),
                backend.clone(),
                script,
                ids,
                ledger,
            )));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    tokio::time::sleep(TTL * 10).await;
    let list = client(&store).mutex::<Vec<u64>>("m").unwrap();
    let Ok(guard) = list.lock_timeout(TTL).await else {
        return Err(TestCaseError::fail("the lock is never free again"));
    };
    for (id, outcome) in &*ledger.lock().unwrap() {
        let times = guard.iter().filter(|there| *there == id).count();
        let is_right = match outcome {
            Some(Ok(())) => times == 1,
            Some(Err(Effect::NotApplied)) => times == 0,
            Some(Err(_)) | None => times <= 1,
        };
        prop_assert!(
            is_right,
            "{id} came to {outcome:?} and is there {times} times"
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_update_is_applied_once_or_as_it_was_told(
        seed: u64,
        clients in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(act(), 1..12), 1..6),
            1..4,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(run(seed, clients))?;
    }
}
