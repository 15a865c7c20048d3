//! [`Turnstile`]: who writes next, so that no process starves.
//!
//! SQLite's write lock can only be asked for again and again, and with many processes the one that
//! pauses longest loses each time. So whoever wants to write first takes a lock for which the kernel
//! keeps a queue, without work for those who wait: `flock` on the folder of the wake-ups. It decides
//! nothing: where it is not to be had, SQLite's lock is asked for all the same.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lock_core::{Clock, Moment};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tokio::sync::oneshot;

/// The queue before the write lock.
#[derive(Debug)]
pub(crate) struct Turnstile {
    folder: PathBuf,
    file: Option<Arc<File>>,
    /// Whether a thread of this client waits in the queue.
    is_queued: Arc<AtomicBool>,
}

/// This client's turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Arc<File>);

impl Drop for Turn {
    fn drop(&mut self) {
        // It cannot fail, and the lock ends with the file at the latest.
        let _: Result<(), Errno> = flock(&*self.0, FlockOperation::Unlock);
    }
}

impl Turnstile {
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self {
            folder,
            file: None,
            is_queued: Arc::default(),
        }
    }

    /// Forgets which folder it was: another may have taken its place.
    pub(crate) fn forget(&mut self) {
        self.file = None;
    }

    /// Waits for the turn until the deadline; `None` where there is no queue to wait in.
    pub(crate) async fn enter(&mut self, clock: &dyn Clock, deadline: Moment) -> Option<Turn> {
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => {
                let file = Arc::new(File::open(&self.folder).ok()?);
                self.file = Some(Arc::clone(&file));
                file
            }
        };
        match flock(&*file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(Turn(file)),
            Err(Errno::WOULDBLOCK) => {}
            Err(_) => return None,
        }
        // One that waits for a turn that nobody wants any more is enough.
        if self.is_queued.swap(true, Ordering::AcqRel) {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let is_queued = Arc::clone(&self.is_queued);
        let wait = move || {
            let taken = flock(&*file, FlockOperation::LockExclusive);
            is_queued.store(false, Ordering::Release);
            if taken.is_ok() {
                // If nobody wants it any more it ends here.
                drop(sender.send(Turn(file)));
            }
        };
        let thread = std::thread::Builder::new().name("lock-sqlite-turn".to_owned());
        if thread.spawn(wait).is_err() {
            self.is_queued.store(false, Ordering::Release);
            return None;
        }
        tokio::select! {
            turn = receiver => turn.ok(),
            () = clock.sleep_until(deadline) => None,
        }
    }
}

#[cfg(test)]
mod tests;
