//! Linearizability of any [`Model`]: two searches raced, partitions raced too.
//!
//! - `jit`: just in time, event by event; an operation is placed only when one must return, and of
//!   two configurations that differ only in what was spent on them the cheaper one is kept (Lowe
//!   2017, with dominance). Strong where a history is wrong or outcomes are unknown.
//! - `wgl`: depth first with a memory of what failed (Wing and Gong 1993, Lowe 2017). Strong where
//!   the order of invocation is nearly the answer.
//!
//! Neither is good at everything, and on some histories one needs a thousand times the other's
//! work, so they take turns with growing budgets. So do partitions: one of many keys may be out of
//! reach while another shows the fault at once.
//!
//! # Invariants
//! 1. One operation is before another iff it returned at an earlier stamp than the other was
//!    invoked at; equal stamps are concurrent.
//! 2. An optional operation takes effect at most once, between its invocation and its return, which
//!    may be [`NEVER`].
//! 3. `Linearizable` and `Violated` are proofs; out of budget the answer is `Undecided`.

mod hash;
mod jit;
mod kv;
mod lock;
mod minimal;
mod plan;
mod register;
mod table;
mod wgl;

use std::hash::Hash;

pub use kv::{Beginning, Kv, KvOp, KvState, read_kv_log};
pub use lock::{LockOp, LockState, PlainLock};
pub use minimal::{Core, minimise};
pub use register::{Register, RegisterOp, read_etcd_log};

use jit::Jit;
use plan::Plan;
use wgl::Wgl;

/// The return of an operation that never returned.
pub const NEVER: u64 = u64::MAX;

/// A sequential object.
pub trait Model {
    /// What the object is, between operations.
    type State: Clone + Eq + Hash;
    /// An operation with its answer. Two that are equal may stand for each other if neither ever
    /// returns: the one invoked first is used first.
    type Op: Eq;

    /// The object before the first operation.
    fn initial(&self) -> Self::State;

    /// The object after the operation, or `None` if it cannot answer so here.
    fn step(&self, state: &Self::State, entry: &Entry<Self::Op>) -> Option<Self::State>;

    /// Whether the operation leaves the object as it is in every state. Such operations are placed
    /// as soon as they can be, without going back on it.
    fn observes(&self, op: &Self::Op) -> bool {
        let _ = op;
        false
    }

    /// Whether the state after the operation may be one that no other state leads to except by this
    /// operation, so that [`may_reach`](Self::may_reach) does not hold across it.
    fn resets(&self, op: &Self::Op) -> bool {
        let _ = op;
        true
    }

    /// Whether operations that do not reset may lead from the state to one where the observer
    /// `goal` can answer as it did. `true` is always right.
    fn may_reach(&self, state: &Self::State, goal: &Self::Op) -> bool {
        let _ = (state, goal);
        true
    }

    /// A number for the part of the object that the operation concerns. Parts are independent.
    fn part(&self, op: &Self::Op) -> u64 {
        let _ = op;
        0
    }
}

/// An operation in time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a record that readers build")]
pub struct Entry<O> {
    /// What was asked and answered.
    pub op: O,
    /// When it was asked.
    pub invoked: u64,
    /// When it was answered, or could no longer take effect; [`NEVER`] if neither.
    pub returned: u64,
    /// It may have had no effect: its outcome is unknown.
    pub optional: bool,
}

impl<O> Entry<O> {
    /// An operation that was answered.
    pub const fn new(op: O, invoked: u64, returned: u64) -> Self {
        Self {
            op,
            invoked,
            returned,
            optional: false,
        }
    }

    /// An operation whose outcome was never learnt.
    pub const fn unknown(op: O, invoked: u64) -> Self {
        Self {
            op,
            invoked,
            returned: NEVER,
            optional: true,
        }
    }
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Linearizability {
    /// There is an order that explains every answer.
    Linearizable,
    /// The budget ran out after so many steps of the model.
    Undecided {
        /// The steps that were spent.
        steps: u64,
    },
    /// There is none.
    Violated {
        /// The part that has none: see [`Model::part`].
        part: u64,
        /// The operation that could not return, or the last one of the part if the search that
        /// decided it does not know.
        stuck: usize,
    },
}

impl Linearizability {
    /// Whether it is proved that an order exists (`true`) or that none does (`false`).
    #[must_use]
    pub const fn decided(self) -> Option<bool> {
        match self {
            Self::Linearizable => Some(true),
            Self::Undecided { .. } => None,
            Self::Violated { .. } => Some(false),
        }
    }
}

/// Checks a history within a budget of model steps.
///
/// ```
/// use lock_testkit::checker::linear::{Entry, Linearizability, Register, RegisterOp, check};
///
/// let history = [
///     Entry::new(RegisterOp::Write(1), 0, 10),
///     Entry::unknown(RegisterOp::Write(2), 5),
///     Entry::new(RegisterOp::Read(Some(2)), 20, 30),
///     Entry::new(RegisterOp::Read(Some(1)), 40, 50),
/// ];
/// let found = check(&Register, &history, 1_000_000);
/// assert_eq!(found, Linearizability::Violated { part: 0, stuck: 3 });
/// ```
pub fn check<M: Model>(model: &M, history: &[Entry<M::Op>], budget: u64) -> Linearizability {
    let mut racers: Vec<Racer<'_, M>> = parts(model, history)
        .into_iter()
        .map(|(part, members)| Racer::new(model, history, part, members))
        .collect();
    let mut steps = 0_u64;
    let mut allowance = FIRST_ALLOWANCE;
    while !racers.is_empty() {
        let mut at = 0;
        while let Some(racer) = racers.get_mut(at) {
            let (spent, found) = racer.run(allowance);
            steps = steps.saturating_add(spent);
            match found {
                Some(Found::Legal) => drop(racers.swap_remove(at)),
                Some(Found::Stuck(stuck)) => {
                    let part = racer.part;
                    return Linearizability::Violated { part, stuck };
                }
                None => at = at.saturating_add(1),
            }
            if steps > budget && !racers.is_empty() {
                return Linearizability::Undecided { steps };
            }
        }
        allowance = allowance.saturating_mul(2);
    }
    Linearizability::Linearizable
}

const FIRST_ALLOWANCE: u64 = 256;

/// The members of each part, by invocation.
fn parts<M: Model>(model: &M, history: &[Entry<M::Op>]) -> Vec<(u64, Vec<usize>)> {
    let mut all: Vec<(u64, u64, usize)> = history
        .iter()
        .enumerate()
        .map(|(index, entry)| (model.part(&entry.op), entry.invoked, index))
        .collect();
    all.sort_unstable();
    let mut parts: Vec<(u64, Vec<usize>)> = Vec::new();
    for (part, _, index) in all {
        match parts.last_mut() {
            Some((last, members)) if *last == part => members.push(index),
            _ => parts.push((part, vec![index])),
        }
    }
    parts
}

/// What one search found of one part.
#[derive(Clone, Copy, Debug)]
enum Found {
    Legal,
    /// There is no order; the operation that could not return.
    Stuck(usize),
}

/// Both searches of one part, taking turns.
struct Racer<'a, M: Model> {
    part: u64,
    jit: Option<Jit<'a, M>>,
    wgl: Wgl<'a, M>,
}

impl<'a, M: Model> Racer<'a, M> {
    fn new(model: &'a M, history: &'a [Entry<M::Op>], part: u64, members: Vec<usize>) -> Self {
        let wgl = Wgl::new(model, history, &members);
        let jit = Plan::new(model, history, &members).map(|plan| Jit::new(model, history, plan));
        Self { part, jit, wgl }
    }

    fn run(&mut self, allowance: u64) -> (u64, Option<Found>) {
        let mut spent = 0;
        if let Some(jit) = &mut self.jit {
            let (steps, found) = jit.run(allowance);
            spent = steps;
            if found.is_some() {
                return (spent, found);
            }
        }
        let (steps, found) = self.wgl.run(allowance);
        (steps.saturating_add(spent), found)
    }
}

#[cfg(test)]
mod tests;
