//! What clients asked of a store and were answered, with the stamps of one monotonic clock.
//!
//! A [`History`] keeps 48 bytes an operation, so that ten million fit a test machine. Keys and
//! values are kept once each and named by number. [`Recorder`] writes one while clients run;
//! [`History::write_lines`] and [`History::read_lines`] keep it as JSON Lines.
//!
//! # What is one operation
//! - An acquisition from its first attempt to its last answer: attempts under one owner are one.
//! - A call that may have taken effect without our knowing is `Unknown`; its return is the moment
//!   after which it can no longer take effect, or [`NEVER`]. One that certainly had none is
//!   `NotApplied`, and the checkers pass over it.
//! - The stamp of an invocation is taken before the request is sent, that of the return after the
//!   answer was received.

mod interner;
mod lines;
mod notes;
mod recorder;

use interner::Interner;

pub use lines::LinesError;
pub use notes::{Belief, Mark, MarkKind};
pub use recorder::{Invocation, Recorder};

/// The return of an operation that never returned.
pub const NEVER: u64 = u64::MAX;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a checker must know them all")]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// To take the lock.
    Acquire,
    /// To write the value and keep the lease.
    Commit,
    /// To write the value and end the lease.
    CommitRelease,
    /// To take the lock from whoever has it. Done, it names the token of the lease that it ended.
    ForceRelease,
    /// To read the value, and the token that it was written under.
    Peek,
    /// To end the lease.
    Release,
    /// To prolong the lease.
    Renew,
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a checker must know them all")]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done: granted, renewed, committed, released, read.
    Done,
    /// It failed and certainly changed nothing.
    NotApplied,
    /// The normal negative: held by another for an acquire, not held for the others.
    Refused,
    /// It may have taken effect at most once, until it returned.
    Unknown,
}

/// The number of a key in its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(u32);

/// The number of a value in its history. Equal values have equal numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(u32);

impl Value {
    /// Nothing was ever written.
    pub const NONE: Self = Self(0);
    /// The value was not recorded, and nothing is checked of it.
    pub const UNSEEN: Self = Self(u32::MAX);

    pub(crate) const fn number(self) -> u32 {
        self.0
    }
}

/// One operation: what was asked by whom, what was answered, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a record that tests build")]
pub struct Operation {
    /// When it was asked, in nanoseconds.
    pub invoked: u64,
    /// When it was answered, or could no longer take effect.
    pub returned: u64,
    /// The token granted, used, or read with the value; 0 where there is none.
    pub token: u64,
    /// The ttl asked for, in nanoseconds; 0 where there is none.
    pub ttl_ns: u64,
    /// The lock.
    pub key: Key,
    /// Which client asked: a process, or what stands for one.
    pub client: u32,
    /// Which task of that client asked.
    pub task: u16,
    /// The value read or written.
    pub value: Value,
    /// What was asked.
    pub step: Step,
    /// What was answered.
    pub outcome: Outcome,
}

/// Operations, with their keys and values.
#[derive(Clone, Debug, Default)]
pub struct History {
    operations: Vec<Operation>,
    keys: Interner,
    values: Interner,
    beliefs: Vec<Belief>,
    marks: Vec<Mark>,
    healed: Option<u64>,
}

impl History {
    /// A history of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of a key, a new one if it was not seen before.
    pub fn key(&mut self, name: &str) -> Key {
        Key(self.keys.number(name))
    }

    /// The number of a value, a new one if it was not seen before.
    pub fn value(&mut self, text: &str) -> Value {
        Value(self.values.number(text).saturating_add(1))
    }

    /// Adds an operation and says where it stands. The checkers are fastest if operations are added
    /// nearly in the order of their invocations or of their returns, and right in any.
    pub fn push(&mut self, operation: Operation) -> usize {
        self.operations.push(operation);
        self.operations.len().saturating_sub(1)
    }

    /// Makes room for so many more operations.
    pub fn reserve(&mut self, additional: usize) {
        self.operations.reserve_exact(additional);
    }

    /// All operations, in the order in which they were added.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Notes for how long a client believed that it held a lock.
    pub fn believe(&mut self, belief: Belief) {
        self.beliefs.push(belief);
    }

    /// What clients believed, in the order in which it was noted.
    #[must_use]
    pub fn beliefs(&self) -> &[Belief] {
        &self.beliefs
    }

    /// Notes something that was done to the run: a fault, say.
    pub fn mark(&mut self, mark: Mark) {
        self.marks.push(mark);
    }

    /// What was done to the run, in the order in which it was noted.
    #[must_use]
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Notes the moment from which on nothing is at fault any more.
    pub const fn heal_at(&mut self, moment: u64) {
        self.healed = Some(moment);
    }

    /// The moment from which on nothing was at fault any more, in nanoseconds; `None` if that was
    /// not noted.
    #[must_use]
    pub const fn healed_at(&self) -> Option<u64> {
        self.healed
    }

    /// Gives every operation of unknown outcome that has no end this one; acquires only if asked to.
    pub(crate) fn settle(&mut self, now: u64, acquires: bool) {
        for operation in &mut self.operations {
            let is_meant = acquires || operation.step != Step::Acquire;
            if is_meant && operation.outcome == Outcome::Unknown {
                operation.returned = operation.returned.min(now);
            }
        }
    }

    pub(crate) fn operation_mut(&mut self, at: usize) -> Option<&mut Operation> {
        self.operations.get_mut(at)
    }

    /// The name of a key.
    #[must_use]
    pub fn key_name(&self, key: Key) -> &str {
        self.keys.text(key.0).unwrap_or_default()
    }

    /// The text of a value; `None` for [`Value::NONE`] and [`Value::UNSEEN`].
    #[must_use]
    pub fn value_text(&self, value: Value) -> Option<&str> {
        self.values.text(value.0.checked_sub(1)?)
    }

    /// How many keys there are.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Where the operations of each key stand, in the order in which they were added.
    #[must_use]
    pub fn by_key(&self) -> Vec<(Key, Vec<u32>)> {
        let mut parts: Vec<(Key, Vec<u32>)> = Vec::new();
        let numbers = 0..u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        parts.extend(numbers.map(|number| (Key(number), Vec::new())));
        for (operation, at) in self.operations.iter().zip(0_u32..) {
            let part = usize::try_from(operation.key.0).ok();
            if let Some((_, part)) = part.and_then(|part| parts.get_mut(part)) {
                part.push(at);
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests;
