//! [`Lease`]: the sequential lease lock.

use super::Bound;
use crate::checker::linear::{Entry, Model};
use crate::history::{Operation, Outcome, Step, Value};

/// The sequential lease lock of one key.
///
/// Expiry is a step of its own that may come at any time after the least length of the lease. It is
/// taken just before an operation that needs it, which loses nothing: an earlier one allows no more.
/// The state keeps the earliest moment that its last step can have had, so that an order of steps
/// is a run iff no step's earliest moment is later than its return.
///
/// A release or an unknown acquire of token 0 concerns a lease whose token nobody saw.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the bound is all there is")]
pub struct Lease {
    /// How far clocks are trusted.
    pub bound: Bound,
}

/// Who holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "these are all that the model has")]
pub enum Holder {
    /// Nobody.
    Free,
    /// Whoever was granted this token.
    Token(u64),
    /// An acquire whose grant nobody saw.
    Unseen,
}

/// The lock between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LeaseState {
    /// Who holds it.
    pub holder: Holder,
    /// The earliest moment at which its lease may expire.
    pub expires: u64,
    /// The earliest moment of the last step.
    pub now: u64,
    /// The largest token granted.
    pub last: u64,
    /// The value last committed, and under which token.
    pub data: (Value, u64),
}

/// An operation without its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseOp {
    /// What was asked.
    pub step: Step,
    /// What was answered.
    pub outcome: Outcome,
    /// The token granted, used or read.
    pub token: u64,
    /// The ttl asked for.
    pub ttl_ns: u64,
    /// The value read or written.
    pub value: Value,
}

/// An operation of a history as an entry for the general checker; `None` if it says nothing.
#[must_use]
pub fn entry_of(operation: &Operation) -> Option<Entry<LeaseOp>> {
    let Operation {
        step,
        outcome,
        token,
        ttl_ns,
        value,
        ..
    } = *operation;
    let optional = match (step, outcome) {
        (_, Outcome::NotApplied) | (Step::Peek, Outcome::Refused | Outcome::Unknown) => {
            return None;
        }
        // It ends a lease whose grant nobody saw, if it ends any.
        (Step::Release, Outcome::Done) => token == 0,
        (_, outcome) => outcome == Outcome::Unknown,
    };
    let op = LeaseOp {
        step,
        outcome,
        token,
        ttl_ns,
        value,
    };
    Some(Entry {
        op,
        invoked: operation.invoked,
        returned: operation.returned,
        optional,
    })
}

impl Model for Lease {
    type State = LeaseState;
    type Op = LeaseOp;

    fn initial(&self) -> LeaseState {
        LeaseState {
            holder: Holder::Free,
            expires: 0,
            now: 0,
            last: 0,
            data: (Value::NONE, 0),
        }
    }

    fn step(&self, state: &LeaseState, entry: &Entry<LeaseOp>) -> Option<LeaseState> {
        let op = &entry.op;
        let mut next = *state;
        if self.is_timed() {
            next.now = next.now.max(entry.invoked);
        }
        self.apply(&mut next, op)?;
        (next.now <= entry.returned).then_some(next)
    }

    fn observes(&self, op: &LeaseOp) -> bool {
        // With time, even a look at the lock says that what comes after it comes later.
        let looks = matches!(
            (op.step, op.outcome),
            (Step::Peek, _) | (Step::Acquire, Outcome::Refused)
        );
        looks && !self.is_timed()
    }

    fn resets(&self, _: &LeaseOp) -> bool {
        false
    }
}

impl Lease {
    fn is_timed(self) -> bool {
        self.bound != Bound::Untimed
    }

    fn apply(self, next: &mut LeaseState, op: &LeaseOp) -> Option<()> {
        let is_holder = next.holder == Holder::Token(op.token);
        match (op.step, op.outcome) {
            (_, Outcome::NotApplied) | (Step::Peek, Outcome::Refused | Outcome::Unknown) => {}
            (Step::Acquire, Outcome::Refused) => {
                return (next.holder != Holder::Free).then_some(());
            }
            (Step::Acquire, Outcome::Done) => {
                expire(next);
                if op.token <= next.last || !matches(next.data.0, op.value) {
                    return None;
                }
                (next.holder, next.last) = (Holder::Token(op.token), op.token);
                next.expires = self.lease_end(next.now, op.ttl_ns);
            }
            (Step::Acquire, Outcome::Unknown) => {
                expire(next);
                (next.holder, next.last) = (Holder::Unseen, next.last.saturating_add(1));
                next.expires = self.lease_end(next.now, op.ttl_ns);
            }
            (Step::ForceRelease, Outcome::Refused) => expire(next),
            (_, Outcome::Refused) => {
                if is_holder {
                    expire(next);
                }
            }
            (Step::Renew, Outcome::Done) => {
                next.expires = next.expires.max(self.lease_end(next.now, op.ttl_ns));
                return is_holder.then_some(());
            }
            // It could only prolong what may be as long as it likes.
            (Step::Renew, Outcome::Unknown) => return None,
            (Step::Commit | Step::CommitRelease, Outcome::Done | Outcome::Unknown) => {
                next.data = (op.value, op.token);
                if op.step == Step::CommitRelease {
                    free(next);
                }
                return is_holder.then_some(());
            }
            (Step::Release, Outcome::Done | Outcome::Unknown) => {
                let is_unseen = op.token == 0 && next.holder == Holder::Unseen;
                free(next);
                return (is_holder || is_unseen).then_some(());
            }
            (Step::ForceRelease, Outcome::Done | Outcome::Unknown) => {
                let is_any = op.token == 0 && next.holder != Holder::Free;
                free(next);
                return (is_holder || is_any).then_some(());
            }
            (Step::Peek, Outcome::Done) => {
                let (value, token) = next.data;
                let is_by = op.token == 0 || op.token == token || op.value == Value::UNSEEN;
                return (matches(value, op.value) && is_by).then_some(());
            }
        }
        Some(())
    }

    fn lease_end(self, now: u64, ttl_ns: u64) -> u64 {
        now.saturating_add(self.bound.at_least(ttl_ns))
    }
}

/// The lease of whoever holds the lock ends by itself, as early as it may.
fn expire(state: &mut LeaseState) {
    if state.holder != Holder::Free {
        state.now = state.now.max(state.expires);
        free(state);
    }
}

const fn free(state: &mut LeaseState) {
    state.holder = Holder::Free;
    state.expires = 0;
}

/// Whether what is there may have been read so.
fn matches(there: Value, read: Value) -> bool {
    there == read || read == Value::UNSEEN || there == Value::UNSEEN
}
