//! Notifications from the server, sorted out to those who wait.
//!
//! They come on the client's own channel, sent by the statements: a release wakes the first in
//! line, a forced release tells the holder. It asks nothing of the server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream;
use lock_core::{Alarm, Alarms, Clock, Hints, LockName, Moment};
use tokio::sync::{broadcast, watch};

use crate::names::name_of;

/// Who waits for notifications of one client.
#[derive(Debug)]
pub(crate) struct Wakeups {
    clock: Arc<dyn Clock>,
    registry: Mutex<Registry>,
}

#[derive(Debug)]
struct Registry {
    /// An entry lives as long as one of its receivers.
    watchers: HashMap<LockName, watch::Sender<Hint>>,
    /// `None` once the backend is gone.
    alarms: Option<broadcast::Sender<Alarm>>,
}

/// What a watcher was told so far.
#[derive(Clone, Copy, Debug, Default)]
struct Hint {
    /// How many times it was woken.
    count: u64,
    /// When to look again unless woken before: it is second in line.
    look_again: Option<Moment>,
}

/// How many alarms may wait for a slow listener; what is more becomes one `CheckAll`.
const ALARMS_MAX: usize = 256;

impl Wakeups {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            registry: Mutex::new(Registry {
                watchers: HashMap::new(),
                alarms: Some(broadcast::Sender::new(ALARMS_MAX)),
            }),
        }
    }

    /// Registers interest in a name; dropping the stream ends it.
    pub(crate) fn watch(self: &Arc<Self>, name: &LockName) -> Hints {
        let receiver = self
            .registry()
            .watchers
            .entry(name.clone())
            .or_default()
            .subscribe();
        let seen = *receiver.borrow();
        let watcher = Watcher {
            receiver: Some(receiver),
            name: name.clone(),
            wakeups: Arc::clone(self),
            seen,
        };
        Box::pin(stream::unfold(watcher, |mut watcher| async move {
            watcher.next().await.then_some(((), watcher))
        }))
    }

    pub(crate) fn alarms(&self) -> Alarms {
        let Some(receiver) = self
            .registry()
            .alarms
            .as_ref()
            .map(broadcast::Sender::subscribe)
        else {
            return Box::pin(stream::empty());
        };
        Box::pin(stream::unfold(receiver, |mut receiver| async move {
            match receiver.recv().await {
                Ok(alarm) => Some((alarm, receiver)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some((Alarm::CheckAll, receiver)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        }))
    }

    /// Notifications may have been missed: tells everybody to look.
    pub(crate) fn stir(&self) {
        let registry = self.registry();
        for watcher in registry.watchers.values() {
            wake(watcher);
        }
        registry.alarm(Alarm::CheckAll);
    }

    /// Ends all streams: the backend is gone.
    pub(crate) fn close(&self) {
        let mut registry = self.registry();
        registry.watchers.clear();
        registry.alarms = None;
    }

    /// `w<name>` wakes, `f<name>` tells of a forced release, `s<ms>:<name>` says when to look again.
    pub(crate) fn take(&self, message: &str) {
        let registry = self.registry();
        let watcher = |name: &str| registry.watchers.get(&name_of(name)?);
        if let Some(name) = message.strip_prefix('w') {
            watcher(name).into_iter().for_each(wake);
        } else if let Some(name) = message.strip_prefix('f').and_then(name_of) {
            registry.alarm(Alarm::Check(name));
        } else if let Some((ms, name)) = message.strip_prefix('s').and_then(|t| t.split_once(':'))
            && let (Ok(ms), Some(watcher)) = (ms.parse(), watcher(name))
        {
            let at = self.clock.now().after(Duration::from_millis(ms));
            watcher.send_modify(|hint| hint.look_again = Some(at));
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // Nothing panics while it holds the lock; if something did, the maps are still whole.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    fn alarm(&self, alarm: Alarm) {
        if let Some(alarms) = &self.alarms {
            // Nobody listens: then nobody holds a lease either.
            drop(alarms.send(alarm));
        }
    }
}

fn wake(watcher: &watch::Sender<Hint>) {
    watcher.send_modify(|hint| {
        hint.count = hint.count.wrapping_add(1);
        hint.look_again = None;
    });
}

struct Watcher {
    /// `None` only while it is dropped.
    receiver: Option<watch::Receiver<Hint>>,
    name: LockName,
    wakeups: Arc<Wakeups>,
    seen: Hint,
}

impl Watcher {
    /// Waits for the next hint; false when the backend is gone.
    async fn next(&mut self) -> bool {
        let Some(receiver) = &mut self.receiver else {
            return false;
        };
        loop {
            let hint = *receiver.borrow_and_update();
            if hint.count != self.seen.count {
                self.seen = hint;
                return true;
            }
            let pending = hint
                .look_again
                .filter(|at| self.seen.look_again != Some(*at));
            let look_again = async {
                match pending {
                    Some(at) => self.wakeups.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = receiver.changed() => if changed.is_err() { return false },
                () = look_again => {
                    self.seen.look_again = pending;
                    return true;
                }
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut registry = self.wakeups.registry();
        self.receiver = None;
        if let Some(watcher) = registry.watchers.get(&self.name)
            && watcher.receiver_count() == 0
        {
            registry.watchers.remove(&self.name);
        }
    }
}
