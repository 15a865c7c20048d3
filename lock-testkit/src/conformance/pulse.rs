//! [`Pulse`]: how late this machine is, measured while the cases run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lock_core::Clock;

/// How late a task wakes that asked to sleep: the scheduler's delay.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulse {
    worst_ns: Arc<AtomicU64>,
}

impl Pulse {
    /// Measures for ever; the caller spawns it and drops it in the end.
    pub(super) async fn beat(self, clock: Arc<dyn Clock>) {
        loop {
            let due = clock.now().after(BEAT);
            clock.sleep_until(due).await;
            let late = clock.now().since(due).as_nanos();
            let late = u64::try_from(late).unwrap_or(u64::MAX);
            let _before: u64 = self.worst_ns.fetch_max(late, Ordering::Relaxed);
        }
    }

    /// The worst delay so far.
    pub(super) fn worst(&self) -> Duration {
        Duration::from_nanos(self.worst_ns.load(Ordering::Relaxed))
    }

    /// A bound on waiting, longer on a machine that is late.
    pub(super) fn bound(&self, base: Duration) -> Duration {
        base.saturating_add(self.worst().saturating_mul(20))
    }
}

const BEAT: Duration = Duration::from_millis(10);
