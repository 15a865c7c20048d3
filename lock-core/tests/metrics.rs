//! The figures of docs/metrics.md.
#![cfg(feature = "metrics")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::disallowed_methods,
    reason = "time is virtual: nothing waits for real"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{
    Acquire, Acquisition, Alarms, Capabilities, Commit, DistributedMutex, Effect, Error, ErrorKind,
    ForcedRelease, Hints, LockBackend, LockClient, LockInfo, LockName, LockOptions, MemoryBackend,
    OwnerId, Peeked, Release, Renew, Renewal, Stored,
};
use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use serde_json::Value;

/// Keeps what was counted and recorded, by name and labels.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<BTreeMap<String, Arc<Figure>>>>);

#[derive(Default)]
struct Figure {
    is_histogram: AtomicBool,
    count: AtomicU64,
    last: Mutex<f64>,
}

impl HistogramFn for Figure {
    fn record(&self, value: f64) {
        let _before = self.count.fetch_add(1, Ordering::Relaxed);
        *self.last.lock().unwrap() = value;
    }
}

impl metrics::CounterFn for Figure {
    fn increment(&self, value: u64) {
        let _before = self.count.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, _: u64) {}
}

impl Kept {
    fn figure(&self, key: &Key) -> Arc<Figure> {
        let labels: Vec<_> = key
            .labels()
            .map(|label| format!(" {}={}", label.key(), label.value()))
            .collect();
        let name = format!("{}{}", key.name(), labels.concat());
        Arc::clone(self.0.lock().unwrap().entry(name).or_default())
    }

    fn of(&self, name: &str) -> Arc<Figure> {
        let figures = self.0.lock().unwrap();
        figures.get(name).cloned().unwrap_or_default()
    }

    fn count(&self, name: &str) -> u64 {
        self.of(name).count.load(Ordering::Relaxed)
    }

    fn last(&self, name: &str) -> f64 {
        *self.of(name).last.lock().unwrap()
    }

    /// Each with its kind and labels, as the table has them.
    fn rows(&self) -> BTreeSet<String> {
        let figures = self.0.lock().unwrap();
        let rows = figures.iter().map(|(name, figure)| {
            let kind = match figure.is_histogram.load(Ordering::Relaxed) {
                true => "histogram",
                false => "counter",
            };
            let (name, label) = name.split_once(' ').unwrap_or((name, ""));
            let label = label.split_once('=').unwrap_or_default();
            format!("{name} {kind} {} {}", label.0, label.1)
        });
        rows.collect()
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.figure(key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let figure = self.figure(key);
        figure.is_histogram.store(true, Ordering::Relaxed);
        Histogram::from_arc(figure)
    }
}

/// The rows of docs/metrics.md: a line for each value of a label.
fn table() -> BTreeSet<String> {
    let text = include_str!("../../docs/metrics.md");
    let mut rows = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("| `lock_")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, kind, labels, ..] = cells[..] else {
            unreachable!("a row of four cells: {line}");
        };
        let name = name.trim_matches('`');
        // The label, then its values.
        let mut words = labels.split('`').skip(1).step_by(2);
        let label = words.next().unwrap_or_default();
        let values: Vec<&str> = words.collect();
        if values.is_empty() {
            assert_eq!(label, "", "the values of a label are in the table: {line}");
            let _new = rows.insert(format!("{name} {kind}  "));
        }
        for value in values {
            let _new = rows.insert(format!("{name} {kind} {label} {value}"));
        }
    }
    rows
}

/// A store in memory, whose answers get lost at will.
#[derive(Clone, Debug)]
struct Flaky {
    store: Arc<MemoryBackend>,
    loses: Arc<AtomicBool>,
    is_broken: Arc<AtomicBool>,
}

impl Flaky {
    fn answer<T>(&self, answer: T) -> Result<T, Error> {
        if self.is_broken.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Denied, "no more"));
        }
        if self.loses.load(Ordering::Relaxed) {
            let lost = Error::new(ErrorKind::Unavailable, "the answer was lost");
            return Err(lost.with_effect(Effect::Unknown));
        }
        Ok(answer)
    }
}

#[async_trait]
impl LockBackend for Flaky {
    fn kind(&self) -> &'static str {
        "flaky"
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    async fn acquire(&self, request: &Acquire) -> Result<Acquisition, Error> {
        self.answer(self.store.acquire(request).await?)
    }

    async fn renew(&self, requests: &[Renew]) -> Vec<Result<Renewal, Error>> {
        let answers = self.store.renew(requests).await.into_iter();
        answers.map(|answer| self.answer(answer?)).collect()
    }

    async fn commit(&self, request: &Commit) -> Result<Stored, Error> {
        self.answer(self.store.commit(request).await?)
    }

    async fn release(&self, name: &LockName, owner: OwnerId) -> Result<Release, Error> {
        self.store.release(name, owner).await
    }

    async fn peek(&self, name: &LockName) -> Result<Option<Peeked>, Error> {
        self.store.peek(name).await
    }

    async fn watch(&self, name: &LockName) -> Result<Hints, Error> {
        self.store.watch(name).await
    }

    fn alarms(&self) -> Alarms {
        self.store.alarms()
    }

    async fn inspect(&self, name: &LockName) -> Result<LockInfo, Error> {
        self.store.inspect(name).await
    }

    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<LockInfo>, Error> {
        self.store.list(prefix, limit).await
    }

    async fn force_release(&self, name: &LockName) -> Result<ForcedRelease, Error> {
        self.store.force_release(name).await
    }
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// Whatever can happen to a lock.
async fn everything(store: &Flaky) {
    let options = LockOptions::builder().ttl(Duration::from_secs(10));
    let options = options.patience(Duration::from_secs(1)).build().unwrap();
    let client = |backend| {
        LockClient::builder(backend)
            .options(options.clone())
            .build()
    };
    let locks = client(store.clone());
    let mutex = locks.mutex::<u32>("a secret name").unwrap();

    // Refused, timed out, forced out; what is written after that is refused.
    let guard = mutex.lock().await.unwrap();
    assert!(mutex.try_lock().await.unwrap().is_none());
    let soon = Duration::from_millis(20);
    let _timeout = mutex.lock_timeout(soon).await.unwrap_err();
    let _forced = locks.force_release("a secret name").await.unwrap();
    let _lost = guard.lost().await;
    let _refused = guard.commit().await.unwrap_err();
    // Dropped with a change, and held until it was given up in the background.
    let mut guard = mutex.lock().await.unwrap();
    *guard = 1;
    drop(guard);
    pause().await;

    let other = LockClient::new(store.store.another_client());
    let elsewhere = other.mutex::<u32>("a secret name").unwrap();
    contended(&mutex, &elsewhere).await;

    // Renewed late, then without an answer; at last it runs out.
    let guard = mutex.lock().await.unwrap();
    tokio::time::advance(Duration::from_secs(5)).await;
    pause().await;
    store.loses.store(true, Ordering::Relaxed);
    let _expired = guard.lost().await;
    let _unknown = locks.mutex::<u32>("another").unwrap().lock().await;
    store.loses.store(false, Ordering::Relaxed);
    pause().await;
    let guard = mutex.lock().await.unwrap();
    store.loses.store(true, Ordering::Relaxed);
    let _unknown = guard.commit().await.unwrap_err();
    store.loses.store(false, Ordering::Relaxed);
    pause().await;
    let guard = mutex.lock().await.unwrap();
    store.is_broken.store(true, Ordering::Relaxed);
    let _denied = guard.commit().await.unwrap_err();
    store.is_broken.store(false, Ordering::Relaxed);
    pause().await;

    // Another has it when its renewal comes.
    let guard = mutex.lock().await.unwrap();
    store.store.wipe();
    let _displaced = elsewhere.lock().await.unwrap();
    let _lost = guard.lost().await;
    let _closed = locks.mutex::<u32>("last").unwrap().lock().await.unwrap();
    locks.close(Duration::from_secs(5)).await.unwrap();
}

/// Several want the lock at once.
async fn contended(mutex: &DistributedMutex<u32>, elsewhere: &DistributedMutex<u32>) {
    // Two wait behind one of this process, and the lease passes on between them; one in another.
    let guard = mutex.lock().await.unwrap();
    let pass_on = || async { mutex.lock().await.unwrap().release().await.unwrap() };
    tokio::join!(
        pass_on(),
        pass_on(),
        async { drop(elsewhere.lock().await) },
        async {
            pause().await;
            guard.commit().await.unwrap();
        }
    );
    // Updates that wait at the same time share a commit.
    let guard = mutex.lock().await.unwrap();
    let add = || {
        mutex.update(|n| {
            *n = n.saturating_add(1);
            Ok(())
        })
    };
    let given_back = async {
        pause().await;
        guard.release().await
    };
    let (one, two, given_back) = tokio::join!(add(), add(), given_back);
    one.and(two).and(given_back).unwrap();
    mutex.lock().await.unwrap().commit().await.unwrap();
    pause().await;
}

#[test]
fn the_figures_say_what_happened() {
    let kept = Kept::default();
    metrics::set_global_recorder(kept.clone()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let store = Flaky {
        store: Arc::default(),
        loses: Arc::default(),
        is_broken: Arc::default(),
    };
    runtime.block_on(everything(&store));
    for (name, count) in [
        ("lock_acquires_total outcome=refused", 1),
        ("lock_acquires_total outcome=timeout", 1),
        ("lock_changes_discarded_total", 1),
        ("lock_commits_total outcome=error", 1),
        ("lock_commits_total outcome=lost", 1),
        ("lock_commits_total outcome=unknown", 1),
        ("lock_handovers_total", 2),
        ("lock_hold_seconds end=handed_over", 2),
        ("lock_losses_total cause=closed", 1),
        ("lock_losses_total cause=displaced", 1),
        ("lock_losses_total cause=expired", 1),
        ("lock_losses_total cause=forced", 1),
        ("lock_unknown_outcomes_total", 1),
    ] {
        assert_eq!(kept.count(name), count, "{name}");
    }
    assert_eq!(kept.rows(), table());
    assert!(!kept.rows().into_iter().any(|row| row.contains("secret")));
    assert!((kept.last("lock_batch_updates") - 2.0).abs() < f64::EPSILON);
}

/// Every text under this key, at any depth.
fn texts<'a>(json: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    let inner: Vec<&Value> = match json {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => {
            found.extend(fields.get(key).and_then(Value::as_str));
            fields.values().collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return,
    };
    inner
        .into_iter()
        .for_each(|value| texts(value, key, &mut *found));
}

#[test]
fn the_dashboard_shows_each_figure_of_the_table_and_no_other() {
    let dashboard = include_str!("../../docs/grafana/dashboard.json");
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let mut series = Vec::new();
    texts(&dashboard, "expr", &mut series);
    let words = series
        .iter()
        .flat_map(|expr| expr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')));
    let shown: BTreeSet<&str> = words.filter(|word| word.starts_with("lock_")).collect();
    // As Prometheus has them: of a histogram there are its buckets, their sum and their count.
    let kind_of: BTreeMap<String, String> = table()
        .iter()
        .map(|row| {
            let mut words = row.split(' ').map(str::to_owned);
            (words.next().unwrap(), words.next().unwrap())
        })
        .collect();
    let mut missing: BTreeSet<&str> = kind_of.keys().map(String::as_str).collect();
    for word in shown {
        let parts = ["_bucket", "_sum", "_count"];
        let base = parts.iter().find_map(|part| word.strip_suffix(part));
        let kind = kind_of.get(base.unwrap_or(word)).map(String::as_str);
        let expected = base.map_or("counter", |_| "histogram");
        assert_eq!(kind, Some(expected), "{word}");
        let _was_missing = missing.remove(base.unwrap_or(word));
    }
    assert_eq!(missing, BTreeSet::new());

    let mut sources = Vec::new();
    texts(&dashboard, "uid", &mut sources);
    sources.retain(|uid| *uid != "distributed-mutex");
    assert!(sources.iter().all(|uid| *uid == "${datasource}"));
}
