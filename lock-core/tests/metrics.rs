//! The figures of docs/metrics.md.
#![cfg(feature = "metrics")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use lock_core::LockClient;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// Keeps counters by name and labels, and the names of histograms.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>);

impl Kept {
    fn cell(&self, key: &Key) -> Arc<AtomicU64> {
        let labels: Vec<_> = key
            .labels()
            .map(|label| format!(" {}={}", label.key(), label.value()))
            .collect();
        let name = format!("{}{}", key.name(), labels.concat());
        Arc::clone(self.0.lock().unwrap().entry(name).or_default())
    }

    fn count(&self, name: &str) -> u64 {
        let cells = self.0.lock().unwrap();
        cells
            .get(name)
            .map_or(0, |cell| cell.load(Ordering::Relaxed))
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        drop(self.cell(key));
        Histogram::noop()
    }
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
    runtime.block_on(async {
        let locks = LockClient::in_memory();
        let mutex = locks.mutex::<u32>("a secret name").unwrap();
        let guard = mutex.lock().await.unwrap();
        assert!(mutex.try_lock().await.unwrap().is_none());
        let soon = std::time::Duration::from_millis(20);
        let _timeout = mutex.lock_timeout(soon).await.unwrap_err();
        let _forced = locks.force_release("a secret name").await.unwrap();
        let _lost = guard.lost().await;
        let mut guard = mutex.lock().await.unwrap();
        *guard = 1;
        drop(guard);
        let _settled = locks.close(std::time::Duration::from_secs(5)).await;
    });
    for (name, count) in [
        ("lock_acquires_total outcome=acquired", 2),
        ("lock_acquires_total outcome=refused", 1),
        ("lock_acquires_total outcome=timeout", 1),
        ("lock_losses_total cause=forced", 1),
        ("lock_background_releases_total", 1),
        ("lock_changes_discarded_total", 1),
    ] {
        assert_eq!(kept.count(name), count, "{name}");
    }
    let names: Vec<String> = kept.0.lock().unwrap().keys().cloned().collect();
    assert!(
        names.iter().any(|n| n.starts_with("lock_wait_seconds")),
        "{names:?}"
    );
    assert!(!names.concat().contains("secret"), "{names:?}");
}
