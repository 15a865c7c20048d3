//! [`Plan`]: what every client does and what is done to it, in one value that can be repeated.
//!
//! A plan is the same on every tier: in virtual time on a simulated network, on servers of this
//! machine, in containers. Its text form is one line ([`Plan::to_line`]), which a failing run prints
//! and [`Plan::from_line`] reads back. [`plans`] draws plans for proptest, which shrinks them: whole
//! clients first, then faults, then acts, then times.

mod draw;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, StepKind, Weather};
use crate::subject::ServerFault;

pub use draw::{Mix, plans};

/// What is done in one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a plan is plain data that anybody may write"
)]
pub struct Plan {
    /// Where chance comes from.
    pub seed: u64,
    /// The ttl of every lease, in milliseconds.
    pub ttl_ms: u64,
    /// How many names are used.
    pub keys: u8,
    /// The network between clients and store, where it is simulated.
    pub weather: Weather,
    /// What each task of each client does.
    pub clients: Vec<Vec<Vec<Act>>>,
    /// What is done to clients and store meanwhile.
    pub faults: Vec<PlannedFault>,
}

/// What a task does next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "the runner must know them all")]
pub enum Act {
    /// Begins to acquire and drops the future after it was polled so often, or holds it if it is
    /// granted by then.
    Cancel {
        /// The number of the name.
        key: u8,
        /// For how long it would have waited.
        wait_ms: u64,
        /// After so many polls.
        polls: u32,
    },
    /// Acquires, and does something with the lease.
    Hold {
        /// The number of the name.
        key: u8,
        /// For how long it waits; 0 is one attempt.
        wait_ms: u64,
        /// What it does with the lease.
        work: Vec<Work>,
        /// How it ends it.
        end: End,
    },
    /// Reads the value without the lock.
    Peek {
        /// The number of the name.
        key: u8,
    },
    /// Does something else.
    Rest {
        /// For so long.
        ms: u64,
    },
}

/// What a task does with a lease. It goes on, whatever it is answered: a client that was stopped for
/// longer than it thinks does the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "the runner must know them all")]
pub enum Work {
    /// Keeps the lease for so long.
    Keep {
        /// So long.
        ms: u64,
    },
    /// Prolongs it.
    Renew,
    /// Writes the value, with the token appended.
    Save,
}

/// How a task ends its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "the runner must know them all")]
pub enum End {
    /// It does not: it goes away without a word.
    Abandon,
    /// Writes and releases in one step.
    Commit,
    /// Releases.
    Release,
    /// Releases twice.
    ReleaseTwice,
}

/// Something that is done while clients run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "the runner must know them all")]
pub enum PlannedFault {
    /// At the `nth` call of this step by this client, counted from 0.
    Call {
        /// Which client.
        client: u32,
        /// Which step.
        step: StepKind,
        /// Its number.
        nth: u32,
        /// What happens to it.
        fault: Fault,
    },
    /// The client crashes: nothing that it sends from now on arrives, and another takes its place.
    Crash {
        /// Which client.
        client: u32,
        /// After so many milliseconds.
        at_ms: u64,
    },
    /// The client's process stands still.
    Freeze {
        /// Which client.
        client: u32,
        /// After so many milliseconds.
        at_ms: u64,
        /// For so long.
        for_ms: u64,
    },
    /// The network of one client.
    Network {
        /// Which client.
        client: u32,
        /// After so many milliseconds.
        at_ms: u64,
        /// For so long.
        for_ms: u64,
        /// What is wrong with it.
        fault: NetworkFault,
    },
    /// The store.
    Server {
        /// After so many milliseconds.
        at_ms: u64,
        /// What is done to it.
        fault: ServerFault,
    },
}

/// What is wrong with the network of one client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
#[non_exhaustive]
pub enum NetworkFault {
    /// Nothing passes in these directions.
    BlackHole {
        /// Requests are lost.
        requests: bool,
        /// Replies are lost.
        replies: bool,
    },
    /// Wake-ups and alarms are lost, everything else passes.
    HintsLost,
    /// Renewals get no turn to run.
    RenewalsStarved,
    /// Every connection is reset, once. Only on a real network.
    Reset,
    /// Connections stay open and carry nothing. Only on a real network.
    HalfOpen,
    /// New connections are refused and those that stand are cut. Only on a real network.
    Refuse,
    /// Everything takes so much longer. Only on a real network.
    Slow {
        /// So much each way, in milliseconds.
        ms: u64,
    },
    /// Bytes come in small pieces. Only on a real network.
    Sliced,
}

impl Plan {
    /// The plan in one line, to copy and paste.
    #[must_use]
    pub fn to_line(&self) -> String {
        // Plain data: writing it to a string does not fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`to_line`](Self::to_line) wrote.
    ///
    /// # Errors
    /// [`PlanError`] if it is no plan, or one that names a client or a name that it does not have.
    pub fn from_line(line: &str) -> Result<Self, PlanError> {
        let plan: Self =
            serde_json::from_str(line).map_err(|source| PlanError(source.to_string()))?;
        let bad = |what: &str| Err(PlanError(what.to_owned()));
        if !(50..=86_400_000).contains(&plan.ttl_ms) {
            return bad("its ttl is not between 50 ms and 24 h");
        }
        let acts = || plan.clients.iter().flatten().flatten();
        if acts().any(|act| act.key().is_some_and(|key| key >= plan.keys)) {
            return bad("it uses a name that it does not have");
        }
        Ok(plan)
    }

    /// How many tasks there are.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.clients.iter().map(Vec::len).sum()
    }
}

impl Act {
    const fn key(&self) -> Option<u8> {
        match self {
            Self::Cancel { key, .. } | Self::Hold { key, .. } | Self::Peek { key } => Some(*key),
            Self::Rest { .. } => None,
        }
    }
}

/// A line is not a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError(String);

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this is no plan: {}", self.0)
    }
}

impl std::error::Error for PlanError {}
