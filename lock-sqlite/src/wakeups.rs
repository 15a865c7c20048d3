//! Hints that arrive, sorted out to those who wait.
//!
//! A thread of this client reads its FIFO: it sleeps in the kernel until somebody writes, and needs
//! no runtime, so it outlives the one in which the backend was made.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lock_core::{Alarm, Alarms, Clock, Hints, LockName};

use crate::ears::{LONGEST, Message, digest};
use crate::error::Failure;
use crate::store::Store;

/// Who waits for hints of one client.
#[derive(Debug)]
pub(crate) struct Wakeups {
    store: Arc<Store>,
    /// A name is marked in the folder as long as it is watched.
    waiting: Arc<lock_core::Wakeups>,
    /// By which the thread is told to end.
    bell: Mutex<Option<File>>,
    is_closed: AtomicBool,
}

impl Wakeups {
    pub(crate) fn new(store: Arc<Store>, clock: Arc<dyn Clock>) -> Self {
        let marked = Arc::clone(&store);
        let waiting = lock_core::Wakeups::new(clock).on_unwatched(move |name| {
            let digest = digest(&marked.namespace, name);
            marked.ears.unmark(digest, marked.client);
        });
        Self {
            store,
            waiting: Arc::new(waiting),
            bell: Mutex::new(None),
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
        *self.bell() = Some(bell);
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
                    self.waiting.stir();
                }
            }
        }
    }

    fn told(&self, message: Message) {
        match message {
            Message::Forced(name) => self.waiting.alarm(Alarm::Check(name)),
            Message::LookAgain(name, after) => self.waiting.look_again(&name, after),
            Message::Wake(name) => self.waiting.hint(&name),
        }
    }

    /// Registers interest in a name; dropping the stream ends it.
    pub(crate) fn watch(&self, name: &LockName) -> Result<Hints, Failure> {
        self.waiting.watch_after(name, || {
            let digest = digest(&self.store.namespace, name);
            let marked = self.store.ears.mark(digest, self.store.client);
            marked
                .map_err(|e| Failure::file(e, "cannot say beside the file that a name is watched"))
        })
    }

    pub(crate) fn alarms(&self) -> Alarms {
        self.waiting.alarms()
    }

    /// Ends all streams and the thread: the backend is gone.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.waiting.close();
        if let Some(mut bell) = self.bell().take() {
            // The thread reads on as long as there is anything, so this never waits for long.
            drop(bell.write(&[0]));
        }
        self.store.ears.remove(self.store.client);
    }

    fn bell(&self) -> MutexGuard<'_, Option<File>> {
        self.bell.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
