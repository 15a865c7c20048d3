//! What clients believed: nobody may believe that it holds a lock while another does, nor be handed
//! a lease that is already past its own deadline.
//!
//! Nothing of the store is looked at, so this also judges locks without tokens: it holds the clients'
//! own arithmetic against each other. It says nothing where the store's clock jumps, since a lease
//! may then end while its holder rightly believes in it. Near linear.

use std::collections::{HashMap, HashSet};

use crate::history::{Belief, History, Key, Operation, Outcome, Step};
use crate::spec::{Bound, Property, Violation};

/// Finds beliefs that overlap ([`Property::Me2`]) and grants that came too late
/// ([`Property::Ls2`]).
///
/// Of each key and property it gives the first violation, and of two beliefs at once both the first
/// between clients and the first between tasks of one client. Beliefs overlap if one begins before
/// the other's end. One that ends as it begins came too late, unless its task gave the lock back at
/// that very moment. The culprits are the acquires of the tokens; where there are none, also what
/// shows how it came about: the release by somebody else that let the second in, and the end of the
/// first.
///
/// A holder from whom the lock was taken by force is told a moment later, so its belief is passed
/// over; where it is not known who that was, all beliefs in that lock are.
#[must_use]
pub fn check(history: &History) -> Vec<Violation> {
    let forced = Forced::new(history);
    let counts = |belief: &&Belief| !forced.concerns(belief);
    let mut beliefs: Vec<&Belief> = history.beliefs().iter().filter(counts).collect();
    beliefs.sort_by_key(|belief| (belief.key, belief.from, belief.until));
    let mut found = Vec::new();
    for of_key in beliefs.chunk_by(|one, other| one.key == other.key) {
        found.extend(overlaps(history, of_key));
    }
    found.extend(late(history, &beliefs));
    found
}

/// The leases that were ended by force.
#[derive(Default)]
struct Forced {
    leases: HashSet<(Key, u64)>,
    /// Locks of which it is not known whose lease that was.
    unknown: HashSet<Key>,
}

impl Forced {
    fn new(history: &History) -> Self {
        let mut forced = Self::default();
        for force in history.operations() {
            if force.step != Step::ForceRelease {
                continue;
            }
            let _new = match force.outcome {
                Outcome::Done if force.token != 0 => forced.leases.insert((force.key, force.token)),
                Outcome::Done | Outcome::Unknown => forced.unknown.insert(force.key),
                Outcome::NotApplied | Outcome::Refused => false,
            };
        }
        forced
    }

    fn concerns(&self, belief: &Belief) -> bool {
        self.unknown.contains(&belief.key) || self.leases.contains(&(belief.key, belief.token))
    }
}

/// The first two beliefs at once, between clients and between tasks of a client.
fn overlaps(history: &History, beliefs: &[&Belief]) -> Vec<Violation> {
    let mut by_client: Longest<'_, u32> = Longest::default();
    let mut by_task: HashMap<u32, Longest<'_, u16>> = HashMap::new();
    let (mut strangers, mut siblings) = (None, None);
    for belief in beliefs.iter().copied().filter(|b| b.until > b.from) {
        let tasks = by_task.entry(belief.client).or_default();
        let is_open = |other: &&Belief| other.until > belief.from;
        if strangers.is_none() {
            let other = by_client.other_than(belief.client).filter(is_open);
            strangers = other.map(|other| (other, belief));
        }
        if siblings.is_none() {
            let other = tasks.other_than(belief.task).filter(is_open);
            siblings = other.map(|other| (other, belief));
        }
        by_client.add(belief.client, belief);
        tasks.add(belief.task, belief);
    }
    let pairs = [strangers, siblings].into_iter().flatten();
    pairs
        .map(|(one, other)| {
            let mut found = violation(history, Property::Me2, &[one, other]);
            if (one.token, other.token) == (0, 0) {
                found.culprits.extend(releases(history, one, other));
            }
            found
        })
        .collect()
}

/// The last release by somebody else between the beginnings of two beliefs at once, and that with
/// which the first of them ended.
fn releases(history: &History, one: &Belief, other: &Belief) -> Vec<usize> {
    let asked = acquire(history, other).and_then(|at| history.operations().get(at));
    let granted = asked.map_or(other.from, |o| o.returned);
    let operations = history.operations().iter().enumerate();
    let releases = operations
        .filter(|(_, o)| o.key == one.key && matches!(o.step, Step::CommitRelease | Step::Release));
    let is_own = |o: &Operation| (o.client, o.task) == (one.client, one.task);
    let between =
        |o: &Operation| o.outcome == Outcome::Done && o.invoked > one.from && o.invoked < granted;
    let mut by_another = None;
    let mut own = None;
    for (at, o) in releases {
        match is_own(o) {
            true if o.invoked > other.from && own.is_none() => own = Some(at),
            false if between(o) => by_another = Some(at),
            _ => {}
        }
    }
    by_another.into_iter().chain(own).collect()
}

/// The belief that lasts longest, and the one that does among all others' beliefs.
struct Longest<'a, T> {
    first: Option<(T, &'a Belief)>,
    second: Option<(T, &'a Belief)>,
}

impl<T> Default for Longest<'_, T> {
    fn default() -> Self {
        Self {
            first: None,
            second: None,
        }
    }
}

impl<'a, T: Copy + PartialEq> Longest<'a, T> {
    fn other_than(&self, who: T) -> Option<&'a Belief> {
        let both = [self.first, self.second].into_iter().flatten();
        let mut others = both.filter(|(other, _)| *other != who);
        others.next().map(|(_, belief)| belief)
    }

    fn add(&mut self, who: T, belief: &'a Belief) {
        let new = Some((who, belief));
        let is_longer =
            |than: Option<(T, &Belief)>| than.is_none_or(|(_, b)| belief.until > b.until);
        let is_of_first = self.first.is_some_and(|(first, _)| first == who);
        if is_longer(self.first) {
            if !is_of_first {
                self.second = self.first;
            }
            self.first = new;
        } else if !is_of_first && is_longer(self.second) {
            self.second = new;
        }
    }
}

/// The first grant of each key that came too late.
fn late(history: &History, beliefs: &[&Belief]) -> Vec<Violation> {
    let late = beliefs.iter().copied().filter(|b| b.until <= b.from);
    let mut late: Vec<&Belief> = late.collect();
    if late.iter().any(|belief| belief.until == belief.from) {
        let ends: HashSet<(Key, u32, u16, u64, u64)> = history
            .operations()
            .iter()
            .filter(|o| matches!(o.step, Step::CommitRelease | Step::Release))
            .map(|o| (o.key, o.client, o.task, o.token, o.invoked))
            .collect();
        let is_given_back =
            |b: &&Belief| ends.contains(&(b.key, b.client, b.task, b.token, b.until));
        late.retain(|belief| belief.until < belief.from || !is_given_back(belief));
    }
    late.dedup_by_key(|belief| belief.key);
    late.iter()
        .map(|belief| violation(history, Property::Ls2, &[*belief]))
        .collect()
}

fn violation(history: &History, property: Property, beliefs: &[&Belief]) -> Violation {
    let culprits: Vec<usize> = beliefs.iter().filter_map(|b| acquire(history, b)).collect();
    Violation::new(property, Bound::Untimed, &culprits)
}

/// The acquire that a belief comes from: the last of its task under its token before it began.
fn acquire(history: &History, belief: &Belief) -> Option<usize> {
    let operations = history.operations().iter().enumerate();
    let granted = operations.filter(|(_, o)| {
        (o.step, o.outcome) == (Step::Acquire, Outcome::Done)
            && (o.key, o.client, o.task) == (belief.key, belief.client, belief.task)
            && o.token == belief.token
            && o.invoked <= belief.from
    });
    granted.max_by_key(|(_, o)| o.invoked).map(|(at, _)| at)
}

#[cfg(test)]
mod tests;
