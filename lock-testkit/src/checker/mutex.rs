//! Locks without tokens and without unknown outcomes, in O(n log n).
//!
//! A hold lasts for certain from the return of its acquire to the invocation of its release; it can
//! be stretched to the acquire's invocation and the release's return. A history is right iff the
//! certain times are pairwise disjoint and no refused acquire lies wholly where no hold can be
//! stretched to. Only [`Step::Acquire`] and [`Step::Release`] are looked at, and tokens are not; a
//! client holds a key once at a time.

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

/// One hold: when it was asked for and granted, and when its release was asked for and answered.
#[derive(Clone, Copy, Debug)]
struct Hold {
    client: u32,
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
    steps.sort_unstable_by_key(|(_, operation)| (operation.client, operation.invoked));
    match holds(&steps) {
        Ok(holds) => refusals(&steps, &holds),
        Err(violation) => Verdict::Invalid(violation),
    }
}

/// The holds in the order of time.
fn holds(steps: &[(usize, &Operation)]) -> Result<Vec<Hold>, Violation> {
    let mut holds: Vec<Hold> = Vec::new();
    for (at, operation) in steps {
        let client = operation.client;
        let open = holds
            .last_mut()
            .filter(|hold| hold.client == client && hold.release.is_none());
        match (operation.step, operation.outcome, open) {
            (Step::Acquire, Outcome::Done, None) => holds.push(Hold {
                client,
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
    for (at, operation) in steps {
        let client = operation.client;
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

fn violation(property: Property, culprits: &[usize]) -> Violation {
    Violation::new(property, Bound::Untimed, culprits)
}

#[cfg(test)]
mod tests;
