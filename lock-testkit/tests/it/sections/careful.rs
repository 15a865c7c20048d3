//! Random work of a service that keeps the rules, under random faults: nothing is found.

use std::sync::{Arc, Mutex};

use lock_core::{BoxError, FencingToken, LockGuard};
use lock_testkit::sections::Resource;
use proptest::prelude::*;

use super::*;

/// What one worker does next.
#[derive(Clone, Debug)]
enum Act {
    Cancel(u64),
    Fault(StepKind, Fault),
    Force,
    Peek,
    Release,
    Save,
    Sleep(u64),
    Try,
    Update,
    Within(u64),
    Work(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let step = prop_oneof![
        Just(StepKind::Acquire),
        Just(StepKind::Commit),
        Just(StepKind::Peek),
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
        4 => Just(Act::Update),
        4 => (0_u64..4000).prop_map(Act::Work),
        2 => Just(Act::Save),
        1 => Just(Act::Release),
        1 => Just(Act::Peek),
        1 => Just(Act::Try),
        1 => Just(Act::Force),
        1 => (0_u64..4000).prop_map(Act::Within),
        2 => (0_u64..4000).prop_map(Act::Sleep),
        1 => (0_u64..3000).prop_map(Act::Cancel),
        6 => (step, fault).prop_map(|(step, fault)| Act::Fault(step, fault)),
    ]
}

/// A double that refuses a token smaller than the largest that it has seen.
#[derive(Clone)]
struct Fenced {
    probe: Resource,
    largest: Arc<Mutex<Option<FencingToken>>>,
}

impl Fenced {
    fn takes(&self, token: FencingToken, what: &str) -> bool {
        let mut largest = self.largest.lock().unwrap();
        let is_fresh = Some(token) >= *largest;
        if is_fresh {
            *largest = Some(token);
        } else {
            self.probe.refused(Some(token), what);
        }
        is_fresh
    }

    fn read(&self, token: FencingToken) {
        if self.takes(token, "the total") {
            self.probe.read(Some(token), "the total");
        }
    }

    fn write(&self, token: FencingToken) {
        if self.takes(token, "the new total") {
            self.probe.wrote(Some(token), "the new total");
        }
    }
}

async fn run(scripts: Vec<Vec<Act>>) -> Verdict {
    let watch = Watch::new()
        .hold_limit(Duration::from_secs(60))
        .each_commit("", |before: Option<&Vec<u64>>, after| {
            // None of the tokens that wrote it may be gone.
            let before = before.map_or(&[][..], Vec::as_slice);
            let is_longer = after.starts_with(before) && after.len() > before.len();
            is_longer.then_some(()).ok_or_else(|| "one is gone".into())
        });
    let _listening = watch.listen();
    let store = MemoryBackend::new();
    let file = Fenced {
        probe: watch.resource("file", "m"),
        largest: Arc::default(),
    };
    let mut tasks = Vec::new();
    for script in scripts {
        let (locks, faulty) = another(&watch, &store);
        tasks.push(tokio::spawn(play(locks, faulty, file.clone(), script)));
    }
    for task in tasks {
        task.await.unwrap();
    }
    watch.verdict()
}

async fn play(locks: LockClient, faulty: FaultyBackend, file: Fenced, script: Vec<Act>) {
    let mutex = locks.mutex::<Vec<u64>>("m").unwrap();
    for act in script {
        match act {
            Act::Fault(step, fault) => faulty.next(step, fault),
            Act::Sleep(n) => tokio::time::sleep(ms(n)).await,
            Act::Force => drop(locks.force_release("m").await),
            Act::Peek => drop(mutex.peek().await),
            Act::Cancel(n) => drop(tokio::time::timeout(ms(n), mutex.lock()).await),
            Act::Try => drop(mutex.try_lock().await),
            Act::Within(n) => drop(mutex.lock_timeout(ms(n)).await),
            Act::Update => {
                let add = |list: &mut Vec<u64>| -> Result<(), BoxError> {
                    list.push(0);
                    Ok(())
                };
                let _answer = mutex.update(add).await;
            }
            Act::Release | Act::Save | Act::Work(_) => {
                if let Ok(guard) = mutex.lock().await {
                    work(guard, &file, &act).await;
                }
            }
        }
    }
}

async fn work(mut guard: LockGuard<Vec<u64>>, file: &Fenced, act: &Act) {
    let token = guard.token();
    if let Act::Release = act {
        return drop(guard.release().await);
    }
    if let Act::Save = act {
        guard.push(token.get());
        let _answer = guard.save().await;
    }
    if let Act::Work(n) = act {
        let done = guard
            .while_held(async {
                file.read(token);
                tokio::time::sleep(ms(*n)).await;
                file.write(token);
            })
            .await;
        if done.is_err() {
            return;
        }
    }
    guard.push(token.get());
    let _answer = guard.commit().await;
}

fn cases() -> ProptestConfig {
    let asked = std::env::var("LOCK_TESTKIT_CASES").ok();
    ProptestConfig {
        cases: asked.and_then(|cases| cases.parse().ok()).unwrap_or(400),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn nothing_is_found_in_a_service_that_keeps_the_rules(
        scripts in prop::collection::vec(prop::collection::vec(act(), 1..10), 1..5),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let verdict = runtime.block_on(run(scripts));
        prop_assert!(verdict.is_clean(), "{verdict}");
    }
}
