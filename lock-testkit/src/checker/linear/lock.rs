//! A plain lock without expiry or tokens.

use super::{Entry, Model};

/// A lock that its holder gives up by itself.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has no parts")]
pub struct PlainLock;

/// Who holds a [`PlainLock`].
pub type LockState = Option<u32>;

/// An operation on a [`PlainLock`] by a client and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "these are all that the model has")]
pub enum LockOp {
    /// Took the lock.
    Acquired(u32),
    /// Was told that it does not hold the lock.
    NotHeld(u32),
    /// Was refused, since somebody held it.
    Refused,
    /// Gave it up.
    Released(u32),
}

impl Model for PlainLock {
    type State = LockState;
    type Op = LockOp;

    fn initial(&self) -> LockState {
        None
    }

    fn step(&self, state: &LockState, entry: &Entry<LockOp>) -> Option<LockState> {
        match entry.op {
            LockOp::Acquired(client) => state.is_none().then_some(Some(client)),
            LockOp::NotHeld(client) => (*state != Some(client)).then_some(*state),
            LockOp::Refused => state.is_some().then_some(*state),
            LockOp::Released(client) => (*state == Some(client)).then_some(None),
        }
    }

    fn observes(&self, op: &LockOp) -> bool {
        matches!(op, LockOp::NotHeld(_) | LockOp::Refused)
    }
}
