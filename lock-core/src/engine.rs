//! [`Engine`]: what keeps the locks of one client going, and [`Core`], what its drivers share.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
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
use crate::renewal::{self, Connect, Schedule};

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

/// What those who wait in this process are to hear of.
#[derive(Clone, Copy, Debug)]
struct Life {
    stage: Stage,
    /// How many drivers have ended, by themselves or with their runtime.
    drivers_ended: u64,
}

/// How far a client's life has gone; it only moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
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
            life: watch::Sender::new(Life {
                stage: Stage::Open,
                drivers_ended: 0,
            }),
        }
    }

    /// Refuses what is new, loses what is held, and wakes whoever waits (C14).
    pub(crate) fn close(&self) {
        self.reach(Stage::Closed);
        for hold in self.schedule.close() {
            renewal::declare_lost(self, &hold, LossCause::Closed);
        }
    }

    /// Resolves when the client is closed.
    pub(crate) async fn closed(&self) {
        self.reached(Stage::Closed).await;
    }

    /// Resolves when the last handle of the client was dropped.
    pub(crate) async fn gone(&self) {
        self.reached(Stage::Gone).await;
    }

    /// What happens to the client from now on: that it is closed, or that a driver has ended.
    pub(crate) fn news(&self) -> News {
        News(self.life.subscribe())
    }

    fn stage(&self) -> Stage {
        self.life.borrow().stage
    }

    async fn reached(&self, stage: Stage) {
        let mut life = self.life.subscribe();
        // The sender is in `self`, so the wait cannot fail.
        let _reached = life.wait_for(|life| life.stage >= stage).await;
    }

    fn reach(&self, stage: Stage) {
        let _changed: bool = self.life.send_if_modified(|life| {
            let news = life.stage < stage;
            if news {
                life.stage = stage;
            }
            news
        });
    }
}

/// Tells of what happened since it was made or told last.
pub(crate) struct News(watch::Receiver<Life>);

impl News {
    /// Resolves when there is something that [`Engine::ensure_running`] should look at.
    ///
    /// # Cancel safety
    /// Safe to drop: what was not told yet is told by the next call.
    pub(crate) async fn come(&mut self) {
        if self.0.changed().await.is_err() {
            // The core is gone, and whoever waits for it.
            std::future::pending::<()>().await;
        }
    }
}

/// Goes with a driver: says that it has ended, by itself or cut down with its runtime.
struct Driving {
    core: Arc<Core>,
    has_ended: Arc<AtomicBool>,
}

impl Drop for Driving {
    fn drop(&mut self) {
        // Before it is told, or whoever hears of it could find it still running.
        self.has_ended.store(true, Ordering::Release);
        self.core
            .life
            .send_modify(|life| life.drivers_ended = life.drivers_ended.wrapping_add(1));
    }
}

/// What clones, mutexes and guards share: the core and the two drivers, which end with it.
pub(crate) struct Engine {
    pub(crate) core: Arc<Core>,
    /// Makes the connection of renewals that have a thread of their own.
    connect: Option<Connect>,
    drivers: Mutex<Drivers>,
}

#[derive(Debug, Default)]
struct Drivers {
    renewal: Option<Renewing>,
    reaper: Option<Driver>,
}

/// A driver that is a task.
#[derive(Debug)]
struct Driver {
    task: JoinHandle<()>,
    has_ended: Arc<AtomicBool>,
}

impl Driver {
    fn start(
        runtime: &tokio::runtime::Handle,
        core: &Arc<Core>,
        run: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let has_ended = Arc::default();
        let driving = Driving {
            core: Arc::clone(core),
            has_ended: Arc::clone(&has_ended),
        };
        let task = runtime.spawn(async move {
            // Dropped last: what the driver puts back when it is cut down is there by then.
            let _driving = driving;
            run.await;
        });
        Self { task, has_ended }
    }

    fn is_running(&self) -> bool {
        !self.has_ended.load(Ordering::Acquire)
    }
}

/// Where the renewals run.
#[derive(Debug)]
enum Renewing {
    Task(Driver),
    Thread(std::thread::JoinHandle<()>),
}

impl Drivers {
    fn is_renewing(&self) -> bool {
        match &self.renewal {
            Some(Renewing::Task(driver)) => driver.is_running(),
            Some(Renewing::Thread(thread)) => !thread.is_finished(),
            None => false,
        }
    }

    fn is_reaping(&self) -> bool {
        self.reaper.as_ref().is_some_and(Driver::is_running)
    }

    /// Ends the tasks. A thread has a runtime of its own and goes on.
    fn abort_tasks(&mut self) {
        if let Some(Renewing::Task(driver)) =
            self.renewal.take_if(|r| matches!(r, Renewing::Task(_)))
        {
            driver.task.abort();
        }
        if let Some(driver) = self.reaper.take() {
            driver.task.abort();
        }
    }
}

impl Engine {
    pub(crate) fn new(core: Core, connect: Option<Connect>) -> Arc<Self> {
        Arc::new(Self {
            core: Arc::new(core),
            connect,
            drivers: Mutex::default(),
        })
    }

    /// Starts the drivers unless they run; refuses if the client is closed.
    pub(crate) fn ensure_running(&self) -> Result<(), Error> {
        if self.core.stage() >= Stage::Closed {
            return Err(crate::acquire::closed());
        }
        self.start()
    }

    /// Starts the drivers unless they run, or are needed no more.
    pub(crate) fn start(&self) -> Result<(), Error> {
        let mut drivers = self.drivers.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing is renewed once the client is closed.
        let is_open = self.core.stage() < Stage::Closed;
        if drivers.is_reaping() && (drivers.is_renewing() || !is_open) {
            return Ok(());
        }
        let runtime = tokio::runtime::Handle::try_current().map_err(|e| {
            Error::new(
                ErrorKind::Unsupported,
                "locks are taken inside a tokio runtime",
            )
            .with_source(e)
        })?;
        // One may have outlived the other, if they ran on two runtimes.
        drivers.abort_tasks();
        if is_open && !drivers.is_renewing() {
            let core = Arc::clone(&self.core);
            drivers.renewal = Some(match &self.connect {
                None => {
                    let run = renewal::run(core, None);
                    Renewing::Task(Driver::start(&runtime, &self.core, run))
                }
                Some(connect) => Renewing::Thread(renewal::thread::start(core, connect)?),
            });
        }
        let run = reaper::run(Arc::clone(&self.core));
        drivers.reaper = Some(Driver::start(&runtime, &self.core, run));
        Ok(())
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("core", &self.core)
            .finish_non_exhaustive()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.core.reach(Stage::Gone);
    }
}
