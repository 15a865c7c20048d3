//! [`Wakeups`]: what a store pushes, sorted out to those who wait.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream;
use tokio::sync::{broadcast, watch};

use crate::backend::{Alarm, Alarms, Hints};
use crate::clock::{Clock, Moment};
use crate::name::LockName;

/// What a store pushes, sorted out to those who wait: the half of
/// [`watch`](crate::LockBackend::watch) and [`alarms`](crate::LockBackend::alarms) that is the same
/// for every store, for backends to be built from.
///
/// Whoever reads the store's channel calls [`hint`](Self::hint), [`look_again`](Self::look_again)
/// and [`alarm`](Self::alarm) for what comes, and [`stir`](Self::stir) where something may have been
/// missed; none of them blocks. Hints to one watcher that it has not taken yet become one.
///
/// # Examples
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::sync::Arc;
///
/// use futures_util::StreamExt;
/// use lock_core::{LockName, SystemClock, Wakeups};
///
/// let wakeups = Arc::new(Wakeups::new(Arc::new(SystemClock::new())));
/// let name = LockName::new("stock/sku-17")?;
/// let mut hints = wakeups.watch(&name);
/// wakeups.hint(&name);
/// assert_eq!(hints.next().await, Some(()));
/// # Ok::<(), lock_core::Error>(()) }).unwrap();
/// ```
pub struct Wakeups {
    clock: Arc<dyn Clock>,
    registry: Mutex<Registry>,
    unwatched: Option<Box<Unwatched>>,
}

type Unwatched = dyn Fn(&LockName) + Send + Sync;

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
    /// When to look again unless woken before.
    look_again: Option<Moment>,
}

/// How many alarms may wait for a slow listener; what is more becomes one `CheckAll`.
const ALARMS_MAX: usize = 256;

impl Wakeups {
    /// Nobody waits yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            registry: Mutex::new(Registry {
                watchers: HashMap::new(),
                alarms: Some(broadcast::Sender::new(ALARMS_MAX)),
            }),
            unwatched: None,
        }
    }

    /// Has this called when the last watcher of a name has gone, and at [`close`](Self::close) for
    /// each name that is watched. It must not block nor call this value.
    #[must_use]
    pub fn on_unwatched(mut self, unwatched: impl Fn(&LockName) + Send + Sync + 'static) -> Self {
        self.unwatched = Some(Box::new(unwatched));
        self
    }

    /// Registers interest in a name; dropping the stream ends it, and the stream ends with
    /// [`close`](Self::close).
    pub fn watch(self: &Arc<Self>, name: &LockName) -> Hints {
        match self.watch_after(name, || Ok::<(), Infallible>(())) {
            Ok(hints) => hints,
            Err(never) => match never {},
        }
    }

    /// The same, but if the name has no watcher yet, `first` comes before: no call to it and to what
    /// [`on_unwatched`](Self::on_unwatched) was given overlap. It must not block nor call this value.
    ///
    /// # Errors
    /// That of `first`; nothing is registered then.
    pub fn watch_after<E>(
        self: &Arc<Self>,
        name: &LockName,
        first: impl FnOnce() -> Result<(), E>,
    ) -> Result<Hints, E> {
        let mut registry = self.registry();
        if !registry.watchers.contains_key(name) {
            first()?;
        }
        let watchers = registry.watchers.entry(name.clone()).or_default();
        let receiver = watchers.subscribe();
        drop(registry);
        let seen = *receiver.borrow();
        let watcher = Watcher {
            seen,
            receiver: Some(receiver),
            name: name.clone(),
            wakeups: Arc::clone(self),
        };
        Ok(Box::pin(stream::unfold(
            watcher,
            |mut watcher| async move { watcher.next().await.then_some(((), watcher)) },
        )))
    }

    /// The alarms of this client, for [`LockBackend::alarms`](crate::LockBackend::alarms). The stream
    /// ends with [`close`](Self::close).
    pub fn alarms(&self) -> Alarms {
        let alarms = self.registry().alarms.as_ref().map(|a| a.subscribe());
        let Some(receiver) = alarms else {
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

    /// Whether anybody waits for anything.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        let registry = self.registry();
        let alarms = registry.alarms.as_ref();
        !registry.watchers.is_empty() || alarms.is_some_and(|a| a.receiver_count() > 0)
    }

    /// Whether anybody waits for hints of this name.
    #[must_use]
    pub fn is_watched(&self, name: &LockName) -> bool {
        self.registry().watchers.contains_key(name)
    }

    /// An attempt on the name may succeed now.
    pub fn hint(&self, name: &LockName) {
        if let Some(watcher) = self.registry().watchers.get(name) {
            wake(watcher);
        }
    }

    /// An attempt on the name may succeed after so long, unless a hint comes before: the lock is
    /// reserved until then for somebody who may be dead.
    pub fn look_again(&self, name: &LockName, after: Duration) {
        if let Some(watcher) = self.registry().watchers.get(name) {
            let at = self.clock.now().after(after);
            watcher.send_modify(|hint| hint.look_again = Some(at));
        }
    }

    /// A lease of this client may be gone.
    pub fn alarm(&self, alarm: Alarm) {
        self.registry().alarm(alarm);
    }

    /// Pushes may have been missed: everybody is told to look.
    pub fn stir(&self) {
        let registry = self.registry();
        registry.watchers.values().for_each(wake);
        registry.alarm(Alarm::CheckAll);
    }

    /// Ends all streams: the backend is gone.
    pub fn close(&self) {
        let mut registry = self.registry();
        if let Some(unwatched) = &self.unwatched {
            registry.watchers.keys().for_each(unwatched);
        }
        registry.watchers.clear();
        registry.alarms = None;
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // Nothing panics while it holds the lock; if something did, the map is still whole.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows how many names are watched.
impl fmt::Debug for Wakeups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wakeups")
            .field("watched", &self.registry().watchers.len())
            .finish_non_exhaustive()
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
        let watcher = registry.watchers.get(&self.name);
        if watcher.is_some_and(|watcher| watcher.receiver_count() == 0) {
            drop(registry.watchers.remove(&self.name));
            if let Some(unwatched) = &self.wakeups.unwatched {
                unwatched(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests;
