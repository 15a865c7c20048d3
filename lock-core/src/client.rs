//! [`LockClient`]: one per process and store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer::{ForcedRelease, LockInfo};
use crate::backend::{Capabilities, LockBackend};
use crate::call::bounded;
use crate::clock::{Clock, SystemClock};
use crate::engine::{Core, Engine};
use crate::entropy::{Entropy, SystemEntropy};
use crate::error::{Error, ErrorKind, of_a_read};
use crate::finding::Finding;
use crate::memory::MemoryBackend;
use crate::mutex::{DistributedMutex, MutexBuilder};
use crate::name::LockName;
use crate::options::LockOptions;
use crate::renewal::Connect;

/// The locks of one store, for one process.
///
/// It keeps a queue for each name that has local waiters, one task that renews all leases in
/// batches (on a [thread](LockClientBuilder::renewal_thread) of its own if you like), and one that releases what was abandoned. Cloning is cheap and shares all of it. Make
/// one for each store; two clients in one process contend like two processes.
///
/// It needs a tokio runtime with timers (`enable_time`), and a backend with a network one with
/// `enable_io`; `#[tokio::main]` has both. The tasks start with the first `lock()` on the runtime that it runs on, and start again on
/// another if that one is gone. When the last clone, mutex and guard is dropped they end. A program
/// that ends while a guard is dropped should [`close`](Self::close) its client first: what nobody is
/// left to release ends at its ttl.
///
/// # Examples
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use lock_core::{LockClient, MemoryBackend};
///
/// let locks = LockClient::new(MemoryBackend::new());
/// let counter = locks.mutex::<u64>("counter")?;
/// let mut guard = counter.lock().await?;
/// *guard += 1;
/// guard.commit().await?;
/// assert_eq!(counter.peek().await?.value, 1);
/// # Ok::<(), lock_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct LockClient {
    engine: Arc<Engine>,
}

impl LockClient {
    /// A client of this backend with the default options.
    #[must_use]
    pub fn new(backend: impl LockBackend) -> Self {
        Self::builder(backend).build()
    }

    /// A client whose options, clock or chance differ from the default.
    pub fn builder(backend: impl LockBackend) -> LockClientBuilder {
        LockClientBuilder::new(Arc::new(backend))
    }

    /// A client of a new store in this process' memory.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::new(MemoryBackend::new())
    }

    /// The mutex of this name with the client's options; its value is `T::default()` until the
    /// first commit.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the name is out of bounds. Nothing is sent to the store.
    pub fn mutex<T>(&self, name: impl AsRef<str>) -> Result<DistributedMutex<T>, Error>
    where
        T: Default + Serialize + DeserializeOwned + Send + 'static,
    {
        self.mutex_with(name, T::default).build()
    }

    /// Starts a mutex of this name with a first value, options or codec of its own.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), lock_core::Error> {
    /// use lock_core::{LockClient, LockOptions};
    ///
    /// let locks = LockClient::in_memory();
    /// let stock = locks
    ///     .mutex_with("stock/sku-17", || 100_u32)
    ///     .options(LockOptions::builder().ttl(std::time::Duration::from_secs(3)).build()?)
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    pub fn mutex_with<T>(
        &self,
        name: impl AsRef<str>,
        initial: impl Fn() -> T + Send + Sync + 'static,
    ) -> MutexBuilder<T>
    where
        T: Send + 'static,
    {
        MutexBuilder::new(Arc::clone(&self.engine), name.as_ref(), Arc::new(initial))
    }

    /// What the backend promises beyond the contract.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.engine.core.backend.capabilities()
    }

    /// The options of mutexes that have none of their own.
    #[must_use]
    pub fn options(&self) -> &LockOptions {
        &self.engine.core.options
    }

    /// What the store knows of a name: who holds it, since when, for how long yet, who waits.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a name out of bounds, [`ErrorKind::Unavailable`] if the store
    /// does not answer.
    ///
    /// # Cancel safety
    /// Safe to drop: it only reads.
    pub async fn inspect(&self, name: impl AsRef<str>) -> Result<LockInfo, Error> {
        let name = LockName::new(name)?;
        let info = self.bounded(self.engine.core.backend.inspect(&name)).await;
        info.map_err(|e| of_a_read(e).in_operation("inspect", &name))
    }

    /// The names that are held and begin with the prefix, at most `limit`, in no order; no snapshot.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if the store does not answer.
    ///
    /// # Cancel safety
    /// Safe to drop: it only reads.
    pub async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<LockInfo>, Error> {
        let listed = self.engine.core.backend.list(prefix, limit).await;
        listed.map_err(of_a_read)
    }

    /// Takes the lock from whoever holds it (C11). The holder is fenced out at once: its commit
    /// fails with [`ErrorKind::LeaseLost`] and cause [`LossCause::Forced`](crate::LossCause::Forced).
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a name out of bounds; [`ErrorKind::Unavailable`] if the store does
    /// not answer, and then [`Error::effect`] tells whether it may have happened.
    ///
    /// # Cancel safety
    /// Safe to drop: it then either happened or did not.
    pub async fn force_release(&self, name: impl AsRef<str>) -> Result<ForcedRelease, Error> {
        let name = LockName::new(name)?;
        let forced = self
            .bounded(self.engine.core.backend.force_release(&name))
            .await;
        forced.map_err(|e| e.in_operation("force the release of", &name))
    }

    /// What there is to say about the store and its surroundings: what it can promise, what it
    /// cannot, and what to do about it. Nothing is changed.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if the store does not answer.
    ///
    /// # Cancel safety
    /// Safe to drop: it only reads.
    ///
    /// # Examples
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// use lock_core::{LockClient, Severity};
    ///
    /// let locks = LockClient::in_memory();
    /// for finding in locks.examine().await? {
    ///     if finding.severity > Severity::Note {
    ///         println!("{}: {}; {}", finding.topic, finding.fact, finding.remedy);
    ///     }
    /// }
    /// # Ok::<(), lock_core::Error>(()) }).unwrap();
    /// ```
    pub async fn examine(&self) -> Result<Vec<Finding>, Error> {
        self.engine.core.backend.examine().await
    }

    async fn bounded<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let core = &self.engine.core;
        bounded(&*core.clock, core.options.request_timeout(), call).await
    }

    /// What the client is busy with now.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        let core = &self.engine.core;
        ClientStats {
            leases: core.schedule.len(),
            names: core.queues.len(),
            outstanding: core.outstanding.count(),
            renewal_delay_max: core.schedule.late_max(),
        }
    }

    /// Gives up every lease that this client holds and waits until the store has confirmed it
    /// (C14). Guards that are alive are lost with cause [`LossCause::Closed`](crate::LossCause::Closed); whoever waits for a
    /// lock, and whoever asks for one later, gets [`ErrorKind::Closed`].
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] outside of a tokio runtime, and
    /// [`ErrorKind::Timeout`] if that took longer than `limit`. What was not given up by then is
    /// still tried in the background, and ends at its ttl in any case.
    ///
    /// # Cancel safety
    /// Safe to drop: the client is closed all the same, only nobody waits for the confirmations.
    pub async fn close(&self, limit: Duration) -> Result<(), Error> {
        let core = &self.engine.core;
        core.close();
        if core.outstanding.count() > 0 {
            // The tasks' runtime may be gone.
            self.engine.start()?;
        }
        let until = core.clock.now().after(limit);
        tokio::select! {
            biased;
            () = core.outstanding.settled() => Ok(()),
            () = core.clock.sleep_until(until) => Err(Error::new(
                ErrorKind::Timeout,
                format!(
                    "closing took longer than {} ms, and {} requests are still unanswered; \
                     leases that were not given up end at their ttl",
                    limit.as_millis(),
                    core.outstanding.count()
                ),
            )),
        }
    }
}

/// What a client is busy with, in numbers: for metrics and for tests that nothing leaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientStats {
    /// Leases that are held and renewed.
    pub leases: usize,
    /// Names with a handle, a guard or a waiter.
    pub names: usize,
    /// Requests whose effect is not settled yet, releases in the background included.
    pub outstanding: usize,
    /// By how much a renewal came too late at worst: well below a tenth of the ttl in a process whose
    /// runtime is not blocked and that was not stopped. Above a sixth, a `warn` event says so once.
    pub renewal_delay_max: Duration,
}

/// Collects what a client needs.
#[must_use]
pub struct LockClientBuilder {
    backend: Arc<dyn LockBackend>,
    clock: Option<Arc<dyn Clock>>,
    entropy: Option<Arc<dyn Entropy>>,
    options: Option<LockOptions>,
    connect: Option<Connect>,
}

impl LockClientBuilder {
    /// For a backend that is shared or erased already.
    pub fn new(backend: Arc<dyn LockBackend>) -> Self {
        Self {
            backend,
            clock: None,
            entropy: None,
            options: None,
            connect: None,
        }
    }

    /// The options of mutexes that have none of their own.
    pub fn options(mut self, options: LockOptions) -> Self {
        self.options = Some(options);
        self
    }

    /// Another clock than the machine's: for tests.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Another source of chance than the operating system's: for tests.
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = Some(entropy);
        self
    }

    /// Renews on a thread of its own, so that a runtime that is blocked costs no lease.
    ///
    /// The thread `lock-renewal` starts with the first `lock()` and ends when the client is closed or
    /// dropped. It has a small runtime, in which `connect` makes a second connection to the same
    /// store: drivers keep the tasks of a connection on the runtime that made it, and one that is
    /// blocked would hold renewals up all the same. Until that connection stands, renewals go by the
    /// client's; if it cannot be made a `warn` event says so, and it is tried again.
    ///
    /// It renews and nothing else: waiting, commits, releases and [`lost`](crate::LockGuard::lost)
    /// stay on the caller's runtime. The price is a second connection, and that a holder whose runtime
    /// hangs keeps its lock until its process ends; without the thread the ttl frees it.
    ///
    /// # Examples
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use lock_core::{LockBackend, LockClient, LockOptions, MemoryBackend};
    ///
    /// // With a server: `|| async { Ok(Arc::new(RedisBackend::connect(url).await?) as _) }`.
    /// let store = Arc::new(MemoryBackend::new());
    /// let again = Arc::clone(&store);
    /// let options = LockOptions::builder().ttl(Duration::from_millis(500)).build()?;
    /// let locks = LockClient::builder(store.another_client())
    ///     .options(options)
    ///     .renewal_thread(move || {
    ///         let second: Arc<dyn LockBackend> = Arc::new(again.another_client());
    ///         async { Ok(second) }
    ///     })
    ///     .build();
    /// let guard = locks.mutex::<u32>("report")?.lock().await?;
    /// std::thread::sleep(Duration::from_millis(1500)); // a mistake, in a runtime
    /// guard.commit().await?;
    /// # Ok::<(), lock_core::Error>(()) }).unwrap();
    /// ```
    pub fn renewal_thread<F>(mut self, connect: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Arc<dyn LockBackend>, Error>> + Send + 'static,
    {
        self.connect = Some(Arc::new(move || Box::pin(connect())));
        self
    }

    /// The client. Nothing is sent and no task started yet.
    #[must_use]
    pub fn build(self) -> LockClient {
        let core = Core::new(
            self.backend,
            self.clock.unwrap_or_else(|| Arc::new(SystemClock::new())),
            self.entropy.unwrap_or_else(|| Arc::new(SystemEntropy)),
            self.options.unwrap_or_default(),
        );
        LockClient {
            engine: Engine::new(core, self.connect),
        }
    }
}

impl fmt::Debug for LockClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockClientBuilder")
            .field("backend", &self.backend)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
