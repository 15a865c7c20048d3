//! [`Signal`]: a number that tasks wait for to change.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Notify;

/// A number that tasks wait for to change; they are woken in the order in which they began to wait.
///
/// Tokio's `watch` wakes them in an order drawn by chance, so a run with it would not repeat itself.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    number: AtomicU32,
    changed: Notify,
}

impl Signal {
    pub(crate) fn now(&self) -> u32 {
        self.number.load(Ordering::SeqCst)
    }

    pub(crate) fn set(&self, number: u32) {
        self.number.store(number, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// Waits until it is such a number.
    pub(crate) async fn until(&self, fits: impl Fn(u32) -> bool) {
        loop {
            // Registered before the look, so that no change is missed.
            let changed = self.changed.notified();
            if fits(self.now()) {
                return;
            }
            changed.await;
        }
    }
}
