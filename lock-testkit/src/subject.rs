//! What is under test: a [`Subject`] makes [`World`]s, a world has [`Client`]s.
//!
//! A *subject* is a kind of lock: a backend, a client library on it, or a lock of somebody else. A
//! *world* is one fresh store of it, for one run. A *client* is what one process would have; its
//! tasks share it. [`StepClient`] drives a [`LockBackend`](lock_core::LockBackend) step by step and
//! does what no careful client does: it goes on after its lease is over, and repeats itself.

mod served;
mod simulated;
mod steps;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Capabilities, Clock, Effect, Moment, Then};
use serde::{Deserialize, Serialize};

pub use served::{Served, ServedStore, Setup, disturb};
pub use simulated::{Simulated, Store};
pub use steps::StepClient;

use crate::SetupError;
use crate::fault::Link;
use crate::plan::NetworkFault;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "this is the whole question")]
pub struct Ask {
    /// The lock.
    pub key: String,
    /// How long the lease is to last.
    pub ttl: Duration,
    /// How long to wait for it; zero is one attempt.
    pub wait: Duration,
}

/// What a client has of a lease.
#[derive(Debug)]
#[non_exhaustive]
pub struct Held {
    /// The lock.
    pub key: String,
    /// The token; 0 for a lock without tokens.
    pub token: u64,
    /// The value read with the grant.
    pub value: Read,
    /// When the client stops believing in the lease, if nothing prolongs it.
    pub valid_until: Moment,
    /// When the client last found that the lease was not over, before it handed it out; `None` if it
    /// did not look.
    pub handed_out: Option<Moment>,
    /// Whether an earlier request of the acquire has no answer yet, and may arrive when this lease
    /// is over: it then takes the lock for nobody.
    pub repeated: bool,
    /// What the client itself needs to know of it.
    pub inner: Box<dyn Any + Send + Sync>,
}

impl Held {
    /// A lease of which the value was not read.
    #[must_use]
    pub fn new(key: &str, token: u64, valid_until: Moment) -> Self {
        Self {
            key: key.to_owned(),
            token,
            value: Read::Unseen,
            valid_until,
            handed_out: None,
            repeated: false,
            inner: Box::new(()),
        }
    }
}

/// A value as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth")]
pub enum Read {
    /// Nothing was ever written.
    Nothing,
    /// This.
    Text(String),
    /// It was not read.
    Unseen,
}

/// How an acquire ended.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "the runner must know them all")]
pub enum Acquired {
    /// The lease is the caller's.
    Held(Held),
    /// The grant arrived when the client did not believe in it any more, and is not handed out. It
    /// is to be released.
    Late(Held),
    /// The client stopped waiting, and has told the store so. Until then the lock may have been
    /// kept for it.
    Left {
        /// The moment before it told the store.
        since: Moment,
        /// As [`Held::repeated`].
        repeated: bool,
    },
    /// Another holds the lock.
    Refused {
        /// As [`Held::repeated`].
        repeated: bool,
    },
}

/// A call failed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure {
    /// Whether it may have taken effect.
    pub effect: Effect,
    /// What happened.
    pub message: String,
}

impl Failure {
    /// A failure of this effect.
    #[must_use]
    pub fn new(effect: Effect, message: impl Into<String>) -> Self {
        Self {
            effect,
            message: message.into(),
        }
    }
}

impl From<lock_core::Error> for Failure {
    fn from(error: lock_core::Error) -> Self {
        Self::new(error.effect(), error.to_string())
    }
}

/// One client of a lock under test, as one process would have it. Its tasks share it.
///
/// # Cancel safety
/// The runner drops futures of `acquire` half-way, and expects what the client promises of it.
#[async_trait]
pub trait Client: Send + Sync + 'static {
    /// Takes the lock, waiting for it for so long.
    ///
    /// # Errors
    /// [`Failure`], with the effect that it may have had.
    async fn acquire(&self, ask: &Ask) -> Result<Acquired, Failure>;

    /// Prolongs the lease, and [`Held::valid_until`] with it; `false` if it is lost.
    ///
    /// # Errors
    /// [`Failure`], with the effect that it may have had.
    async fn renew(&self, held: &mut Held, ttl: Duration) -> Result<bool, Failure>;

    /// Writes the value, and ends the lease if asked to; `false` if it is lost.
    ///
    /// # Errors
    /// [`Failure`], with the effect that it may have had.
    async fn commit(&self, held: &mut Held, value: &str, then: Then) -> Result<bool, Failure>;

    /// Ends the lease; `false` if it was not held.
    ///
    /// # Errors
    /// [`Failure`], with the effect that it may have had.
    async fn release(&self, held: &mut Held) -> Result<bool, Failure>;

    /// The value last committed and its token (0 where there are none).
    ///
    /// # Errors
    /// [`Failure`], with the effect that it may have had.
    async fn peek(&self, key: &str) -> Result<(Read, u64), Failure>;
}

/// What a lock is able to do, as far as the kit must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traits {
    /// It grants fencing tokens.
    pub tokens: bool,
    /// It keeps a value.
    pub state: bool,
    /// It can prolong a lease.
    pub renews: bool,
    /// What the backend promises beyond the contract.
    pub capabilities: Capabilities,
    /// By how much a lease may last longer than asked for, beyond a millisecond: what the store
    /// rounds a ttl up to, and how late it notices that one is over.
    pub granularity: Duration,
    /// How many grants the tasks of one client have at most while another client stands in line,
    /// where a lease passes on from task to task. The runner then has all tasks of a client take
    /// turns, after everything is healed.
    pub overtaken: Option<u32>,
}

impl Traits {
    /// Everything that the contract asks for, and these capabilities.
    #[must_use]
    pub const fn of(capabilities: Capabilities) -> Self {
        Self {
            tokens: true,
            state: true,
            renews: true,
            capabilities,
            granularity: Duration::ZERO,
            overtaken: None,
        }
    }
}

/// Something that is done to the store of a world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServerFault {
    /// Its clock jumps, forwards or backwards.
    ClockStep {
        /// By so much.
        by_ms: i64,
    },
    /// It is gone, and a replica takes its place that lags behind by what was written last.
    FailOver,
    /// It forgets the scripts that it knows.
    FlushScripts,
    /// It is killed and comes back with what is on its disk.
    Kill {
        /// For so long it is gone.
        down_ms: u64,
    },
    /// It stands still.
    Pause {
        /// For so long.
        for_ms: u64,
    },
}

impl ServerFault {
    /// What it is, in a few words.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::ClockStep { by_ms } => format!("its clock jumps by {by_ms} ms"),
            Self::FailOver => "a replica takes its place".to_owned(),
            Self::FlushScripts => "forgets its scripts".to_owned(),
            Self::Kill { down_ms } => format!("is killed and back after {down_ms} ms"),
            Self::Pause { for_ms } => format!("stands still for {for_ms} ms"),
        }
    }
}

/// One fresh store of a subject, for one run.
#[async_trait]
pub trait World: Send + Sync {
    /// One more client. The runner numbers them from 0 on; one that takes the place of a crashed one
    /// has a number of its own.
    ///
    /// # Errors
    /// If it cannot be made.
    async fn client(&self, number: u32, link: Link) -> Result<Arc<dyn Client>, SetupError>;

    /// What every name begins with, so that runs that share a store do not meet.
    fn prefix(&self) -> String {
        String::new()
    }

    /// Does something to the store, and comes back when it is done; `false` if this world cannot.
    ///
    /// # Errors
    /// If it should have been done and failed.
    async fn server(&self, fault: &ServerFault) -> Result<bool, SetupError>;

    /// Disturbs the network of one client, or with `None` ends that; `false` if there is no network
    /// of its own, and it is up to the client's [`Link`].
    ///
    /// # Errors
    /// If it should have been done and failed.
    async fn network(
        &self,
        _client: u32,
        _fault: Option<&NetworkFault>,
    ) -> Result<bool, SetupError> {
        Ok(false)
    }
}

/// A kind of lock under test.
#[async_trait]
pub trait Subject: Send + Sync {
    /// What it is called in reports.
    fn name(&self) -> String;

    /// What it is able to do.
    fn traits(&self) -> Traits;

    /// A fresh store, whose chance comes from the seed and whose time, if it is simulated, from the
    /// clock.
    ///
    /// # Errors
    /// If it cannot be provided.
    async fn world(&self, seed: u64, clock: Arc<dyn Clock>) -> Result<Box<dyn World>, SetupError>;
}
