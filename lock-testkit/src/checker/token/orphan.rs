//! Acquires of unknown effect that were granted: they explain refusals that nothing else does.
//!
//! The general checker finds out as well, but in a thousand times the time. Here a grant is made of
//! one such acquire after another, each where a refusal needs the lock held, and the pass has the
//! last word: if it is right with them, the history is right. If not, nothing is known.

use std::collections::HashSet;

use super::data::Scratch;
use super::{Part, Pass, pass};
use crate::history::{Operation, Outcome, Step, Value};
use crate::spec::{Bound, Property, Violation};

/// How many passes are made at most; the general checker takes over then.
const PASSES: u32 = 24;

/// Whether grants of acquires of unknown effect make a history right in which a refusal met nobody.
pub(super) fn explain(
    part: Part<'_>,
    bound: Bound,
    violation: &Violation,
    scratch: &mut Scratch,
) -> bool {
    let mut operations = part.operations.to_vec();
    let mut violation = violation.clone();
    let mut passes = 0;
    'refused: while violation.property == Property::Er1 {
        let part = Part {
            operations: &operations,
            members: part.members,
        };
        let Some((refused, place)) = Place::new(part, &violation) else {
            return false;
        };
        for at in candidates(part, &refused) {
            if passes >= PASSES {
                return false;
            }
            passes = passes.saturating_add(1);
            let mut changed = operations.clone();
            let Some(acquire) = changed.get_mut(at) else {
                continue;
            };
            acquire.outcome = Outcome::Done;
            (acquire.token, acquire.value) = (place.token, place.value);
            let part = Part {
                operations: &changed,
                members: part.members,
            };
            match pass(part, bound, scratch).0 {
                Pass::Right => return true,
                Pass::Wrong(next) if next.culprits.first() != violation.culprits.first() => {
                    (operations, violation) = (changed, next);
                    continue 'refused;
                }
                Pass::Beyond | Pass::Wrong(_) => {}
            }
        }
        return false;
    }
    false
}

/// Acquires of unknown effect that may have been granted before a refusal, the last first.
fn candidates(part: Part<'_>, refused: &Operation) -> Vec<usize> {
    let is_one = |o: &Operation| {
        (o.step, o.outcome) == (Step::Acquire, Outcome::Unknown) && o.invoked <= refused.returned
    };
    let mut all: Vec<(u64, u32)> = part
        .iter()
        .filter(|(_, o)| is_one(o))
        .map(|(at, o)| (o.invoked, at))
        .collect();
    all.sort_unstable_by(|one, other| other.cmp(one));
    let places = all.into_iter().map(|(_, at)| usize::try_from(at).ok());
    places.flatten().collect()
}

/// What a grant between two others has: a token between theirs, and the value that the next read.
struct Place {
    token: u64,
    value: Value,
}

impl Place {
    /// The refusal that a violation is about, and the place that it needs filled.
    fn new(part: Part<'_>, violation: &Violation) -> Option<(Operation, Self)> {
        let culprits = violation.culprits.iter();
        let mut culprits = culprits.filter_map(|at| part.operations.get(*at));
        let refused = *culprits.next()?;
        let is_grant = |o: &Operation| (o.step, o.outcome) == (Step::Acquire, Outcome::Done);
        let next = culprits.find(|o| is_grant(o));
        let below = next.map_or(u64::MAX, |next| next.token);
        let earlier = || part.iter().map(|(_, o)| o).filter(|o| o.token < below);
        let before = earlier().filter(|o| is_grant(o)).max_by_key(|o| o.token);
        // A step under its token would be one of a lease that nobody saw, which there cannot be.
        let named: HashSet<u64> = part.iter().map(|(_, o)| o.token).collect();
        let mut tokens = before.map_or(0, |before| before.token)..below;
        let token = tokens.find(|token| *token != 0 && !named.contains(token))?;
        let commits = earlier().filter(|o| {
            matches!(o.step, Step::Commit | Step::CommitRelease) && o.outcome == Outcome::Done
        });
        let last = commits.max_by_key(|o| (o.token, o.invoked));
        let value = next.or(last).or(before).map_or(Value::NONE, |o| o.value);
        Some((refused, Self { token, value }))
    }
}
