//! Whether a lock goes on: once nothing is at fault any more, somebody who waits is granted.
//!
//! The rules are about the system and never about one waiter, who may be unlucky: only where the
//! lock declares an order is a waiter's own turn looked at. Nothing is judged before the history was
//! [healed](History::heal_at), and nothing at all if that was not noted. O(n log n).
//!
//! # When a key is free for certain
//! Every grant is over: its end was answered, or [`Limits::at_most`] has passed since the last
//! return of it and of its renewals, and since the heal if they were invoked before: under faults a
//! request may arrive late, or twice. An acquire or renewal of unknown outcome counts as granted
//! until so long after its return. One that never returned and was invoked before the heal counts as
//! abandoned at the heal; one invoked later may be granted at any time, so that nothing of its key is
//! judged from then on. Whoever cancels an acquire in the healed phase therefore notes when it can no
//! longer take effect (`Recorder::over`).
//!
//! # Rules
//! A *stall* is a time in which the key is free for certain, nobody is granted, and one acquire that
//! is granted or refused in the end waits throughout.
//! - **LV-2**, with [`Limits::push`]: a stall after an answered release, by one who already waited
//!   when the release was invoked, for longer than [`Limits::wake_ns`].
//! - **LV-3**: another stall for longer than [`Limits::stall`], where an acquire of unknown outcome
//!   can have been granted after the last known lease, which was over when it was given back, or at
//!   its own length after its grant.
//! - **LV-1**: any other stall for longer than [`Limits::stall`].
//! - **LV-4**, with [`Limits::fifo`]: a grant after an answered release to one who waited (for longer
//!   than an attempt), while another of the same scope waits from before its invocation until after
//!   its return, by an attempt each, and no acquire of unknown outcome can have come in between. With
//!   [`Fifo::Everybody`] the other's wait counts from when the tasks of its client that came before
//!   it are certainly done with the lock.
//! - **LV-5**, with [`Limits::overtaken`]: more grants than that to tasks of one client, while
//!   another client stands in line: it has a task that waits, of it nobody is granted, refused or
//!   holds the lock, no acquire of unknown outcome can have come in between, and whoever was granted
//!   gave the lock back.

mod leases;
mod limits;
mod overtaken;
mod stall;
mod turns;

pub use limits::{Fifo, Limits};

use crate::history::{History, NEVER, Operation, Outcome, Step};
use crate::spec::{Bound, Property, Violation};

/// Finds where a history stands still. Of each key and property it gives the first violation; the
/// culprits are what freed the key, and who waited.
#[must_use]
pub fn check(history: &History, limits: &Limits) -> Vec<Violation> {
    let mut found = Violations::default();
    let Some(healed) = history.healed_at() else {
        return found.all;
    };
    let operations = with_leavers(history, healed);
    let operations = operations.as_slice();
    for (_, members) in history.by_key() {
        let key = Key {
            operations,
            members: &members,
        };
        found.of_key.clear();
        let leases = leases::gather(key, limits, healed);
        let stalls = stall::Stalls {
            key,
            limits,
            healed,
            leases: &leases,
        };
        stalls.find(&mut found);
        if limits.fifo != Fifo::Off {
            turns::find(key, limits, healed, &leases, &mut found);
        }
        if let Some(most) = limits.overtaken {
            overtaken::find(key, limits, most, healed, &leases, &mut found);
        }
    }
    found.all
}

/// The operations of a history, where whoever left a line after the heal was refused. The lock may
/// have been kept for it, which the limits allow for, but it did not get it: taken for a grant that
/// nobody saw, each who waits in vain would excuse the lock that kept it waiting.
fn with_leavers(history: &History, healed: u64) -> Vec<Operation> {
    let mut operations = history.operations().to_vec();
    let leaves = |o: &Operation| {
        o.step == Step::Release && o.outcome == Outcome::Done && o.token == 0 && o.invoked >= healed
    };
    let mut left: Vec<Operation> = operations.iter().copied().filter(leaves).collect();
    left.sort_unstable_by_key(|o| (o.client, o.task, o.key, o.invoked));
    for operation in &mut operations {
        let waited = operation.step == Step::Acquire
            && operation.outcome == Outcome::Unknown
            && operation.invoked >= healed
            && operation.returned != NEVER;
        if !waited {
            continue;
        }
        let who = (operation.client, operation.task, operation.key);
        let from = left.partition_point(|o| {
            (o.client, o.task, o.key, o.invoked) < (who.0, who.1, who.2, operation.invoked)
        });
        let next = left.get(from).filter(|o| (o.client, o.task, o.key) == who);
        if next.is_some_and(|o| o.invoked <= operation.returned) {
            operation.outcome = Outcome::Refused;
        }
    }
    operations
}

/// The operations of one key.
#[derive(Clone, Copy)]
struct Key<'a> {
    operations: &'a [Operation],
    members: &'a [u32],
}

#[derive(Default)]
struct Violations {
    all: Vec<Violation>,
    of_key: Vec<Property>,
}

impl Violations {
    fn add(&mut self, property: Property, limits: &Limits, culprits: Vec<usize>) {
        if self.of_key.contains(&property) {
            return;
        }
        self.of_key.push(property);
        let bound = Bound::timed(limits.drift_ppm, limits.granularity_ns);
        self.all.push(Violation::new(property, bound, &culprits));
    }
}

/// The place of an operation in its history.
fn index(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
