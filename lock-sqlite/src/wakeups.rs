//! Hints that arrive, sorted out to those who wait.
//!
//! A thread of this client reads its FIFO: it sleeps in the kernel until somebody writes, and needs
//! no runtime, so it outlives the one in which the backend was made.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream;
use lock_core::{Alarm, Alarms, Clock, Hints, LockName, Moment};
use tokio::sync::{broadcast, watch};

use crate::ears::{LONGEST, Message, digest};
use crate::error::Failure;
use crate::store::Store;

/// Who waits for hints of one client.
#[derive(Debug)]
pub(crate) struct Wakeups {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    registry: Mutex<Registry>,
    is_closed: AtomicBool,
}

#[derive(Debug)]
struct Registry {
    /// An entry lives as long as one of its receivers, and so does its mark in the folder.
    watchers: HashMap<LockName, watch::Sender<Hint>>,
    /// `None` once the backend is gone.
    alarms: Option<broadcast::Sender<Alarm>>,
    /// By which the thread is told to end.
    bell: Option<File>,
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
    pub(crate) fn new(store: Arc<Store>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            registry: Mutex::new(Registry {
                watchers: HashMap::new(),
                alarms: Some(broadcast::Sender::new(ALARMS_MAX)),
                bell: None,
            }),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Begins to read this FIFO.
    pub(crate) fn listen(self: &Arc<Self>, fifo: File) -> Result<(), Failure> {
        let started = fifo.try_clone().and_then(|bell| {
            let wakeups = Arc::clone(self);
            let body = move || wakeups.read(fifo);
            let thread = std::thread::Builder::new().name("lock-sqlite-wakeups".to_owned());
            thread.spawn(body).map(|_| bell)
        });
        let bell = started.map_err(|e| Failure::file(e, "cannot start the thread for wake-ups"))?;
        self.registry().bell = Some(bell);
        // CANCEL: the backend may be gone already, while its first step went on.
        if self.is_closed.load(Ordering::Acquire) {
            self.close();
        }
        Ok(())
    }

    fn read(&self, mut fifo: File) {
        let mut bytes = Vec::new();
        let mut chunk = [0; LONGEST];
        loop {
            let read = match fifo.read(&mut chunk) {
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                // Waiters have their timers.
                Err(_) => return,
            };
            if self.is_closed.load(Ordering::Acquire) {
                return;
            }
            bytes.extend_from_slice(chunk.get(..read).unwrap_or_default());
            self.take(&mut bytes);
        }
    }

    /// Takes all whole messages off the front.
    fn take(&self, bytes: &mut Vec<u8>) {
        while let Some(message) = Message::decoded(bytes) {
            match message {
                Ok(message) => self.told(message),
                // Another program wrote here: nobody knows what was missed.
                Err(_) => {
                    bytes.clear();
                    self.stir();
                }
            }
        }
    }

    fn told(&self, message: Message) {
        let registry = self.registry();
        match message {
            Message::Forced(name) => registry.alarm(Alarm::Check(name)),
            Message::LookAgain(name, after) => {
                if let Some(watcher) = registry.watchers.get(&name) {
                    let at = self.clock.now().after(after);
                    watcher.send_modify(|hint| hint.look_again = Some(at));
                }
            }
            Message::Wake(name) => {
                if let Some(watcher) = registry.watchers.get(&name) {
                    wake(watcher);
                }
            }
        }
    }

    /// Hints may have been missed: tells everybody to look.
    fn stir(&self) {
        let registry = self.registry();
        for watcher in registry.watchers.values() {
            wake(watcher);
        }
        registry.alarm(Alarm::CheckAll);
    }

    /// Registers interest in a name; dropping the stream ends it.
    pub(crate) fn watch(self: &Arc<Self>, name: &LockName) -> Result<Hints, Failure> {
        let mut registry = self.registry();
        if !registry.watchers.contains_key(name) {
            let digest = digest(&self.store.namespace, name);
            self.store
                .ears
                .mark(digest, self.store.client)
                .map_err(|e| {
                    Failure::file(e, "cannot say beside the file that a name is watched")
                })?;
        }
        let receiver = registry
            .watchers
            .entry(name.clone())
            .or_default()
            .subscribe();
        drop(registry);
        let seen = *receiver.borrow();
        let watcher = Watcher {
            receiver: Some(receiver),
            name: name.clone(),
            wakeups: Arc::clone(self),
            seen,
        };
        Ok(Box::pin(stream::unfold(
            watcher,
            |mut watcher| async move { watcher.next().await.then_some(((), watcher)) },
        )))
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

    /// Ends all streams and the thread: the backend is gone.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        let mut registry = self.registry();
        for name in registry.watchers.keys() {
            self.unmark(name);
        }
        registry.watchers.clear();
        registry.alarms = None;
        if let Some(mut bell) = registry.bell.take() {
            // The thread reads on as long as there is anything, so this never waits for long.
            drop(bell.write(&[0]));
        }
        self.store.ears.remove(self.store.client);
    }

    fn unmark(&self, name: &LockName) {
        let digest = digest(&self.store.namespace, name);
        self.store.ears.unmark(digest, self.store.client);
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
            self.wakeups.unmark(&self.name);
        }
    }
}
