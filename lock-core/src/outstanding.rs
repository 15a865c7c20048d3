//! Counts what is under way, so that [`close`](crate::LockClient::close) can wait for it (C14).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How many requests are under way whose effect at the store is not settled yet.
#[derive(Debug, Default)]
pub(crate) struct Outstanding {
    count: AtomicUsize,
    settled: Notify,
}

impl Outstanding {
    /// Counts one more until the ticket is dropped.
    pub(crate) fn ticket(self: &Arc<Self>) -> Ticket {
        let _before: usize = self.count.fetch_add(1, Ordering::Relaxed);
        Ticket(Arc::clone(self))
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Resolves when nothing is under way.
    pub(crate) async fn settled(&self) {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            let _enabled: bool = settled.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            settled.await;
        }
    }
}

/// One request that is under way.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<Outstanding>);

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.settled.notify_waiters();
        }
    }
}
