//! Locks without tokens and without unknown outcomes, in O(n log n).
//!
//! A hold lasts for certain from the return of its acquire to the invocation of its release; it can
//! be stretched to the acquire's invocation and the release's return. A history is right iff the
//! certain times are pairwise disjoint and no refused acquire lies wholly where no hold can be
//! stretched to. Only [`Step::Acquire`] and [`Step::Release`] are looked at, and tokens are not; a
//! task of a client holds a key once at a time.

use super::linear;
use crate::history::{History, NEVER, Operation, Outcome, Step};
use crate::spec::{Bound, Property, Verdict, Violation};

/// Checks every key of a history. A key with an acquire or release of unknown outcome goes to the
/// general checker, which spends at most `budget` steps on it.
#[must_use]
pub fn check(history: &History, budget: u64) -> Verdict {
    let mut undecided = None;
    for (_, members) in history.by_key() {
        match check_key(history.operations(), &members, budget) {
            Verdict::Valid => {}
            Verdict::Undecided { steps } => undecided = Some(steps),
            invalid @ Verdict::Invalid(_) => return invalid,
        }
    }
    undecided.map_or(Verdict::Valid, |steps| Verdict::Undecided { steps })
}

/// The verdict of each key of a lock that may expire, where every hold was certainly kept to its
/// end: all outcomes are known, and each hold was released by its holder or had no ttl. The other
/// keys are passed over. `operations` are those of the history, which may be passed over but not
/// moved.
pub(crate) fn verdicts(history: &History, operations: &[Operation]) -> Vec<Verdict> {
    let parts = history.by_key();
    let kept = parts.iter().filter(|(_, m)| is_kept(operations, m));
    kept.map(|(_, members)| check_key(operations, members, 0))
        .collect()
}

fn is_kept(operations: &[Operation], members: &[u32]) -> bool {
    let members = members.iter().filter_map(|at| usize::try_from(*at).ok());
    let mut steps: Vec<&Operation> = members.filter_map(|at| operations.get(at)).collect();
    steps.retain(|o| o.outcome != Outcome::NotApplied && o.step != Step::Peek);
    let is_plain = |o: &&Operation| {
        matches!(o.step, Step::Acquire | Step::Release | Step::Renew)
            && (o.outcome != Outcome::Unknown || o.step == Step::Renew)
    };
    if !steps.iter().all(is_plain) {
        return false;
    }
    steps
        .retain(|o| o.step != Step::Renew && o.outcome == Outcome::Done || o.step == Step::Release);
    steps.sort_by_key(|o| (who(o), o.invoked));
    steps.iter().enumerate().all(|(at, acquire)| {
        let next = at.checked_add(1).and_then(|at| steps.get(at));
        let is_released = next.is_some_and(|next| {
            who(next) == who(acquire) && next.step == Step::Release && next.outcome == Outcome::Done
        });
        acquire.step == Step::Release || acquire.ttl_ns == 0 || is_released
    })
}

/// One hold: when it was asked for and granted, and when its release was asked for and answered.
#[derive(Clone, Copy, Debug)]
struct Hold {
    by: (u32, u16),
    asked: u64,
    granted: u64,
    release_asked: u64,
    released: u64,
    acquire: usize,
    release: Option<usize>,
}

fn check_key(operations: &[Operation], members: &[u32], budget: u64) -> Verdict {
    let mut steps: Vec<(usize, &Operation)> = members
        .iter()
        .filter_map(|at| usize::try_from(*at).ok())
        .filter_map(|at| Some((at, operations.get(at)?)))
        .filter(|(_, o)| matches!(o.step, Step::Acquire | Step::Release))
        .filter(|(_, o)| o.outcome != Outcome::NotApplied)
        .collect();
    if steps.iter().any(|(_, o)| o.outcome == Outcome::Unknown) {
        return general(&steps, budget);
    }
    steps.sort_by_key(|(_, operation)| (who(operation), operation.invoked));
    match holds(&steps) {
        Ok(holds) => refusals(&steps, &holds),
        Err(violation) => Verdict::Invalid(violation),
    }
}

/// The holds in the order of time.
fn holds(steps: &[(usize, &Operation)]) -> Result<Vec<Hold>, Violation> {
    let mut holds: Vec<Hold> = Vec::new();
    for (at, operation) in steps {
        let by = who(operation);
        let open = holds
            .last_mut()
            .filter(|hold| hold.by == by && hold.release.is_none());
        match (operation.step, operation.outcome, open) {
            (Step::Acquire, Outcome::Done, None) => holds.push(Hold {
                by,
                asked: operation.invoked,
                granted: operation.returned,
                release_asked: NEVER,
                released: NEVER,
                acquire: *at,
                release: None,
            }),
            (Step::Acquire, Outcome::Done, Some(open)) => {
                return Err(violation(Property::Me1, &[open.acquire, *at]));
            }
            (Step::Release, Outcome::Done, Some(open)) => {
                (open.release_asked, open.released) = (operation.invoked, operation.returned);
                open.release = Some(*at);
            }
            (Step::Release, Outcome::Done, None) => {
                return Err(violation(Property::Ow1, &[*at]));
            }
            (Step::Release, Outcome::Refused, Some(open)) => {
                return Err(violation(Property::Ow2, &[open.acquire, *at]));
            }
            _ => {}
        }
    }
    holds.sort_unstable_by_key(|hold| (hold.granted, hold.release_asked));
    for pair in holds.windows(2) {
        if let [one, other] = pair
            && one.release_asked > other.granted
        {
            let mut culprits = vec![one.acquire, other.acquire];
            culprits.extend(one.release);
            return Err(violation(Property::Me1, &culprits));
        }
    }
    Ok(holds)
}

/// Whether each refused acquire can have met a hold.
fn refusals(steps: &[(usize, &Operation)], holds: &[Hold]) -> Verdict {
    let refused = steps.iter().filter(|(_, operation)| {
        operation.step == Step::Acquire && operation.outcome == Outcome::Refused
    });
    for (at, operation) in refused {
        // The first hold that was granted after it returned, and the one before.
        let next = holds.partition_point(|hold| hold.granted <= operation.returned);
        let before = next.checked_sub(1).and_then(|before| holds.get(before));
        let met_before = before.is_some_and(|hold| hold.released >= operation.invoked);
        let next = holds.get(next);
        let met_next = next.is_some_and(|hold| hold.asked <= operation.returned);
        if !met_before && !met_next {
            let mut culprits = vec![*at];
            culprits.extend(before.and_then(|hold| hold.release));
            culprits.extend(next.map(|hold| hold.acquire));
            return Verdict::Invalid(violation(Property::Er1, &culprits));
        }
    }
    Verdict::Valid
}

fn general(steps: &[(usize, &Operation)], budget: u64) -> Verdict {
    use linear::{Entry, Linearizability, LockOp, PlainLock};
    let mut ids = Vec::new();
    let mut entries = Vec::new();
    let mut holders: Vec<(u32, u16)> = steps.iter().map(|(_, o)| who(o)).collect();
    holders.sort_unstable();
    holders.dedup();
    for (at, operation) in steps {
        let number = holders.partition_point(|holder| *holder < who(operation));
        let client = u32::try_from(number).unwrap_or(u32::MAX);
        let op = match (operation.step, operation.outcome) {
            (Step::Acquire, Outcome::Refused) => LockOp::Refused,
            (Step::Acquire, _) => LockOp::Acquired(client),
            (_, Outcome::Refused) => LockOp::NotHeld(client),
            _ => LockOp::Released(client),
        };
        ids.push(*at);
        entries.push(Entry {
            op,
            invoked: operation.invoked,
            returned: operation.returned,
            optional: operation.outcome == Outcome::Unknown,
        });
    }
    match linear::check(&PlainLock, &entries, budget) {
        Linearizability::Linearizable => Verdict::Valid,
        Linearizability::Undecided { steps } => Verdict::Undecided { steps },
        Linearizability::Violated { stuck, .. } => {
            let stuck = ids.get(stuck).copied().unwrap_or_default();
            Verdict::Invalid(violation(Property::Me1, &[stuck]))
        }
    }
}

/// Whoever can hold the lock.
const fn who(operation: &Operation) -> (u32, u16) {
    (operation.client, operation.task)
}

fn violation(property: Property, culprits: &[usize]) -> Violation {
    Violation::new(property, Bound::Untimed, culprits)
}

#[cfg(test)]
mod tests;
