//! Local waiters: one queue a name, first come, first served (C9).
//!
//! Whoever has the [`Turn`] of a name is the only one in this process that talks to the store about
//! it, so however many tasks wait, the store sees one contender a process.
//!
//! A lease that passes from one waiter to the next lies in its queue for the moment between the two.
//! It goes there before the turn is free, and whoever gets the turn takes it out.
//!
//! # Invariants
//! 1. A name has at most one `NameQueue` alive in a client, and so at most one turn.
//! 2. The map holds no entry for a name without handles, guards or waiters.
//! 3. While a lease lies in the queue, somebody has the turn or is about to: a waiter that goes away
//!    looks after it, and so does whoever laid it there. If nobody polls who has the turn, the lease
//!    is taken away when it is to be renewed.

pub(crate) mod plan;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::held::Parked;
use crate::name::LockName;
use crate::owner::OwnerId;

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
            waiting: AtomicUsize::new(0),
            was_wanted: AtomicBool::new(false),
            parked: Mutex::new(None),
            queues: Arc::downgrade(self),
        });
        drop(by_name.insert(name.clone(), Arc::downgrade(&queue)));
        queue
    }

    /// Gives back a lease that still lies in the queue of its name: whoever has the turn does not come
    /// for it, since nobody polls it, and neither other processes nor those whose changes wait with
    /// the lease are to wait for that.
    pub(crate) fn reclaim(&self, name: &LockName, owner: OwnerId) {
        let by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = by_name.get(name).and_then(Weak::upgrade);
        drop(by_name);
        let Some(queue) = queue else {
            return;
        };
        let parked = queue.slot().take_if(|parked| parked.owner() == owner);
        if let Some(parked) = parked {
            parked.give_up();
        }
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
    /// How many wait for the turn.
    waiting: AtomicUsize,
    /// Whether somebody waited when a guard or a batch ended last.
    was_wanted: AtomicBool,
    /// A lease on its way to whoever gets the turn.
    parked: Mutex<Option<Parked>>,
    queues: Weak<Queues>,
}

impl NameQueue {
    pub(crate) fn name(&self) -> &LockName {
        &self.name
    }

    /// Waits for the turn; dropping the future leaves the queue.
    pub(crate) async fn turn(self: &Arc<Self>) -> Option<Turn> {
        let waiting = Waiting::begin(self);
        // CANCEL: `waiting` sees to a lease that was meant for us.
        let permit = Arc::clone(&self.turn).acquire_owned().await.ok()?;
        waiting.end();
        Some(Turn {
            _permit: permit,
            queue: Arc::clone(self),
        })
    }

    /// The turn, if nobody has it or waits for it.
    pub(crate) fn try_turn(self: &Arc<Self>) -> Option<Turn> {
        let permit = Arc::clone(&self.turn).try_acquire_owned().ok()?;
        Some(Turn {
            _permit: permit,
            queue: Arc::clone(self),
        })
    }

    /// How many wait for the turn.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Remembers whether somebody waited when a guard or a batch ended.
    pub(crate) fn note(&self, is_wanted: bool) {
        self.was_wanted.store(is_wanted, Ordering::Relaxed);
    }

    /// Whether the next lease is likely to pass on in this process.
    pub(crate) fn is_wanted(&self) -> bool {
        self.waiting() > 0 || self.was_wanted.load(Ordering::Relaxed)
    }

    /// Passes a lease, and then the turn, to the next waiter. If none is left, the lease is given
    /// back in the background.
    pub(crate) fn pass(self: &Arc<Self>, parked: Parked, turn: Option<Turn>) {
        let before = self.slot().replace(parked);
        debug_assert!(before.is_none(), "who has the turn has taken the lease");
        drop(turn);
        drop(before);
        self.settle();
    }

    /// The lease that was passed on to whoever has the turn now.
    pub(crate) fn take_parked(&self) -> Option<Parked> {
        self.slot().take()
    }

    /// Sees to it that no lease lies here while nobody waits.
    fn settle(self: &Arc<Self>) {
        if self.slot().is_none() {
            return;
        }
        // Whoever waits has been given the turn before this is asked, and takes the lease.
        if let Some(turn) = self.try_turn()
            && let Some(parked) = self.take_parked()
        {
            parked.give_back(turn);
        }
    }

    fn slot(&self) -> MutexGuard<'_, Option<Parked>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts as waiting for the turn.
struct Waiting<'a> {
    queue: &'a Arc<NameQueue>,
    is_over: bool,
}

impl<'a> Waiting<'a> {
    fn begin(queue: &'a Arc<NameQueue>) -> Self {
        let _before: usize = queue.waiting.fetch_add(1, Ordering::AcqRel);
        Self {
            queue,
            is_over: false,
        }
    }

    fn end(mut self) {
        self.is_over = true;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let _before: usize = self.queue.waiting.fetch_sub(1, Ordering::AcqRel);
        if !self.is_over {
            self.queue.settle();
        }
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
    queue: Arc<NameQueue>,
}

impl Turn {
    pub(crate) fn queue(&self) -> Arc<NameQueue> {
        Arc::clone(&self.queue)
    }
}
