//! [`Watch`]: whether a service uses its locks rightly, found out by the service's own tests.
//!
//! A lock that is right does not make its user right. A service may write what it computed from a
//! value that it read before it had the lock; go on after it lost the lock; drop a commit half-way;
//! sit on the lock while it waits for somebody else. Put a watch around the backend, run the
//! service's own test, and ask for the verdict: it holds what was recorded against the rules
//! [`Rule`], SV-1 to SV-5, and against those of the lock itself.
//!
//! # Examples
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use lock_core::{LockClient, MemoryBackend};
//! use lock_testkit::sections::Watch;
//!
//! let watch = Watch::new();
//! let _listening = watch.listen();
//! let locks = LockClient::new(watch.around(MemoryBackend::new()));
//!
//! // The service's own test.
//! let stock = locks.mutex::<u32>("stock")?;
//! stock.update(|n| { *n += 1; Ok(()) }).await?;
//!
//! watch.verdict().assert_clean();
//! # Ok::<(), lock_core::Error>(()) }).unwrap();
//! ```
//!
//! What a watch cannot see: what the service computes a value from (say what a commit may do with
//! [`Watch::each_commit`]), and what it does to things outside of the store (have their doubles
//! report to a [`Resource`]).

mod evidence;
mod judge;
mod listen;
mod resource;
mod rule;
mod verdict;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_core::{Clock, LockBackend, SystemClock};
use serde::de::DeserializeOwned;

use crate::history::{History, Recorder};
use crate::recording::{RecordingBackend, Tasks};
use evidence::Evidence;

pub use listen::{Listener, Listening};
pub use resource::{Request, Resource};
pub use rule::Rule;
pub use verdict::{Finding, Verdict};

/// Records what a service does with its locks, and judges it. Clones share what they saw.
#[derive(Clone, Debug)]
pub struct Watch {
    shared: Arc<Shared>,
}

/// What a watch, its backends, resources and listeners share.
#[derive(Debug)]
struct Shared {
    recorder: Arc<Recorder>,
    tasks: Arc<Tasks>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    clients: Vec<(String, RecordingBackend)>,
    checks: Vec<Check>,
    hold_limit: Option<Duration>,
    uses: Vec<evidence::Use>,
    discards: Vec<evidence::Discard>,
    requests: Vec<evidence::Served>,
    has_listened: bool,
}

/// What a commit may do to a value.
struct Check {
    prefix: String,
    /// The value before and after as JSON; `None` if there was none.
    judge: Box<Judge>,
}

type Judge = dyn Fn(Option<&str>, &str) -> Result<(), String> + Send + Sync;

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Watch {
    /// After how many of its ttls a lease was held too long, if nothing else is said.
    pub const HOLD_LIMIT_TTLS: u32 = 10;

    /// A watch by the machine's clock, which is virtual under tokio's paused clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock::new()))
    }

    /// A watch by this clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            shared: Arc::new(Shared {
                recorder: Arc::new(Recorder::new(clock)),
                tasks: Arc::default(),
                inner: Mutex::default(),
            }),
        }
    }

    /// No lease may be held for longer (SV-4). Without it the limit is
    /// [`HOLD_LIMIT_TTLS`](Self::HOLD_LIMIT_TTLS) times the ttl: renewal lets a lease last, and
    /// everybody else wait.
    #[must_use]
    pub fn hold_limit(self, limit: Duration) -> Self {
        self.shared.inner().hold_limit = Some(limit);
        self
    }

    /// Says what a commit may do to the values of all locks whose names begin with `prefix` (SV-1).
    ///
    /// The check is given the value that was read with the lock, `None` if there was none, and the
    /// one that was committed. It finds what no lock can: a new value that was computed from
    /// something else than the value which it replaces. Values are read as JSON.
    ///
    /// # Examples
    /// ```
    /// use lock_testkit::sections::Watch;
    ///
    /// let watch = Watch::new().each_commit("sold/", |before: Option<&Vec<u32>>, after| {
    ///     let before = before.map_or(&[][..], Vec::as_slice);
    ///     after.starts_with(before).then_some(()).ok_or("an order is gone".to_owned())
    /// });
    /// ```
    #[must_use]
    pub fn each_commit<T: DeserializeOwned>(
        self,
        prefix: impl Into<String>,
        check: impl Fn(Option<&T>, &T) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let read = |text: &str| {
            serde_json::from_str::<T>(text)
                .map_err(|error| format!("a value is not what the check reads: {error}"))
        };
        let judge = move |before: Option<&str>, after: &str| {
            let before = before.map(read).transpose()?;
            check(before.as_ref(), &read(after)?)
        };
        self.shared.inner().checks.push(Check {
            prefix: prefix.into(),
            judge: Box::new(judge),
        });
        self
    }

    /// A backend around this one, for one client of the service. Every client of the store needs
    /// one, and the names of its locks must be new to the store.
    #[must_use]
    pub fn around(&self, backend: impl LockBackend) -> RecordingBackend {
        self.around_as("", backend)
    }

    /// The same for a client that has a name in reports.
    #[must_use]
    pub fn around_as(&self, who: impl Into<String>, backend: impl LockBackend) -> RecordingBackend {
        let mut inner = self.shared.inner();
        let number = u32::try_from(inner.clients.len()).unwrap_or(u32::MAX);
        let (recorder, tasks) = (&self.shared.recorder, &self.shared.tasks);
        let backend = RecordingBackend::among(
            Arc::new(backend),
            Arc::clone(recorder),
            number,
            Arc::clone(tasks),
        );
        inner.clients.push((who.into(), backend.clone()));
        backend
    }

    /// Something outside of the store that may only be used under the lock `guarded_by`. The
    /// service's double of it reports each use.
    #[must_use]
    pub fn resource(&self, name: impl Into<String>, guarded_by: impl Into<String>) -> Resource {
        Resource::new(Arc::clone(&self.shared), name.into(), guarded_by.into())
    }

    /// Notes that this task begins to serve a request that has so long. A lock that the task takes
    /// for it and has when the time is up was held too long (SV-4). Drop it with the answer.
    pub fn request(&self, name: impl Into<String>, limit: Duration) -> Request {
        Request::new(Arc::clone(&self.shared), name.into(), limit)
    }

    /// Listens on this thread for changes that were discarded (SV-3) as long as the answer lives. A
    /// test that has a subscriber of its own adds [`layer`](Self::layer) to it instead.
    pub fn listen(&self) -> Listening {
        Listening::begin(self.layer())
    }

    /// A layer for a `tracing` subscriber that listens for changes that were discarded (SV-3).
    #[must_use]
    pub fn layer(&self) -> Listener {
        self.shared.inner().has_listened = true;
        Listener::new(Arc::clone(&self.shared))
    }

    /// The recorder, for marks and steps of one's own.
    #[must_use]
    pub fn recorder(&self) -> &Arc<Recorder> {
        &self.shared.recorder
    }

    /// What was recorded so far, without a judgement.
    #[must_use]
    pub fn history(&self) -> History {
        self.shared.recorder.history()
    }

    /// Holds what was recorded against all rules. Ask when the test is over and its clients are idle.
    pub fn verdict(&self) -> Verdict {
        let now = self.shared.recorder.now().as_nanos();
        let inner = self.shared.inner();
        let mut history = self.shared.recorder.history();
        for (_, backend) in &inner.clients {
            backend.add_beliefs(&mut history);
        }
        let evidence = Evidence::new(&history, &inner, now);
        let findings = judge::all(&evidence);
        Verdict::new(history, findings, &inner.uses, inner.has_listened)
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present moment and task.
    fn here(&self) -> (u64, u16) {
        (self.recorder.now().as_nanos(), self.tasks.present())
    }
}
