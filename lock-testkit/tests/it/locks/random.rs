//! Random clients under random faults: what was acknowledged is there, in the order of its tokens.

use std::sync::{Arc, Mutex};

use lock_core::{Effect, FencingToken, LockGuard, SeededEntropy};
use lock_testkit::{Fault, StepKind};
use proptest::prelude::*;

use super::*;

/// What one client does with its turn.
#[derive(Clone, Debug)]
enum Act {
    Commit,
    Save,
    Release,
    Drop,
    Sleep(u64),
    Fault(StepKind, Fault),
    Force,
    Cancel(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let step = prop_oneof![
        Just(StepKind::Acquire),
        Just(StepKind::Commit),
        Just(StepKind::Release),
        Just(StepKind::Renew),
        Just(StepKind::Watch),
    ];
    let fault = prop_oneof![
        Just(Fault::Refuse),
        Just(Fault::LoseRequest),
        Just(Fault::LoseReply),
        Just(Fault::HangBefore),
        Just(Fault::HangAfter),
        (0_u64..5000).prop_map(|n| Fault::DelayReply(ms(n))),
        (0_u64..5000).prop_map(|n| Fault::Late(ms(n))),
    ];
    prop_oneof![
        6 => Just(Act::Commit),
        2 => Just(Act::Save),
        1 => Just(Act::Release),
        1 => Just(Act::Drop),
        2 => (0_u64..4000).prop_map(Act::Sleep),
        6 => (step, fault).prop_map(|(step, fault)| Act::Fault(step, fault)),
        1 => Just(Act::Force),
        1 => (0_u64..3000).prop_map(Act::Cancel),
    ]
}

/// What is known of the commits.
#[derive(Default)]
struct Ledger {
    acknowledged: Vec<FencingToken>,
    unknown: Vec<FencingToken>,
}

/// Each client has tasks, between which a lease may pass on; each task has a script.
async fn run(seed: u64, clients: Vec<Vec<Vec<Act>>>) -> Result<(), TestCaseError> {
    let store = MemoryBackend::new();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let mut tasks = Vec::new();
    for (i, scripts) in clients.into_iter().enumerate() {
        let backend = FaultyBackend::new(store.another_client());
        let locks = LockClient::builder(backend.clone())
            .options(options())
            .entropy(Arc::new(SeededEntropy::new(seed ^ (i as u64) << 32)))
            .build();
        for script in scripts {
            tasks.push(tokio::spawn(play(
                locks.clone(),
                backend.clone(),
                script,
                Arc::clone(&ledger),
            )));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    // Healed: after every late request and lease is over, somebody gets the lock.
    tokio::time::sleep(TTL * 10).await;
    let mutex = client(&store).mutex::<Vec<u64>>("m").unwrap();
    let guard = mutex.lock_timeout(TTL).await;
    let Ok(guard) = guard else {
        return Err(TestCaseError::fail("the lock is never free again"));
    };
    let commits: Vec<u64> = guard.clone();
    prop_assert!(commits.is_sorted(), "commits out of order: {commits:?}");
    let ledger = ledger.lock().unwrap();
    for token in &ledger.acknowledged {
        prop_assert!(
            commits.contains(&token.get()),
            "{token} was acknowledged and is gone"
        );
    }
    for token in &commits {
        let known = ledger
            .acknowledged
            .iter()
            .chain(&ledger.unknown)
            .any(|t| t.get() == *token);
        prop_assert!(known, "{token} was reported as not applied and is there");
    }
    Ok(())
}

async fn play(
    locks: LockClient,
    backend: FaultyBackend,
    script: Vec<Act>,
    ledger: Arc<Mutex<Ledger>>,
) {
    let mutex = locks.mutex::<Vec<u64>>("m").unwrap();
    for act in script {
        match act {
            Act::Fault(step, fault) => backend.next(step, fault),
            Act::Sleep(n) => tokio::time::sleep(ms(n)).await,
            Act::Force => drop(locks.force_release("m").await),
            Act::Cancel(n) => drop(tokio::time::timeout(ms(n), mutex.lock()).await),
            Act::Release => {
                if let Ok(guard) = mutex.lock().await {
                    let _answer = guard.release().await;
                }
            }
            Act::Drop => {
                if let Ok(mut guard) = mutex.lock().await {
                    guard.push(0);
                }
            }
            Act::Save | Act::Commit => {
                let Ok(mut guard) = mutex.lock().await else {
                    continue;
                };
                if matches!(act, Act::Save) {
                    let token = append(&mut guard);
                    let saved = guard.save().await;
                    record(&ledger, token, saved.map_err(|e| e.effect()));
                }
                let token = append(&mut guard);
                let committed = guard.commit().await;
                record(&ledger, token, committed.map_err(|e| e.effect()));
            }
        }
    }
}

/// The value is the list of the tokens that wrote it, so one read shows the whole order.
fn append(guard: &mut LockGuard<Vec<u64>>) -> FencingToken {
    let token = guard.token();
    if guard.last() != Some(&token.get()) {
        guard.push(token.get());
    }
    token
}

fn record(ledger: &Mutex<Ledger>, token: FencingToken, outcome: Result<(), Effect>) {
    let mut ledger = ledger.lock().unwrap();
    match outcome {
        Ok(()) => ledger.acknowledged.push(token),
        Err(Effect::NotApplied) => {}
        Err(_) => ledger.unknown.push(token),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_acknowledged_commit_is_lost_and_no_refused_one_applied(
        seed: u64,
        clients in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(act(), 1..12), 1..4),
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
