//! Pushes from the server, sorted out to those who wait.
//!
//! Two kinds come on the client's one connection: messages on the client's own channel, sent by the
//! scripts (a release wakes the first in line, a forced release tells the holder), and invalidations
//! of client tracking, sent by the server when a key that the client's scripts read last was changed
//! by somebody else. It opens no connection and asks nothing of the server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream;
use lock_core::{Alarm, Alarms, Clock, Hints, Moment};
use redis::{PushInfo, PushKind, Value};
use tokio::sync::{broadcast, watch};

use crate::keys::Keyspace;

/// Who waits for pushes of one client.
#[derive(Debug)]
pub(crate) struct Wakeups {
    keyspace: Keyspace,
    clock: Arc<dyn Clock>,
    registry: Mutex<Registry>,
}

#[derive(Debug)]
struct Registry {
    /// By lock key. An entry lives as long as one of its receivers.
    watchers: HashMap<String, watch::Sender<Hint>>,
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
    /// A holder of this library has the lock: its release is pushed on the channel, and other
    /// changes of the key are its renewals.
    holder_pushes: bool,
}

/// How many alarms may wait for a slow listener; what is more becomes one `CheckAll`.
const ALARMS_MAX: usize = 256;

impl Wakeups {
    pub(crate) fn new(keyspace: Keyspace, clock: Arc<dyn Clock>) -> Self {
        Self {
            keyspace,
            clock,
            registry: Mutex::new(Registry {
                watchers: HashMap::new(),
                alarms: Some(broadcast::Sender::new(ALARMS_MAX)),
            }),
        }
    }

    /// Registers interest in a lock key; dropping the stream ends it.
    pub(crate) fn watch(self: &Arc<Self>, lock_key: &str) -> Hints {
        let receiver = self
            .registry()
            .watchers
            .entry(lock_key.to_owned())
            .or_default()
            .subscribe();
        let seen = *receiver.borrow();
        let watcher = Watcher {
            receiver: Some(receiver),
            lock_key: lock_key.to_owned(),
            wakeups: Arc::clone(self),
            seen,
        };
        Box::pin(stream::unfold(watcher, |mut watcher| async move {
            watcher.next().await.then_some(((), watcher))
        }))
    }

    /// An attempt was refused, by a holder of this library or by another program.
    pub(crate) fn refused(&self, lock_key: &str, stranger: bool) {
        if let Some(watcher) = self.registry().watchers.get(lock_key) {
            // It is no hint: nobody is to be woken by it.
            watcher.send_if_modified(|hint| {
                hint.holder_pushes = !stranger;
                false
            });
        }
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

    /// Whether anybody waits for pushes.
    pub(crate) fn is_wanted(&self) -> bool {
        let registry = self.registry();
        !registry.watchers.is_empty()
            || registry
                .alarms
                .as_ref()
                .is_some_and(|a| a.receiver_count() > 0)
    }

    /// Pushes may have been missed: tells everybody to look.
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

    /// Takes a push from the connection. It must not block: the connection waits for it.
    pub(crate) fn take(&self, push: &PushInfo) {
        match (&push.kind, push.data.as_slice()) {
            (PushKind::Message, [_, Value::BulkString(message)]) => self.message(message),
            (PushKind::Invalidate, [Value::Array(keys)]) => {
                for key in keys {
                    if let Value::BulkString(key) = key {
                        self.invalidated(key);
                    }
                }
            }
            // FLUSHALL and FLUSHDB: all keys at once.
            (PushKind::Invalidate, _) => self.stir(),
            _ => {}
        }
    }

    /// `w<key>` wakes, `f<key>` tells of a forced release, `s<ms>:<key>` says when to look again.
    fn message(&self, message: &[u8]) {
        let Ok(text) = std::str::from_utf8(message) else {
            return;
        };
        let registry = self.registry();
        if let Some(key) = text.strip_prefix('w') {
            if let Some(watcher) = registry.watchers.get(key) {
                wake(watcher);
            }
        } else if let Some(key) = text.strip_prefix('f') {
            if let Some(name) = self.keyspace.name_of(key) {
                registry.alarm(Alarm::Check(name));
            }
        } else if let Some((ms, key)) = text.strip_prefix('s').and_then(|t| t.split_once(':'))
            && let (Ok(ms), Some(watcher)) = (ms.parse(), registry.watchers.get(key))
        {
            let at = self.clock.now().after(Duration::from_millis(ms));
            watcher.send_modify(|hint| hint.look_again = Some(at));
        }
    }

    /// A key that a script of this client read last was changed by another client, or expired.
    fn invalidated(&self, key: &[u8]) {
        let Ok(key) = std::str::from_utf8(key) else {
            return;
        };
        // Records and lines change with every step of others; only the lock key tells of a loss.
        let Some(name) = self.keyspace.name_of(key) else {
            return;
        };
        let registry = self.registry();
        if let Some(watcher) = registry.watchers.get(key)
            && !watcher.borrow().holder_pushes
        {
            wake(watcher);
        }
        registry.alarm(Alarm::Check(name));
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
    lock_key: String,
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
        if let Some(watcher) = registry.watchers.get(&self.lock_key)
            && watcher.receiver_count() == 0
        {
            registry.watchers.remove(&self.lock_key);
        }
    }
}

#[cfg(test)]
mod tests;
