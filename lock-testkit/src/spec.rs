//! What a lock may do: the properties that a history is held against, and the sequential lock.
//!
//! [`Lease`] is the specification itself, one step at a time; the checkers are ways to find out fast
//! whether a history is one of its runs. [`Bound`] says how far clocks are trusted.

mod lease;

use std::fmt;

pub use lease::{Holder, Lease, LeaseOp, LeaseState, entry_of};

use crate::history::{History, NEVER, Operation};

/// A rule that a lock must keep, by its stable id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Property {
    /// DU-1: what the store acknowledged survives what it declares to survive.
    Du1,
    /// ER-1: errors and refusals say what is so.
    Er1,
    /// FN-1: a commit takes effect only under its own lease.
    Fn1,
    /// FN-2: no committed value is lost.
    Fn2,
    /// FN-3: what is read was committed.
    Fn3,
    /// FN-4: compare, write and release are one atomic step.
    Fn4,
    /// IN-1: locks of different names have nothing to do with each other.
    In1,
    /// LS-1: a lease is no shorter than its ttl, as far as clocks are trusted.
    Ls1,
    /// LS-2: no lease is handed out that is already past its own deadline.
    Ls2,
    /// LS-3: a renewal prolongs the lease.
    Ls3,
    /// LV-1: once the lock is free and nothing is at fault, somebody who waits is granted.
    Lv1,
    /// LV-2: a release wakes somebody who waits, without the delay of a timer.
    Lv2,
    /// LV-3: an acquire that was cancelled or whose outcome is unknown keeps nobody out for longer
    /// than its ttl.
    Lv3,
    /// LV-4: who waits longest is granted first, where that is declared.
    Lv4,
    /// LV-5: who waits is overtaken by tasks of one other client no more often than is declared.
    Lv5,
    /// ME-1: leases of different tokens do not overlap.
    Me1,
    /// ME-2: no two clients believe at once that they hold the lock.
    Me2,
    /// OW-1: renew and release act only for the present token.
    Ow1,
    /// OW-2: who is told that it does not hold the lock really does not.
    Ow2,
    /// OW-3: two tasks of one client are as much strangers as two clients.
    Ow3,
    /// TK-1: tokens increase in the order of the grants.
    Tk1,
    /// TK-2: no token is granted twice.
    Tk2,
}

impl Property {
    /// All of them, by id.
    pub const ALL: [Self; 22] = [
        Self::Du1,
        Self::Er1,
        Self::Fn1,
        Self::Fn2,
        Self::Fn3,
        Self::Fn4,
        Self::In1,
        Self::Ls1,
        Self::Ls2,
        Self::Ls3,
        Self::Lv1,
        Self::Lv2,
        Self::Lv3,
        Self::Lv4,
        Self::Lv5,
        Self::Me1,
        Self::Me2,
        Self::Ow1,
        Self::Ow2,
        Self::Ow3,
        Self::Tk1,
        Self::Tk2,
    ];

    /// The id, as reports and documents write it.
    #[must_use]
    pub const fn id(self) -> &'static str {
        self.words().0
    }

    /// The rule in a few words.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        self.words().1
    }

    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Du1 => ("DU-1", "what the store acknowledged did not survive"),
            Self::Er1 => ("ER-1", "a refusal or an error said what was not so"),
            Self::Fn1 => ("FN-1", "a commit took effect outside its own lease"),
            Self::Fn2 => ("FN-2", "a committed value was lost"),
            Self::Fn3 => ("FN-3", "a value was read that was never committed"),
            Self::Fn4 => ("FN-4", "compare, write and release were not one step"),
            Self::In1 => ("IN-1", "locks of different names disturb each other"),
            Self::Ls1 => ("LS-1", "a lease ended before its time"),
            Self::Ls2 => ("LS-2", "a lease was handed out after its own deadline"),
            Self::Ls3 => ("LS-3", "a renewal did not prolong the lease"),
            Self::Lv1 => ("LV-1", "the lock is free and nobody who waits is granted"),
            Self::Lv2 => ("LV-2", "a release woke nobody who waits"),
            Self::Lv3 => ("LV-3", "an abandoned acquire kept the lock taken"),
            Self::Lv4 => ("LV-4", "somebody was granted before one who waited longer"),
            Self::Lv5 => (
                "LV-5",
                "one client was granted more often than is declared while another waited",
            ),
            Self::Me1 => ("ME-1", "two leases overlap"),
            Self::Me2 => (
                "ME-2",
                "two clients believed at once that they hold the lock",
            ),
            Self::Ow1 => (
                "OW-1",
                "a step acted for a token that was not the present one",
            ),
            Self::Ow2 => ("OW-2", "a holder was told that it does not hold the lock"),
            Self::Ow3 => ("OW-3", "two tasks of one client shared a lease"),
            Self::Tk1 => ("TK-1", "tokens do not increase in the order of the grants"),
            Self::Tk2 => ("TK-2", "a token was granted twice"),
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// How far clocks are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bound {
    /// The store's clock may err by a share of the ttl, and by its granularity.
    Timed {
        /// How far rates may differ, in parts per million.
        drift_ppm: u32,
        /// What the store rounds to, in nanoseconds.
        granularity_ns: u64,
    },
    /// A lease may expire at any time. Right under any fault of the store's clock, and still finds
    /// every fault of tokens, owners, fencing and lost updates.
    Untimed,
}

impl Bound {
    /// Clocks that differ by at most 500 ppm, the most that NTP slews, and a store good to 1 ms.
    pub const DEFAULT: Self = Self::timed(500, 1_000_000);

    /// Trusts clocks so far.
    #[must_use]
    pub const fn timed(drift_ppm: u32, granularity_ns: u64) -> Self {
        Self::Timed {
            drift_ppm,
            granularity_ns,
        }
    }

    /// How long a lease of this ttl lasts at least.
    #[must_use]
    pub fn at_least(self, ttl_ns: u64) -> u64 {
        match self {
            Self::Timed {
                drift_ppm,
                granularity_ns,
            } => {
                let drift = u128::from(ttl_ns).saturating_mul(u128::from(drift_ppm)) / 1_000_000;
                let drift = u64::try_from(drift).unwrap_or(u64::MAX);
                ttl_ns.saturating_sub(drift).saturating_sub(granularity_ns)
            }
            Self::Untimed => 0,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timed {
                drift_ppm,
                granularity_ns,
            } => write!(
                f,
                "a lease lasts its ttl less {drift_ppm} ppm and {granularity_ns} ns"
            ),
            Self::Untimed => f.write_str("a lease may expire at any time"),
        }
    }
}

/// What a checker found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// No run of the specification gives these answers.
    Invalid(Violation),
    /// It could not be found out within so many steps of the specification.
    Undecided {
        /// The steps that were spent.
        steps: u64,
    },
    /// Some run of the specification gives these answers.
    Valid,
}

/// A broken property, and who shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The rule that was broken.
    pub property: Property,
    /// The operations that contradict each other, by index into the history: at most four.
    pub culprits: Vec<usize>,
    /// How far clocks were trusted.
    pub bound: Bound,
}

impl Violation {
    pub(crate) fn new(property: Property, bound: Bound, culprits: &[usize]) -> Self {
        let mut kept: Vec<usize> = Vec::new();
        for culprit in culprits {
            if !kept.contains(culprit) && kept.len() < 4 {
                kept.push(*culprit);
            }
        }
        Self {
            property,
            culprits: kept,
            bound,
        }
    }

    /// The violation for a reader: the rule, then a line for each culprit.
    #[must_use]
    pub fn explain(&self, history: &History) -> String {
        let mut text = format!(
            "{}: {} ({})",
            self.property,
            self.property.rule(),
            self.bound
        );
        for culprit in &self.culprits {
            if let Some(operation) = history.operations().get(*culprit) {
                text.push_str("\n  ");
                text.push_str(&describe(operation, history));
            }
        }
        text
    }
}

/// An operation in one line.
fn describe(operation: &Operation, history: &History) -> String {
    let Operation {
        invoked,
        returned,
        token,
        client,
        step,
        outcome,
        ..
    } = operation;
    let key = history.key_name(operation.key);
    let end = match *returned {
        NEVER => "never".to_owned(),
        returned => format!("{returned} ns"),
    };
    let mut text = format!("{invoked} ns to {end}: client {client}, {step:?} of {key:?}");
    if *token != 0 {
        text.push_str(&format!(", token {token}"));
    }
    if let Some(value) = history.value_text(operation.value) {
        text.push_str(&format!(", value {value:?}"));
    }
    text.push_str(&format!(": {outcome:?}"));
    text
}

#[cfg(test)]
mod tests;
