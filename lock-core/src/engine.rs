//! [`Engine`]: what keeps the locks of one client going, and [`Core`], what its drivers share.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::answer::LossCause;
use crate::backend::LockBackend;
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::error::{Error, ErrorKind};
use crate::options::LockOptions;
use crate::outstanding::Outstanding;
use crate::queue::Queues;
use crate::reaper::{self, Graveyard};
use crate::renewal::{self, Schedule};

/// What the drivers of one client share.
pub(crate) struct Core {
    pub(crate) backend: Arc<dyn LockBackend>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) options: Arc<LockOptions>,
    pub(crate) schedule: Schedule,
    pub(crate) graveyard: Graveyard,
    pub(crate) outstanding: Arc<Outstanding>,
    pub(crate) queues: Arc<Queues>,
    life: watch::Sender<Life>,
}

/// How far a client's life has gone; it only moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    Open,
    /// `close` was called: no new lock is taken.
    Closed,
    /// Nobody can call it any more.
    Gone,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}

impl Core {
    /// The parts of a client; nothing is sent and no task started yet.
    pub(crate) fn new(
        backend: Arc<dyn LockBackend>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        options: LockOptions,
    ) -> Self {
        Self {
            backend,
            clock,
            entropy,
            options: Arc::new(options),
            schedule: Schedule::default(),
            graveyard: Graveyard::default(),
            outstanding: Arc::default(),
            queues: Arc::default(),
            life: watch::Sender::new(Life::Open),
        }
    }

    /// Refuses what is new, loses what is held, and wakes whoever waits (C14).
    pub(crate) fn close(&self) {
        self.reach(Life::Closed);
        for hold in self.schedule.close() {
            renewal::declare_lost(self, &hold, LossCause::Closed);
        }
    }

    /// Resolves when the client is closed.
    pub(crate) async fn closed(&self) {
        self.reached(Life::Closed).await;
    }

    /// Resolves when the last handle of the client was dropped.
    pub(crate) async fn gone(&self) {
        self.reached(Life::Gone).await;
    }

    async fn reached(&self, stage: Life) {
        let mut life = self.life.subscribe();
        // The sender is in `self`, so the wait cannot fail.
        let _reached = life.wait_for(|life| *life >= stage).await;
    }

    fn reach(&self, stage: Life) {
        let _changed: bool = self.life.send_if_modified(|life| {
            let news = *life < stage;
            if news {
                *life = stage;
            }
            news
        });
    }
}

/// What clones, mutexes and guards share: the core and the two tasks, which end with it.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) core: Arc<Core>,
    tasks: Mutex<Option<Tasks>>,
}

#[derive(Debug)]
struct Tasks {
    renewal: JoinHandle<()>,
    reaper: JoinHandle<()>,
}

impl Engine {
    pub(crate) fn new(core: Core) -> Arc<Self> {
        Arc::new(Self {
            core: Arc::new(core),
            tasks: Mutex::new(None),
        })
    }

    /// Starts the tasks unless they run; refuses if the client is closed.
    pub(crate) fn ensure_running(&self) -> Result<(), Error> {
        if *self.core.life.borrow() >= Life::Closed {
            return Err(crate::acquire::closed());
        }
        self.start()
    }

    /// Starts the tasks unless they run.
    pub(crate) fn start(&self) -> Result<(), Error> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = &*tasks
            && !running.renewal.is_finished()
            && !running.reaper.is_finished()
        {
            return Ok(());
        }
        let runtime = tokio::runtime::Handle::try_current().map_err(|e| {
            Error::new(
                ErrorKind::Unsupported,
                "locks are taken inside a tokio runtime",
            )
            .with_source(e)
        })?;
        if let Some(stopped) = tasks.take() {
            // One may have outlived the other, if they ran on two runtimes.
            stopped.renewal.abort();
            stopped.reaper.abort();
        }
        *tasks = Some(Tasks {
            renewal: runtime.spawn(renewal::run(Arc::clone(&self.core))),
            reaper: runtime.spawn(reaper::run(Arc::clone(&self.core))),
        });
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.core.reach(Life::Gone);
    }
}
