//! Local waiters: one queue a name, first come, first served (C9).
//!
//! Whoever has the [`Turn`] of a name is the only one in this process that talks to the store about
//! it, so however many tasks wait, the store sees one contender a process.
//!
//! # Invariants
//! 1. A name has at most one `NameQueue` alive in a client, and so at most one turn.
//! 2. The map holds no entry for a name without handles, guards or waiters.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::name::LockName;

/// All queues of one client, by name.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    by_name: Mutex<HashMap<LockName, Weak<NameQueue>>>,
}

impl Queues {
    /// The queue of this name.
    pub(crate) fn of(self: &Arc<Self>, name: &LockName) -> Arc<NameQueue> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = by_name.get(name).and_then(Weak::upgrade) {
            return queue;
        }
        let queue = Arc::new(NameQueue {
            name: name.clone(),
            turn: Arc::new(Semaphore::new(1)),
            queues: Arc::downgrade(self),
        });
        drop(by_name.insert(name.clone(), Arc::downgrade(&queue)));
        queue
    }

    /// How many names have a queue now.
    pub(crate) fn len(&self) -> usize {
        self.by_name
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

/// The queue of one name.
#[derive(Debug)]
pub(crate) struct NameQueue {
    name: LockName,
    turn: Arc<Semaphore>,
    queues: Weak<Queues>,
}

impl NameQueue {
    pub(crate) fn name(&self) -> &LockName {
        &self.name
    }

    /// Waits for the turn; dropping the future leaves the queue.
    pub(crate) async fn turn(self: &Arc<Self>) -> Option<Turn> {
        let permit = Arc::clone(&self.turn).acquire_owned().await.ok()?;
        Some(Turn {
            _permit: permit,
            _queue: Arc::clone(self),
        })
    }

    /// The turn, if nobody has it or waits for it.
    pub(crate) fn try_turn(self: &Arc<Self>) -> Option<Turn> {
        let permit = Arc::clone(&self.turn).try_acquire_owned().ok()?;
        Some(Turn {
            _permit: permit,
            _queue: Arc::clone(self),
        })
    }
}

impl Drop for NameQueue {
    fn drop(&mut self) {
        let Some(queues) = self.queues.upgrade() else {
            return;
        };
        let mut by_name = queues
            .by_name
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Another queue may have been made for the name since this one's last handle went.
        if by_name
            .get(&self.name)
            .is_some_and(|queue| queue.strong_count() == 0)
        {
            drop(by_name.remove(&self.name));
        }
    }
}

/// The right to talk to the store about a name; the next waiter's when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
    _queue: Arc<NameQueue>,
}
