//! [`SqliteBackend`]: each step of the trait is one transaction.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use lock_core::{
    Acquire, Acquisition, Alarms, Capabilities, Commit, Durability, Entropy, Error, ErrorKind,
    Finding, ForcedRelease, Hints, LockBackend, LockInfo, LockName, OwnerId, Peeked, Release,
    Renew, Renewal, Stored, SystemClock, SystemEntropy,
};

use crate::config::SqliteOptions;
use crate::ears;
use crate::error::Failure;
use crate::examine;
use crate::record::ClientId;
use crate::steps::{
    AcquireStep, CommitStep, ForceStep, InspectStep, ListStep, PeekStep, ReleaseStep, RenewStep,
};
use crate::store::{Step, Store, Tx};
use crate::wakeups::Wakeups;

/// Locks on one SQLite file, for the processes of one machine.
///
/// Each value has one connection to the file, and on Linux one FIFO with a thread that reads it.
/// Several values in one process are as good as several processes. Dropping it closes both.
///
/// # Examples
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use lock_core::LockClient;
/// use lock_sqlite::SqliteBackend;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("locks.db");
/// let locks = LockClient::new(SqliteBackend::open(path).await?);
/// let count = locks.mutex::<u64>("count")?;
/// let mut guard = count.lock().await?;
/// *guard += 1;
/// guard.commit().await?;
/// # Ok::<(), lock_core::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct SqliteBackend {
    store: Arc<Store>,
    wakeups: Arc<Wakeups>,
    acquires: AtomicUsize,
}

/// After how many acquires the idle names whose time has come are forgotten, some at a time.
const SWEEP_EVERY: usize = 256;

impl SqliteBackend {
    /// Opens the file at this URL with default options; see [`SqliteOptions::new`].
    ///
    /// # Errors
    /// Those of [`SqliteOptions::new`] and [`SqliteOptions::connect`].
    /// # Cancel safety
    /// Safe to drop: the file may be made, and nothing else is left behind.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        SqliteOptions::new(url)?.connect().await
    }

    /// Opens the file at this path with default options; see [`SqliteOptions::at`].
    ///
    /// # Errors
    /// Those of [`SqliteOptions::at`] and [`SqliteOptions::connect`].
    /// # Cancel safety
    /// Safe to drop: the file may be made, and nothing else is left behind.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        SqliteOptions::at(path)?.connect().await
    }

    pub(crate) async fn with_options(options: SqliteOptions) -> Result<Self, Error> {
        options.check()?;
        let mut id = [0; 16];
        SystemEntropy.fill(&mut id);
        let listens = options.wake_ups && ears::SUPPORTED;
        let path = options.path.clone();
        let client = ClientId(u128::from_be_bytes(id));
        let store = Arc::new(Store::new(options, client)?);
        let clock = Arc::new(SystemClock::new());
        let wakeups = Arc::new(Wakeups::new(Arc::clone(&store), clock));
        // Its drop closes the FIFO if what follows fails or is dropped.
        let backend = Self {
            store,
            wakeups,
            acquires: AtomicUsize::new(0),
        };
        let arrive = ArriveStep {
            wakeups: listens.then(|| Arc::clone(&backend.wakeups)),
            path,
        };
        backend.store.run(arrive).await?;
        Ok(backend)
    }
}

impl Drop for SqliteBackend {
    fn drop(&mut self) {
        self.wakeups.close();
    }
}

/// The first step of a client: it makes its FIFO and clears away what dead clients left.
struct ArriveStep {
    wakeups: Option<Arc<Wakeups>>,
    path: std::path::PathBuf,
}

impl Step for ArriveStep {
    type Answer = ();
    const WRITES: bool = true;

    async fn run(self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        let ears = &tx.store.ears;
        ears.sweep();
        if let Some(wakeups) = &self.wakeups {
            wakeups.listen(ears.make(tx.store.client, &self.path)?)?;
        }
        tx.sweep_lines().await?;
        tx.forget_idle().await
    }
}

#[async_trait]
impl LockBackend for SqliteBackend {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn capabilities(&self) -> Capabilities {
        let listens = self.store.ears.listen();
        let mut capabilities = Capabilities::none();
        capabilities.push = listens;
        capabilities.line = listens;
        capabilities.force_alarm = listens;
        capabilities.durability = Durability::Restart;
        capabilities
    }

    async fn acquire(&self, request: &Acquire) -> Result<Acquisition, Error> {
        let count = self.acquires.fetch_add(1, Ordering::Relaxed);
        let step = AcquireStep {
            request: request.clone(),
            sweeps: count.is_multiple_of(SWEEP_EVERY),
        };
        Ok(self.store.run(step).await?)
    }

    async fn renew(&self, requests: &[Renew]) -> Vec<Result<Renewal, Error>> {
        if requests.is_empty() {
            return Vec::new();
        }
        match self.store.run(RenewStep(requests.to_vec())).await {
            Ok(answers) => answers,
            Err(failure) => {
                let error = Error::from(failure);
                let again = |_| {
                    Err(Error::new(error.kind(), error.to_string()).with_effect(error.effect()))
                };
                requests.iter().map(again).collect()
            }
        }
    }

    async fn commit(&self, request: &Commit) -> Result<Stored, Error> {
        Ok(self.store.run(CommitStep(request.clone())).await?)
    }

    async fn release(&self, name: &LockName, owner: OwnerId) -> Result<Release, Error> {
        let name = name.clone();
        Ok(self.store.run(ReleaseStep { name, owner }).await?)
    }

    async fn peek(&self, name: &LockName) -> Result<Option<Peeked>, Error> {
        Ok(self.store.run(PeekStep(name.clone())).await?)
    }

    async fn watch(&self, name: &LockName) -> Result<Hints, Error> {
        if !self.store.ears.listen() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "this client has no wake-ups; it polls",
            ));
        }
        Ok(self.wakeups.watch(name)?)
    }

    fn alarms(&self) -> Alarms {
        self.wakeups.alarms()
    }

    async fn inspect(&self, name: &LockName) -> Result<LockInfo, Error> {
        Ok(self.store.run(InspectStep(name.clone())).await?)
    }

    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<LockInfo>, Error> {
        let prefix = prefix.to_owned();
        Ok(self.store.run(ListStep { prefix, limit }).await?)
    }

    async fn force_release(&self, name: &LockName) -> Result<ForcedRelease, Error> {
        Ok(self.store.run(ForceStep(name.clone())).await?)
    }

    async fn examine(&self) -> Result<Vec<Finding>, Error> {
        let (path, pushes) = (self.store.path().to_owned(), self.store.ears.listen());
        let shown = self.store.at.clone();
        let look = move || examine::examine(&path, &shown, pushes);
        tokio::task::spawn_blocking(look).await.map_err(|e| {
            Error::new(ErrorKind::Internal, "looking at the file failed").with_source(e)
        })
    }
}
