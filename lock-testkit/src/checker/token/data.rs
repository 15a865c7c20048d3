//! The chain of committed values of a key, where every value is committed once.
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "leases, commits and links were numbered when they were gathered"
)]

use super::Part;
use super::gather::{Gathered, NONE, index};
use crate::history::{Outcome, Step, Value};
use crate::spec::{Bound, Property, Violation};

/// The commits that took effect, in order.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) links: Vec<Link>,
    /// The last invocation of a peek that read nothing yet, and the peek.
    pub(super) first_read: (u64, u32),
    /// Peeks, each with the number of links before what it read: 0 for the first value.
    pub(super) peeks: Vec<(u32, u32)>,
    /// The last invocation of any peek.
    pub(super) last_peek: u64,
}

/// One commit that took effect.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) lease: u32,
    pub(super) by: u32,
    /// The last invocation of a peek that read its value, and the peek.
    pub(super) read: (u64, u32),
    /// The earliest moment.
    pub(super) at: u64,
}

pub(super) enum Chained {
    /// The pass cannot order the values of this key.
    Beyond(Box<Gathered>),
    Ready(Box<Gathered>, Chain),
    Wrong(Violation),
}

/// Where each value was committed; kept from key to key.
#[derive(Default)]
pub(super) struct Scratch {
    round: u32,
    /// By value: the round in which it was seen, and the number of its commit.
    seen: Vec<(u32, u32)>,
}

impl Scratch {
    fn begin(&mut self) {
        self.round += 1;
    }

    /// `false` if the value was committed before.
    fn insert(&mut self, value: Value, commit: u32) -> bool {
        let at = index(value.number());
        if at >= self.seen.len() {
            self.seen.resize(at + 1, (0, NONE));
        }
        let slot = &mut self.seen[at];
        let is_new = slot.0 != self.round;
        *slot = (self.round, commit);
        is_new
    }

    fn find(&self, value: Value) -> Option<u32> {
        let (round, commit) = *self.seen.get(index(value.number()))?;
        (round == self.round).then_some(commit)
    }
}

/// Orders the commits of a key and holds what its grants and peeks read against that order.
pub(super) fn chain(
    part: Part<'_>,
    bound: Bound,
    mut gathered: Gathered,
    scratch: &mut Scratch,
) -> Chained {
    let invoked = |by: u32| part.get(by).map_or(0, |operation| operation.invoked);
    let value = |by: u32| part.get(by).map_or(Value::UNSEEN, |o| o.value);
    let is_unseen = |by: u32| value(by) == Value::UNSEEN;
    if gathered.commits.iter().all(|(_, by)| is_unseen(*by))
        && gathered.peeks.is_empty()
        && gathered.leases.iter().all(|l| is_unseen(l.grant))
    {
        with_any_end(part, &mut gathered);
        return Chained::Ready(Box::new(gathered), Chain::default());
    }
    let key = |(lease, by): &(u32, u32)| (*lease, invoked(*by));
    if !gathered.commits.is_sorted_by_key(key) {
        gathered.commits.sort_by_key(key);
    }
    scratch.begin();
    let mut ordered = true;
    for (number, (_, by)) in (0_u32..).zip(&gathered.commits) {
        let written = value(*by);
        ordered &= written != Value::NONE && written != Value::UNSEEN;
        ordered = ordered && scratch.insert(written, number);
    }
    ordered &= !gathered.leases.iter().any(|l| is_unseen(l.grant));
    if !ordered {
        with_any_end(part, &mut gathered);
        return Chained::Beyond(Box::new(gathered));
    }
    let applied = applied(part, &gathered, scratch);
    match link(part, bound, &mut gathered, &applied) {
        Ok(Some(mut chain)) => match reads(part, bound, &gathered, &applied, scratch, &mut chain) {
            Ok(()) => Chained::Ready(Box::new(gathered), chain),
            Err(violation) => Chained::Wrong(violation),
        },
        Ok(None) => {
            with_any_end(part, &mut gathered);
            Chained::Beyond(Box::new(gathered))
        }
        Err(violation) => Chained::Wrong(violation),
    }
}

/// Where values do not tell, any commit of unknown effect may have ended its lease.
fn with_any_end(part: Part<'_>, gathered: &mut Gathered) {
    for (lease, by) in &gathered.commits {
        let is_end = part.get(*by).is_some_and(|operation| {
            operation.step == Step::CommitRelease && operation.outcome == Outcome::Unknown
        });
        if is_end {
            gathered.unknown_ends.push((*lease, *by));
        }
    }
    gathered.unknown_ends.sort_unstable();
}

/// Which commits took effect: those that were answered so, and those whose value was read.
fn applied(part: Part<'_>, gathered: &Gathered, scratch: &Scratch) -> Vec<bool> {
    let is_done = |by: u32| part.get(by).is_some_and(|o| o.outcome == Outcome::Done);
    let mut applied: Vec<bool> = gathered
        .commits
        .iter()
        .map(|(_, by)| is_done(*by))
        .collect();
    if applied.iter().any(|applied| !applied) {
        let grants = gathered.leases.iter().map(|lease| lease.grant);
        for by in grants.chain(gathered.peeks.iter().copied()) {
            let commit = part.get(by).and_then(|o| scratch.find(o.value));
            if let Some(commit) = commit {
                applied[index(commit)] = true;
            }
        }
    }
    applied
}

/// The chain of the commits that took effect; `None` if two under one token overlap in time.
fn link(
    part: Part<'_>,
    bound: Bound,
    gathered: &mut Gathered,
    applied: &[bool],
) -> Result<Option<Chain>, Violation> {
    let mut chain = Chain::default();
    let last_lease = u32::try_from(gathered.leases.len()).unwrap_or(NONE);
    let mut returned_before = 0;
    for ((lease, by), applied) in gathered.commits.iter().zip(applied) {
        let Some(operation) = part.get(*by) else {
            continue;
        };
        let is_unknown = operation.outcome == Outcome::Unknown;
        let ends = operation.step == Step::CommitRelease;
        if !applied {
            // A later grant would have read it.
            if ends && lease.saturating_add(1) == last_lease {
                gathered.unknown_ends.push((*lease, *by));
            }
            continue;
        }
        let of = &mut gathered.leases[index(*lease)];
        if is_unknown && ends {
            of.end_by(*by, bound)?;
        }
        let previous = chain.links.last();
        let is_same = previous.is_some_and(|link: &Link| link.lease == *lease);
        if is_same && returned_before >= operation.invoked {
            return Ok(None);
        }
        returned_before = operation.returned;
        chain.links.push(Link {
            lease: *lease,
            by: *by,
            read: (0, NONE),
            at: 0,
        });
    }
    gathered.unknown_ends.sort_unstable();
    Ok(Some(chain))
}

/// Holds what grants and peeks read against the chain.
fn reads(
    part: Part<'_>,
    bound: Bound,
    gathered: &Gathered,
    applied: &[bool],
    scratch: &Scratch,
    chain: &mut Chain,
) -> Result<(), Violation> {
    // The number of links up to each commit.
    let mut upto = Vec::with_capacity(applied.len());
    let mut count = 0_u32;
    for applied in applied {
        count += u32::from(*applied);
        upto.push(count);
    }
    let rank = |value: Value| match value {
        Value::NONE => Some(0),
        value => scratch.find(value).map(|commit| upto[index(commit)]),
    };
    let mut before = 0_usize;
    for (number, lease) in (0_u32..).zip(&gathered.leases) {
        while chain.links.get(before).is_some_and(|l| l.lease < number) {
            before += 1;
        }
        let Some(grant) = part.get(lease.grant) else {
            continue;
        };
        let read = rank(grant.value).map(index);
        if read != Some(before) {
            return Err(misread(part, bound, chain, lease.grant, read, before));
        }
    }
    for by in &gathered.peeks {
        let Some(peek) = part.get(*by) else { continue };
        let Some(rank) = rank(peek.value) else {
            return Err(misread(part, bound, chain, *by, None, chain.links.len()));
        };
        let token = index(rank).checked_sub(1).map_or(0, |link| {
            let lease = chain.links[link].lease;
            gathered.leases[index(lease)].token
        });
        if peek.token != 0 && peek.token != token {
            let writer = index(rank).checked_sub(1).map(|l| index(chain.links[l].by));
            let mut culprits = vec![index(*by)];
            culprits.extend(writer);
            return Err(Violation::new(Property::Fn3, bound, &culprits));
        }
        chain.peeks.push((rank, *by));
        chain.last_peek = chain.last_peek.max(peek.invoked);
        let read = match index(rank).checked_sub(1) {
            Some(link) => &mut chain.links[link].read,
            None => &mut chain.first_read,
        };
        if read.1 == NONE || peek.invoked >= read.0 {
            *read = (peek.invoked, *by);
        }
    }
    Ok(())
}

/// Why a grant or peek cannot have read what it did: `read` links in rather than `before`.
fn misread(
    part: Part<'_>,
    bound: Bound,
    chain: &Chain,
    by: u32,
    read: Option<usize>,
    before: usize,
) -> Violation {
    let link = |count: usize| count.checked_sub(1).and_then(|at| chain.links.get(at));
    let read_at = part
        .get(by)
        .map_or((0, Value::UNSEEN, 0), |o| (o.invoked, o.value, o.returned));
    let missed = link(before);
    let mut culprits = vec![index(by)];
    let property = match read {
        // A value that nobody is known to have written, unless a refused commit did.
        None => {
            let wrote = part.iter().find(|(_, operation)| {
                matches!(operation.step, Step::Commit | Step::CommitRelease)
                    && operation.value == read_at.1
            });
            culprits.extend(wrote.map(|(at, _)| index(at)));
            culprits.extend(missed.map(|link| index(link.by)));
            match wrote {
                // Its writer was told that it certainly had no effect.
                Some((_, commit)) if commit.outcome == Outcome::NotApplied => Property::Er1,
                Some(_) => Property::Fn4,
                None => Property::Fn3,
            }
        }
        // A value older than the last one.
        Some(read) if read < before => {
            culprits.extend(missed.map(|link| index(link.by)));
            culprits.extend(link(read).map(|link| index(link.by)));
            match missed.and_then(|link| part.get(link.by)) {
                // It was not even asked for when this token was granted.
                Some(commit) if commit.invoked > read_at.2 => Property::Fn1,
                // It was checked before the grant, and written after it.
                Some(commit) if commit.returned >= read_at.0 => Property::Fn4,
                _ => Property::Fn2,
            }
        }
        // A value committed under its own token or a larger one.
        Some(read) => {
            culprits.extend(link(read).map(|link| index(link.by)));
            Property::Fn1
        }
    };
    Violation::new(property, bound, &culprits)
}
