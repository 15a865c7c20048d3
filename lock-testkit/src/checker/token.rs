//! Locks with fencing tokens: an exact check in one pass over the tokens.
//!
//! Tokens order the leases, and then everything that a history says is a lower bound on some later
//! moment: a lease starts when the one before it has ended and its acquire was invoked; it ends when
//! its last step was invoked, and not before its least length is over unless somebody ended it; a
//! refusal that must meet a lease, or a gap, pushes its end or the next start. The earliest moments
//! that keep all bounds leave most room for what must have happened by some return, so a history is
//! right iff they do (least fixed point of monotone bounds). Near linear: bounds that push backwards
//! come only from refusals, and are rare.
//!
//! Values are checked the same way as long as all values committed on a key differ, as in the
//! recommended workload, whose value is the list of its writers' tokens. What is beyond the pass goes
//! to the general checker within a budget: values that repeat, forced releases of unknown effect, and
//! refusals that only acquires of unknown effect explain, if no order of them is found at once.

mod blame;
mod data;
mod gather;
mod ghosts;
mod orphan;
mod solve;

use super::linear::{self, Linearizability};
use crate::history::{History, Operation, Step};
use crate::spec::{Bound, Lease, Property, Verdict, Violation, entry_of};
use data::Scratch;
use gather::Gathered;

/// Checks every key of a history. `budget` bounds the steps of the general checker on each key that
/// needs it.
///
/// ```
/// use lock_testkit::checker::token;
/// use lock_testkit::history::{History, Operation, Outcome, Step, Value};
/// use lock_testkit::spec::{Bound, Property, Verdict};
///
/// let mut history = History::new();
/// let key = history.key("stock");
/// let grant = Operation {
///     invoked: 10,
///     returned: 20,
///     token: 1,
///     ttl_ns: 100,
///     key,
///     client: 0,
///     task: 0,
///     value: Value::UNSEEN,
///     step: Step::Acquire,
///     outcome: Outcome::Done,
/// };
/// history.push(grant);
/// history.push(Operation { invoked: 30, returned: 40, token: 2, ..grant });
/// let found = token::check(&history, Bound::timed(0, 0), 100_000);
/// let Verdict::Invalid(violation) = found else { panic!("the leases overlap") };
/// assert_eq!(violation.property, Property::Ls1);
/// assert_eq!(token::check(&history, Bound::Untimed, 100_000), Verdict::Valid);
/// ```
#[must_use]
pub fn check(history: &History, bound: Bound, budget: u64) -> Verdict {
    let mut undecided = None;
    let first = each_key(
        history,
        history.operations(),
        bound,
        budget,
        |verdict| match verdict {
            Verdict::Valid => None,
            Verdict::Undecided { steps } => {
                undecided = Some(steps);
                None
            }
            Verdict::Invalid(violation) => Some(violation),
        },
    );
    match (first, undecided) {
        (Some(violation), _) => Verdict::Invalid(violation),
        (None, Some(steps)) => Verdict::Undecided { steps },
        (None, None) => Verdict::Valid,
    }
}

/// Hands over the verdict of each key, until one is taken. `operations` are those of the history,
/// which may be passed over but not moved.
pub(crate) fn each_key<T>(
    history: &History,
    operations: &[Operation],
    bound: Bound,
    budget: u64,
    mut take: impl FnMut(Verdict) -> Option<T>,
) -> Option<T> {
    let mut scratch = Scratch::default();
    if history.keys() <= 1 {
        let part = Part {
            operations,
            members: None,
        };
        return take(check_part(part, bound, budget, &mut scratch));
    }
    let parts = history.by_key();
    parts.iter().find_map(|(_, members)| {
        let part = Part {
            operations,
            members: Some(members),
        };
        take(check_part(part, bound, budget, &mut scratch))
    })
}

/// The operations of one key.
#[derive(Clone, Copy)]
struct Part<'a> {
    operations: &'a [Operation],
    /// `None` if they are all.
    members: Option<&'a [u32]>,
}

impl<'a> Part<'a> {
    fn iter(self) -> impl Iterator<Item = (u32, &'a Operation)> {
        let count = self.members.map_or(self.operations.len(), <[u32]>::len);
        (0..count).filter_map(move |at| {
            let at = match self.members {
                Some(members) => *members.get(at)?,
                None => u32::try_from(at).ok()?,
            };
            Some((at, self.get(at)?))
        })
    }

    fn get(self, at: u32) -> Option<&'a Operation> {
        self.operations.get(usize::try_from(at).ok()?)
    }
}

/// What the pass makes of a key.
enum Pass {
    /// It cannot tell.
    Beyond,
    Right,
    Wrong(Violation),
}

fn check_part(part: Part<'_>, bound: Bound, budget: u64, scratch: &mut Scratch) -> Verdict {
    let mut verdict = decide(part, bound, budget, scratch);
    if let Verdict::Invalid(violation) = &mut verdict
        && violation.property == Property::Er1
        && bound != Bound::Untimed
        && decide(part, Bound::Untimed, budget, scratch) == Verdict::Valid
    {
        // Somebody of whom nothing is known may have held it, but for too short a time.
        violation.property = Property::Ls1;
    }
    verdict
}

fn decide(part: Part<'_>, bound: Bound, budget: u64, scratch: &mut Scratch) -> Verdict {
    let (wrong, is_final) = match pass(part, bound, scratch) {
        (Pass::Right, _) => return Verdict::Valid,
        (Pass::Beyond, _) => (None, false),
        (Pass::Wrong(violation), is_final) => (Some(violation), is_final),
    };
    if let Some(violation) = wrong.as_ref().filter(|_| is_final) {
        return Verdict::Invalid(violation.clone());
    }
    let is_orphaned = wrong
        .as_ref()
        .filter(|wrong| wrong.property == Property::Er1);
    if is_orphaned.is_some_and(|wrong| orphan::explain(part, bound, wrong, scratch)) {
        return Verdict::Valid;
    }
    let mut ids = Vec::new();
    let mut entries = Vec::new();
    let mut seen = Vec::new();
    for (at, operation) in part.iter() {
        if let Some(entry) = entry_of(operation) {
            ids.push(at);
            if !(entry.optional && is_of_unseen_lease(operation)) {
                seen.push(entry.clone());
            }
            entries.push(entry);
        }
    }
    // What may have happened need not have: a run without it is one of the whole, and found sooner.
    if seen.len() < entries.len() {
        let found = linear::check(&Lease { bound }, &seen, budget);
        if found == Linearizability::Linearizable {
            return Verdict::Valid;
        }
    }
    match linear::check(&Lease { bound }, &entries, budget) {
        Linearizability::Linearizable => Verdict::Valid,
        Linearizability::Undecided { steps } => Verdict::Undecided { steps },
        Linearizability::Violated { stuck, .. } => {
            let stuck = ids.get(stuck).copied().unwrap_or_default();
            Verdict::Invalid(wrong.unwrap_or_else(|| blame::stuck(part, bound, stuck)))
        }
    }
}

/// Whether it took or ended a lease whose token nobody saw, if it did anything.
fn is_of_unseen_lease(operation: &Operation) -> bool {
    operation.token == 0 && matches!(operation.step, Step::Acquire | Step::Release)
}

/// The pass over the tokens, and whether what it found wrong is so for certain.
fn pass(part: Part<'_>, bound: Bound, scratch: &mut Scratch) -> (Pass, bool) {
    let gathered = match Gathered::new(part, bound) {
        Ok(gathered) => gathered,
        Err(violation) => return (Pass::Wrong(violation), true),
    };
    if gathered.ended_by_unknown_force {
        return (Pass::Beyond, false);
    }
    let unknown_acquires = gathered.unknown_acquires;
    let chained = data::chain(part, bound, gathered, scratch);
    let mut solver = match chained {
        data::Chained::Beyond(gathered) => {
            // Without the values it may still be wrong for certain.
            let mut solver = solve::Solver::new(part, bound, *gathered, data::Chain::default());
            return match solver.run() {
                Err(failure) if unknown_acquires == 0 => (Pass::Wrong(failure), true),
                _ => (Pass::Beyond, false),
            };
        }
        data::Chained::Wrong(violation) => return (Pass::Wrong(violation), true),
        data::Chained::Ready(gathered, chain) => solve::Solver::new(part, bound, *gathered, chain),
    };
    match solver.run() {
        Ok(()) => (Pass::Right, true),
        Err(violation) => (Pass::Wrong(violation), unknown_acquires == 0),
    }
}

#[cfg(test)]
mod tests;
