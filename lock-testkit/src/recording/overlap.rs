//! Whether two clients believed at once that they hold a lock.

use std::collections::{HashMap, HashSet};

use crate::history::{Belief, History, Key, Outcome, Step};

/// The first two beliefs in different leases of one lock that overlap, if there are any (ME-2).
///
/// A holder from whom the lock was taken by force is told a moment later, so its belief is passed
/// over; where it is not known who that was, all beliefs in that lock are.
#[must_use]
pub fn overlap(history: &History) -> Option<[Belief; 2]> {
    let mut forced: HashSet<(Key, u64)> = HashSet::new();
    let mut unknown: HashSet<Key> = HashSet::new();
    let forces = history.operations().iter();
    for force in forces.filter(|operation| operation.step == Step::ForceRelease) {
        let _new = match force.outcome {
            Outcome::Done => forced.insert((force.key, force.token)),
            Outcome::Unknown => unknown.insert(force.key),
            Outcome::NotApplied | Outcome::Refused => false,
        };
    }
    let counts = |belief: &&Belief| {
        !unknown.contains(&belief.key)
            && !forced.contains(&(belief.key, belief.token))
            && belief.from < belief.until
    };
    let mut beliefs: Vec<&Belief> = history.beliefs().iter().filter(counts).collect();
    beliefs.sort_unstable_by_key(|belief| (belief.key, belief.from));
    let mut latest: HashMap<Key, &Belief> = HashMap::new();
    for belief in beliefs {
        if let Some(before) = latest.get(&belief.key) {
            if belief.from < before.until && belief.token != before.token {
                return Some([**before, *belief]);
            }
            if belief.until <= before.until {
                continue;
            }
        }
        let _before: Option<&Belief> = latest.insert(belief.key, belief);
    }
    None
}
