//! Pushes from the server, sorted out to those who wait.
//!
//! Two kinds come on the client's one connection: messages on the client's own channel, sent by the
//! scripts (a release wakes the first in line, a forced release tells the holder), and invalidations
//! of client tracking, sent by the server when a key that the client's scripts read last was changed
//! by somebody else. It opens no connection and asks nothing of the server.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_core::{Alarm, Alarms, Clock, Hints, LockName};
use redis::{PushInfo, PushKind, Value};

use crate::keys::Keyspace;

/// Who waits for pushes of one client.
#[derive(Debug)]
pub(crate) struct Wakeups {
    keyspace: Keyspace,
    waiting: Arc<lock_core::Wakeups>,
    pushing: Arc<Pushing>,
}

/// The names that are watched and that a holder of this library has: its release is pushed on the
/// channel, and other changes of the key are its renewals.
#[derive(Debug, Default)]
struct Pushing(Mutex<HashSet<LockName>>);

impl Pushing {
    fn names(&self) -> MutexGuard<'_, HashSet<LockName>> {
        // Nothing panics while it holds the lock; if something did, the set is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wakeups {
    pub(crate) fn new(keyspace: Keyspace, clock: Arc<dyn Clock>) -> Self {
        let pushing = Arc::new(Pushing::default());
        let watched = Arc::clone(&pushing);
        let waiting = lock_core::Wakeups::new(clock).on_unwatched(move |name| {
            watched.names().remove(name);
        });
        Self {
            keyspace,
            waiting: Arc::new(waiting),
            pushing,
        }
    }

    /// Registers interest in a name; dropping the stream ends it.
    pub(crate) fn watch(&self, name: &LockName) -> Hints {
        self.waiting.watch(name)
    }

    /// An attempt was refused, by a holder of this library or by another program.
    pub(crate) fn refused(&self, name: &LockName, stranger: bool) {
        if !stranger {
            self.pushing.names().insert(name.clone());
        }
        // In this order: whoever ends the watch meanwhile removes the name too.
        if stranger || !self.waiting.is_watched(name) {
            self.pushing.names().remove(name);
        }
    }

    pub(crate) fn alarms(&self) -> Alarms {
        self.waiting.alarms()
    }

    /// Whether anybody waits for pushes.
    pub(crate) fn is_wanted(&self) -> bool {
        self.waiting.is_wanted()
    }

    /// Pushes may have been missed: tells everybody to look.
    pub(crate) fn stir(&self) {
        self.waiting.stir();
    }

    /// Ends all streams: the backend is gone.
    pub(crate) fn close(&self) {
        self.waiting.close();
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
        let name_of = |key: &str| self.keyspace.name_of(key);
        if let Some(name) = text.strip_prefix('w').and_then(name_of) {
            self.waiting.hint(&name);
        } else if let Some(name) = text.strip_prefix('f').and_then(name_of) {
            self.waiting.alarm(Alarm::Check(name));
        } else if let Some((ms, key)) = text.strip_prefix('s').and_then(|t| t.split_once(':'))
            && let (Ok(ms), Some(name)) = (ms.parse(), name_of(key))
        {
            self.waiting.look_again(&name, Duration::from_millis(ms));
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
        if !self.pushing.names().contains(&name) {
            self.waiting.hint(&name);
        }
        self.waiting.alarm(Alarm::Check(name));
    }
}

#[cfg(test)]
mod tests;
