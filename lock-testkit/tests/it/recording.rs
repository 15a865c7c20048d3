//! Clients whose requests are recorded: what a right lock answers is judged right, and what a wrong
//! one answers is found.

mod liars;

use std::sync::Arc;
use std::time::Duration;

use lock_core::{
    LockBackend, LockClient, LockGuard, LockOptions, MemoryBackend, SeededEntropy, SystemClock,
};
use lock_testkit::checker::{belief, token};
use lock_testkit::history::{History, Outcome, Recorder, Step};
use lock_testkit::recording::RecordingBackend;
use lock_testkit::spec::{Bound, Property, Verdict};
use lock_testkit::{Fault, FaultyBackend, StepKind};
use proptest::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

const TTL: Duration = Duration::from_secs(3);
const BUDGET: u64 = 2_000_000;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn options() -> LockOptions {
    LockOptions::builder().ttl(TTL).build().unwrap()
}

/// A store, and a recorder for all of its clients.
struct Stage {
    store: MemoryBackend,
    recorder: Arc<Recorder>,
    backends: Vec<RecordingBackend>,
}

impl Stage {
    fn new() -> Self {
        Self {
            store: MemoryBackend::new(),
            recorder: Arc::new(Recorder::new(Arc::new(SystemClock::new()))),
            backends: Vec::new(),
        }
    }

    fn client(&mut self, seed: u64) -> (LockClient, FaultyBackend) {
        let backend = self.store.another_client();
        self.client_of(backend, seed)
    }

    fn client_of(&mut self, backend: impl LockBackend, seed: u64) -> (LockClient, FaultyBackend) {
        let faulty = FaultyBackend::new(backend);
        let number = u32::try_from(self.backends.len()).unwrap();
        let inner = Arc::new(faulty.clone());
        let backend = RecordingBackend::new(inner, Arc::clone(&self.recorder), number)
            .of_client_with(&options());
        self.backends.push(backend.clone());
        let client = LockClient::builder(backend)
            .options(options())
            .entropy(Arc::new(SeededEntropy::new(seed)))
            .build();
        (client, faulty)
    }

    fn history(&self) -> History {
        self.recorder.settle(true);
        let mut history = self.recorder.history();
        for backend in &self.backends {
            backend.add_beliefs(&mut history);
        }
        history
    }
}

/// What one client does with its turn.
#[derive(Clone, Debug)]
enum Act {
    Cancel(u64),
    CancelCommit(u64),
    Commit,
    Drop,
    Fault(StepKind, Fault),
    Force,
    Hold(u64),
    Peek,
    Release,
    Save,
    Sleep(u64),
    Try,
    Update,
    Within(u64),
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
        6 => Just(Act::Commit),
        2 => Just(Act::Save),
        1 => Just(Act::Release),
        1 => Just(Act::Drop),
        1 => Just(Act::Peek),
        2 => Just(Act::Try),
        4 => Just(Act::Update),
        1 => (0_u64..4000).prop_map(Act::Hold),
        1 => (0_u64..4000).prop_map(Act::Within),
        2 => (0_u64..4000).prop_map(Act::Sleep),
        6 => (step, fault).prop_map(|(step, fault)| Act::Fault(step, fault)),
        1 => Just(Act::Force),
        1 => (0_u64..3000).prop_map(Act::Cancel),
        1 => (0_u64..3000).prop_map(Act::CancelCommit),
    ]
}

/// Each client has tasks, which share its leases and its commits; each task has a script.
async fn run(seed: u64, clients: Vec<Vec<Vec<Act>>>) -> History {
    let mut stage = Stage::new();
    let mut tasks = Vec::new();
    for (i, scripts) in (0_u64..).zip(clients) {
        let (locks, faulty) = stage.client(seed ^ (i << 32));
        for script in scripts {
            tasks.push(tokio::spawn(play(locks.clone(), faulty.clone(), script)));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    tokio::time::sleep(TTL * 10).await;
    stage.history()
}

async fn play(locks: LockClient, faulty: FaultyBackend, script: Vec<Act>) {
    let mutex = locks.mutex::<Vec<u64>>("m").unwrap();
    for act in script {
        match act {
            Act::Fault(step, fault) => faulty.next(step, fault),
            Act::Sleep(n) => tokio::time::sleep(ms(n)).await,
            Act::Force => drop(locks.force_release("m").await),
            Act::Cancel(n) => drop(tokio::time::timeout(ms(n), mutex.lock()).await),
            Act::Peek => drop(mutex.peek().await),
            Act::Try => drop(mutex.try_lock().await),
            Act::Update => {
                let _answer = mutex
                    .update(|ids| {
                        ids.push(unique());
                        Ok(())
                    })
                    .await;
            }
            Act::Within(n) => drop(mutex.lock_timeout(ms(n)).await),
            Act::Drop
            | Act::Release
            | Act::Hold(_)
            | Act::Save
            | Act::Commit
            | Act::CancelCommit(_) => {
                if let Ok(guard) = mutex.lock().await {
                    end(guard, &act).await;
                }
            }
        }
    }
}

/// What a client does with the lock.
async fn end(mut guard: LockGuard<Vec<u64>>, act: &Act) {
    match act {
        Act::Release => drop(guard.release().await),
        Act::Hold(n) => {
            tokio::time::sleep(ms(*n)).await;
            append(&mut guard);
            let _answer = guard.commit().await;
        }
        Act::Save => {
            append(&mut guard);
            let _answer = guard.save().await;
            append(&mut guard);
            let _answer = guard.commit().await;
        }
        Act::Commit => {
            append(&mut guard);
            let _answer = guard.commit().await;
        }
        Act::CancelCommit(n) => {
            append(&mut guard);
            let _answer = tokio::time::timeout(ms(*n), guard.commit()).await;
        }
        Act::Drop | Act::Cancel(_) | Act::Fault(..) | Act::Force => drop(guard),
        Act::Peek | Act::Sleep(_) | Act::Try | Act::Update | Act::Within(_) => drop(guard),
    }
}

/// Makes a value that no other commit writes.
fn append(guard: &mut LockGuard<Vec<u64>>) {
    guard.push(unique());
}

fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn lines(history: &History) -> String {
    let mut lines = Vec::new();
    history.write_lines(&mut lines).unwrap();
    String::from_utf8(lines).unwrap()
}

fn in_virtual_time<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(work)
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
    fn what_random_clients_of_a_right_store_saw_is_judged_right(
        seed: u64,
        clients in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(act(), 1..12), 1..4),
            1..4,
        ),
    ) {
        let history = in_virtual_time(run(seed, clients));
        let found = token::check(&history, Bound::DEFAULT, BUDGET);
        if let Verdict::Invalid(violation) = &found {
            prop_assert!(false, "{}\n{}", violation.explain(&history), lines(&history));
        }
        prop_assert_eq!(found, Verdict::Valid, "{} operations", history.operations().len());
        prop_assert_eq!(belief::check(&history), Vec::new());
    }
}

#[tokio::test(start_paused = true)]
async fn an_acquire_is_one_operation_from_its_first_attempt_to_its_grant() {
    let mut stage = Stage::new();
    let ((one, _), (other, faulty)) = (stage.client(1), stage.client(2));
    let guard = one.mutex::<()>("m").unwrap().lock().await.unwrap();
    let waits = tokio::spawn(async move { other.mutex::<()>("m").unwrap().lock().await });
    tokio::time::sleep(ms(500)).await;
    faulty.next(StepKind::Acquire, Fault::Refuse);
    guard.release().await.unwrap();
    let guard = waits.await.unwrap().unwrap();
    let history = stage.history();
    let of_other = |step, outcome| {
        let all = history.operations().iter();
        all.filter(|o| o.client == 1 && o.step == step && o.outcome == outcome)
            .copied()
            .collect::<Vec<_>>()
    };
    let done = of_other(Step::Acquire, Outcome::Done);
    assert_eq!(done.len(), 1);
    assert_eq!(done[0].token, guard.token().get());
    assert!(done[0].returned - done[0].invoked >= 500_000_000);
    // The first attempt, and the one after it had begun to watch.
    let refused = of_other(Step::Acquire, Outcome::Refused);
    assert_eq!(refused.len(), 2);
    assert!(refused.iter().all(|o| o.returned < 500_000_000));
    assert_eq!(
        token::check(&history, Bound::DEFAULT, BUDGET),
        Verdict::Valid
    );
}

#[tokio::test(start_paused = true)]
async fn attempts_of_a_commit_are_one_operation() {
    let mut stage = Stage::new();
    let (locks, faulty) = stage.client(1);
    faulty.next(StepKind::Commit, Fault::LoseReply);
    faulty.next(StepKind::Commit, Fault::HangAfter);
    let mutex = locks.mutex::<u64>("m").unwrap();
    mutex.update(add(1)).await.unwrap();
    let history = stage.history();
    let commits: Vec<_> = history
        .operations()
        .iter()
        .filter(|o| o.step == Step::CommitRelease)
        .collect();
    assert_eq!(faulty.calls(StepKind::Commit), 3);
    assert_eq!(commits.len(), 1);
    assert_eq!(commits[0].outcome, Outcome::Done);
    assert_eq!(history.value_text(commits[0].value), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn a_client_believes_until_the_drift_allowance_before_the_end_of_its_ttl() {
    let mut stage = Stage::new();
    let (locks, faulty) = stage.client(1);
    let guard = locks.mutex::<()>("m").unwrap().lock().await.unwrap();
    faulty.always(StepKind::Renew, Fault::LoseRequest);
    let told = guard.lost().await;
    let lost_at = stage.recorder.now().as_nanos();
    assert_eq!(told, lock_core::LossCause::Expired);
    let history = stage.history();
    let [belief] = history.beliefs() else {
        panic!("one belief: {:?}", history.beliefs());
    };
    assert_eq!(belief.token, guard.token().get());
    // 3 s less 2 % and 5 ms; what is beyond whole milliseconds are the steps before it.
    assert_eq!(belief.until / 1_000_000, 2935);
    assert!(belief.until.abs_diff(lost_at) <= 2_000_000);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_forgets_a_commit_is_found() {
    let mut stage = Stage::new();
    let (locks, _) = stage.client(1);
    let mutex = locks.mutex::<u64>("m").unwrap();
    mutex.update(add(1)).await.unwrap();
    tokio::time::sleep(ms(10)).await;
    stage.store.wipe();
    mutex.update(add(2)).await.unwrap();
    assert_eq!(broken(&stage.history()), Property::Fn2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_forgets_a_lease_is_found() {
    let mut stage = Stage::new();
    let ((one, _), (other, _)) = (stage.client(1), stage.client(2));
    let _held = one.mutex::<()>("m").unwrap().lock().await.unwrap();
    tokio::time::sleep(ms(10)).await;
    stage.store.wipe();
    let _also = other.mutex::<()>("m").unwrap().lock().await.unwrap();
    let history = stage.history();
    assert_eq!(broken(&history), Property::Ls1);
    assert!(!belief::check(&history).is_empty());
}

fn add(n: u64) -> impl FnOnce(&mut u64) -> Result<(), lock_core::BoxError> + Send {
    move |value| {
        *value += n;
        Ok(())
    }
}

fn broken(history: &History) -> Property {
    let found = token::check(history, Bound::DEFAULT, BUDGET);
    let Verdict::Invalid(violation) = found else {
        panic!("{found:?}");
    };
    violation.property
}
