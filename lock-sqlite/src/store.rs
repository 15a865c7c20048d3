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
use tokio::sync::{Mutex, oneshot};

use crate::clock::{BootClock, Now};
use crate::config::SqliteOptions;
use crate::ears::{Ears, Push};
use crate::error::{Failure, Phase};
use crate::file::{self, Identity};
use crate::record::ClientId;
use crate::turn::Turnstile;

/// One atomic action on the file.
pub(crate) trait Step: Send + 'static {
    /// What it answers.
    type Answer: Send + 'static;
    /// Whether it may change something, and so needs the write lock.
    const WRITES: bool;
    /// Whether it is on the disk before it is acknowledged. What ends with the boot need not be.
    const SYNCS: bool = true;
    /// Whether it goes before the steps that wait: a lease in use is lost if its renewal is late.
    const URGENT: bool = false;

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
    /// Where the steps wait that are not urgent, so that at most one of them waits for the slot.
    queue: Mutex<()>,
    slot: Mutex<Slot>,
}

/// What one step at a time has.
struct Slot {
    /// `None` before the first step and after a failure that spoilt the connection.
    open: Option<Open>,
    turnstile: Turnstile,
}

struct Open {
    connection: SqliteConnection,
    identity: Identity,
    /// Whether a commit is synced.
    syncs: bool,
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
        let ears = Ears::beside(&options.path);
        Ok(Self {
            at: options.shown(),
            namespace: options.namespace.clone(),
            claim_time: options.claim_time,
            client,
            queue: Mutex::new(()),
            slot: Mutex::new(Slot {
                open: None,
                turnstile: Turnstile::at(ears.folder().to_owned()),
            }),
            ears,
            boot_clock: BootClock::of_this_machine()?,
            clock: Arc::new(SystemClock::new()),
            options,
        })
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.options.path
    }

    /// Runs the step as one transaction.
    pub(crate) async fn run<S: Step>(self: &Arc<Self>, step: S) -> Result<S::Answer, Failure> {
        let store = Arc::clone(self);
        let (mut caller, answer) = oneshot::channel();
        // CANCEL: the task goes on when the caller is gone: the step happens or not, as a whole, and
        // does not if it has not begun.
        drop(tokio::spawn(async move {
            let result = store.step(step, &mut caller).await;
            drop(caller.send(result));
        }));
        answer.await.unwrap_or_else(|e| {
            let what = "a step ended without an answer: it panicked, or its runtime ended";
            Err(Failure::internal(what).because(e))
        })
    }

    async fn step<S: Step>(
        &self,
        step: S,
        caller: &mut oneshot::Sender<Result<S::Answer, Failure>>,
    ) -> Result<S::Answer, Failure> {
        let deadline = self.clock.now().after(self.options.busy_timeout);
        // Many steps of other names may wait: a renewal stands behind one of them, not behind all.
        let slot = async {
            let place = match S::URGENT {
                true => None,
                false => Some(self.queue.lock().await),
            };
            let slot = self.slot.lock().await;
            drop(place);
            slot
        };
        let mut slot = tokio::select! {
            slot = slot => slot,
            () = caller.closed() => return Err(self.locked_out()),
            () = self.clock.sleep_until(deadline) => return Err(self.locked_out()),
        };
        let Slot { open, turnstile } = &mut *slot;
        if open.is_none() {
            // The folder may be another, too.
            turnstile.forget();
            *open = Some(self.open(deadline).await?);
        }
        let turn = async {
            match S::WRITES {
                true => turnstile.enter(&*self.clock, deadline).await,
                false => None,
            }
        };
        let turn = tokio::select! {
            turn = turn => turn,
            () = caller.closed() => return Err(self.locked_out()),
        };
        // Taken out, so that a runtime that ends half-way drops it, and with it the transaction.
        let Some(mut taken) = open.take() else {
            return Err(Failure::internal("the connection is gone"));
        };
        let (result, good) = self.transact(&mut taken, step, deadline).await;
        drop(turn);
        if good {
            *open = Some(taken);
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
        if S::WRITES
            && S::SYNCS != open.syncs
            && let Err(failure) = self.sync_or_not(open, S::SYNCS).await
        {
            return (Err(failure), false);
        }
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

    async fn sync_or_not(&self, open: &mut Open, syncs: bool) -> Result<(), Failure> {
        let statement = match syncs {
            true => "PRAGMA synchronous = FULL",
            false => "PRAGMA synchronous = NORMAL",
        };
        sqlx::query(statement)
            .execute(&mut open.connection)
            .await
            .map_err(|e| self.failed(e))?;
        open.syncs = syncs;
        Ok(())
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
                    // Before the first step, which already waits for its turn there. What hinders it
                    // is told when the FIFO is made.
                    drop(self.ears.make_folder(&self.options.path));
                    return Ok(Open {
                        connection,
                        identity,
                        syncs: true,
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
