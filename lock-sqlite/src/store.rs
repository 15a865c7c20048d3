//! [`Store`]: one connection to the file, and what makes a step one transaction on it.
//!
//! # Invariants
//! 1. A step begins by taking the write lock and reads the clock under it.
//! 2. A step runs in a task of its own, so a call that is dropped leaves no transaction open.
//! 3. Nobody is woken before the transaction is on the disk.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{Clock, Entropy, Moment, SystemClock, SystemEntropy};
use sqlx::sqlite::SqliteConnection;
use tokio::sync::Mutex;

use crate::clock::{BootClock, Now};
use crate::config::SqliteOptions;
use crate::ears::{Ears, Push};
use crate::error::{Failure, Phase};
use crate::file::{self, Identity};
use crate::record::ClientId;

/// One atomic action on the file.
pub(crate) trait Step: Send + 'static {
    /// What it answers.
    type Answer: Send + 'static;
    /// Whether it may change something, and so needs the write lock.
    const WRITES: bool;

    /// What it does within its transaction.
    fn run(self, tx: &mut Tx<'_>) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;
}

/// What a step sees of the store.
pub(crate) struct Tx<'a> {
    pub(crate) connection: &'a mut SqliteConnection,
    pub(crate) store: &'a Store,
    pub(crate) now: Now,
    pub(crate) writes: bool,
    /// Whether there is anything to commit.
    pub(crate) changed: bool,
    /// Whom to tell of it once it is on the disk.
    pub(crate) pushes: Vec<Push>,
}

/// The file, and this process' connection to it.
pub(crate) struct Store {
    /// What the file is called in messages.
    pub(crate) at: String,
    pub(crate) namespace: String,
    pub(crate) claim_time: Duration,
    pub(crate) client: ClientId,
    pub(crate) ears: Ears,
    options: SqliteOptions,
    boot_clock: BootClock,
    clock: Arc<dyn Clock>,
    /// `None` before the first step and after a failure that spoilt the connection.
    slot: Mutex<Option<Open>>,
}

struct Open {
    connection: SqliteConnection,
    identity: Identity,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("options", &self.options)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// The shortest and the longest pause before the file is asked again that others have in use: a step
/// of another takes as long as its sync, some milliseconds on most disks.
const PAUSE_MS: (u64, u64) = (1, 16);

impl Store {
    pub(crate) fn new(options: SqliteOptions, client: ClientId) -> Result<Self, Failure> {
        Ok(Self {
            at: options.shown(),
            namespace: options.namespace.clone(),
            claim_time: options.claim_time,
            client,
            ears: Ears::beside(&options.path),
            boot_clock: BootClock::of_this_machine()?,
            clock: Arc::new(SystemClock::new()),
            slot: Mutex::new(None),
            options,
        })
    }

    /// Runs the step as one transaction.
    pub(crate) async fn run<S: Step>(self: &Arc<Self>, step: S) -> Result<S::Answer, Failure> {
        let store = Arc::clone(self);
        // CANCEL: the task goes on when the caller is gone: the step happens or not, as a whole.
        let running = tokio::spawn(async move { store.step(step).await });
        match running.await {
            Ok(result) => result,
            Err(e) if e.is_panic() => Err(Failure::internal("a step panicked").because(e)),
            Err(e) => Err(Failure::internal("the runtime ended during a step").because(e)),
        }
    }

    async fn step<S: Step>(&self, step: S) -> Result<S::Answer, Failure> {
        let deadline = self.clock.now().after(self.options.busy_timeout);
        let mut slot = tokio::select! {
            slot = self.slot.lock() => slot,
            () = self.clock.sleep_until(deadline) => return Err(self.locked_out()),
        };
        // Taken out, so that a runtime that ends half-way drops it, and with it the transaction.
        let mut open = match slot.take() {
            Some(open) => open,
            None => self.open(deadline).await?,
        };
        let (result, good) = self.transact(&mut open, step, deadline).await;
        if good {
            *slot = Some(open);
        }
        result
    }

    /// Runs the step, and says whether the connection is as good as before.
    async fn transact<S: Step>(
        &self,
        open: &mut Open,
        step: S,
        deadline: Moment,
    ) -> (Result<S::Answer, Failure>, bool) {
        if let Err(failure) = self.begin(&mut open.connection, S::WRITES, deadline).await {
            let good = failure.busy;
            return (Err(failure), good);
        }
        // The lock stands: whoever replaced the file meanwhile is seen.
        if let Err(failure) = open.identity.check(&self.options.path, &self.at) {
            return (Err(failure), false);
        }
        let mut tx = Tx {
            connection: &mut open.connection,
            store: self,
            now: self.boot_clock.now(),
            writes: S::WRITES,
            changed: false,
            pushes: Vec::new(),
        };
        let result = step.run(&mut tx).await;
        let (changed, pushes) = (tx.changed, tx.pushes);
        match result {
            Ok(answer) if changed => {
                match sqlx::query("COMMIT").execute(&mut open.connection).await {
                    Ok(_) => {
                        self.ears.send(pushes);
                        (Ok(answer), true)
                    }
                    Err(e) => {
                        let failure = Failure::sqlite(e, &self.at, Phase::Committing);
                        (Err(failure), false)
                    }
                }
            }
            other => {
                let undone = sqlx::query("ROLLBACK").execute(&mut open.connection).await;
                (other, undone.is_ok())
            }
        }
    }

    async fn begin(
        &self,
        connection: &mut SqliteConnection,
        writes: bool,
        deadline: Moment,
    ) -> Result<(), Failure> {
        let statement = if writes { "BEGIN IMMEDIATE" } else { "BEGIN" };
        let mut pause = Pause::new();
        loop {
            let failure = match sqlx::query(statement).execute(&mut *connection).await {
                Ok(_) => return Ok(()),
                Err(e) => self.failed(e),
            };
            self.wait_for_others(failure, &mut pause, deadline).await?;
        }
    }

    /// Opens the file; it is made where there is none.
    async fn open(&self, deadline: Moment) -> Result<Open, Failure> {
        let mut pause = Pause::new();
        loop {
            let failure = match file::open(&self.options, &self.at).await {
                Ok((connection, identity)) => {
                    return Ok(Open {
                        connection,
                        identity,
                    });
                }
                Err(failure) => failure,
            };
            self.wait_for_others(failure, &mut pause, deadline).await?;
        }
    }

    /// Pauses if others have the file in use and there is time left; fails otherwise.
    async fn wait_for_others(
        &self,
        failure: Failure,
        pause: &mut Pause,
        deadline: Moment,
    ) -> Result<(), Failure> {
        if !failure.busy {
            return Err(failure);
        }
        let now = self.clock.now();
        if now >= deadline {
            let mut failure = self.locked_out().because(lock_core::Error::from(failure));
            failure.busy = true;
            return Err(failure);
        }
        self.clock
            .sleep_until(now.after(pause.next()).min(deadline))
            .await;
        Ok(())
    }

    fn locked_out(&self) -> Failure {
        Failure::locked_out(&self.at, self.options.busy_timeout)
    }

    /// Why a statement of a step failed.
    pub(crate) fn failed(&self, error: sqlx::Error) -> Failure {
        Failure::sqlite(error, &self.at, Phase::Stepping)
    }
}

/// The pauses between two looks at a file in use: they double, and are drawn, so that processes do
/// not look in step.
struct Pause {
    ms: u64,
}

impl Pause {
    fn new() -> Self {
        Self { ms: PAUSE_MS.0 }
    }

    fn next(&mut self) -> Duration {
        let mut random = [0; 1];
        SystemEntropy.fill(&mut random);
        let whole = Duration::from_millis(self.ms);
        self.ms = self.ms.saturating_mul(2).min(PAUSE_MS.1);
        // Half of it to all of it.
        whole.mul_f64(0.5 + f64::from(random[0]) / 512.0)
    }
}
