//! What a key's operations say of each lease, gathered by token.
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "leases were numbered here; counts are of things in memory"
)]

use super::Part;
use crate::history::{Operation, Outcome, Step, Value};
use crate::spec::{Bound, Property, Violation};

/// No operation.
pub(super) const NONE: u32 = u32::MAX;

/// What is known of one lease.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) token: u64,
    pub(super) grant: u32,
    /// It must have started by then: the first return of its grant and its steps.
    pub(super) limit: u64,
    pub(super) limit_by: u32,
    /// It lasted until then at least: the last invocation of a step under it.
    pub(super) reach: u64,
    pub(super) reach_by: u32,
    /// It lasts so long from its start, by grant or renewal.
    pub(super) length: u64,
    /// It lasts until then, by a renewal.
    pub(super) renewed: u64,
    pub(super) renewed_by: u32,
    /// What ended it, if anything was answered that it did.
    pub(super) release: u32,
    /// It was over by then: the first return of a refused step under it.
    pub(super) cap: u64,
    pub(super) cap_by: u32,
    /// What refusals add: no earlier start, no earlier end.
    pub(super) floor_start: u64,
    pub(super) floor_start_by: u32,
    pub(super) floor_end: u64,
    pub(super) floor_end_by: u32,
    /// The earliest moments: of its start, of all its steps, of its end.
    pub(super) start: u64,
    pub(super) base: u64,
    pub(super) end: u64,
}

impl Lease {
    const fn new(token: u64, grant: u32, limit: u64, length: u64) -> Self {
        Self {
            token,
            grant,
            limit,
            limit_by: grant,
            reach: 0,
            reach_by: NONE,
            length,
            renewed: 0,
            renewed_by: NONE,
            release: NONE,
            cap: u64::MAX,
            cap_by: NONE,
            floor_start: 0,
            floor_start_by: NONE,
            floor_end: 0,
            floor_end_by: NONE,
            start: 0,
            base: 0,
            end: 0,
        }
    }

    /// A step that was done under it.
    pub(super) const fn must_last(&mut self, invoked: u64, returned: u64, by: u32) {
        if returned < self.limit {
            (self.limit, self.limit_by) = (returned, by);
        }
        if self.reach_by == NONE || invoked > self.reach {
            (self.reach, self.reach_by) = (invoked, by);
        }
    }
}

/// All that a key's operations say of its leases.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// By token.
    pub(super) leases: Vec<Lease>,
    /// Done and unknown commits: lease and operation.
    pub(super) commits: Vec<(u32, u32)>,
    pub(super) peeks: Vec<u32>,
    /// Releases of unknown effect: lease and operation. Commits that release are among the commits.
    pub(super) unknown_ends: Vec<(u32, u32)>,
    /// Refused steps that may have come before the grant of their token: lease and operation.
    pub(super) early_refusals: Vec<(u32, u32)>,
    /// Forced releases that found nobody.
    pub(super) found_free: Vec<u32>,
    pub(super) unknown_acquires: usize,
    pub(super) ended_by_unknown_force: bool,
}

impl Gathered {
    pub(super) fn new(part: Part<'_>, bound: Bound) -> Result<Self, Violation> {
        let mut gathered = Self::default();
        for (at, operation) in part.iter() {
            if operation.step == Step::Acquire && operation.outcome == Outcome::Done {
                let length = bound.at_least(operation.ttl_ns);
                let (token, limit) = (operation.token, operation.returned);
                gathered.leases.push(Lease::new(token, at, limit, length));
            }
        }
        let leases = &mut gathered.leases;
        if !leases.is_sorted_by_key(|lease| lease.token) {
            leases.sort_by_key(|lease| lease.token);
        }
        for pair in leases.windows(2) {
            if let [one, other] = pair
                && one.token == other.token
            {
                let culprits = [one.grant, other.grant].map(index);
                return Err(Violation::new(Property::Tk2, bound, &culprits));
            }
        }
        if let Some(first) = leases.first().filter(|lease| lease.token == 0) {
            let culprits = [index(first.grant)];
            return Err(Violation::new(Property::Tk1, bound, &culprits));
        }
        if let Some(culprits) = out_of_order(part, &gathered.leases) {
            return Err(Violation::new(Property::Tk1, bound, &culprits.map(index)));
        }
        let mut hint = 0;
        for (at, operation) in part.iter() {
            gathered.add(part, bound, at, operation, &mut hint)?;
        }
        Ok(gathered)
    }

    fn add(
        &mut self,
        part: Part<'_>,
        bound: Bound,
        at: u32,
        operation: &Operation,
        hint: &mut usize,
    ) -> Result<(), Violation> {
        match (operation.step, operation.outcome) {
            (Step::Acquire, Outcome::Unknown) => self.unknown_acquires += 1,
            (Step::Acquire, _) | (_, Outcome::NotApplied) => {}
            (Step::Peek, outcome) => {
                if outcome == Outcome::Done && operation.value != Value::UNSEEN {
                    self.peeks.push(at);
                }
            }
            (Step::ForceRelease, Outcome::Unknown) => self.ended_by_unknown_force = true,
            (Step::ForceRelease, Outcome::Refused) => self.found_free.push(at),
            (Step::ForceRelease, Outcome::Done) if operation.token == 0 => {
                self.ended_by_unknown_force = true;
            }
            // It ends a lease whose grant nobody saw, if it ends any.
            (Step::Release, _) if operation.token == 0 => {}
            (step, outcome) => match self.find(operation.token, hint) {
                Some(lease) => self.add_under(lease, part, bound, at, operation)?,
                None if outcome == Outcome::Done => {
                    let is_commit = matches!(step, Step::Commit | Step::CommitRelease);
                    let property = if is_commit {
                        Property::Fn1
                    } else {
                        Property::Ow1
                    };
                    let near = self.leases.get(*hint).map(|lease| index(lease.grant));
                    let mut culprits = vec![index(at)];
                    culprits.extend(near);
                    return Err(Violation::new(property, bound, &culprits));
                }
                None => {}
            },
        }
        Ok(())
    }

    /// A renew, commit, release or forced release under a token that was granted.
    fn add_under(
        &mut self,
        lease: usize,
        part: Part<'_>,
        bound: Bound,
        at: u32,
        operation: &Operation,
    ) -> Result<(), Violation> {
        let number = u32::try_from(lease).unwrap_or(NONE);
        let of = &mut self.leases[lease];
        let (invoked, returned) = (operation.invoked, operation.returned);
        match (operation.step, operation.outcome) {
            (_, Outcome::Refused) => {
                let granted = part.get(of.grant).map_or(0, |grant| grant.returned);
                if invoked <= granted {
                    self.early_refusals.push((number, at));
                } else if returned < of.cap {
                    (of.cap, of.cap_by) = (returned, at);
                }
            }
            (Step::Renew, Outcome::Done) => {
                of.must_last(invoked, returned, at);
                let length = bound.at_least(operation.ttl_ns);
                of.length = of.length.max(length);
                let until = invoked.saturating_add(length);
                if until > of.renewed {
                    (of.renewed, of.renewed_by) = (until, at);
                }
            }
            (Step::Commit, Outcome::Done) => {
                of.must_last(invoked, returned, at);
                self.commits.push((number, at));
            }
            (step, Outcome::Done) => {
                of.end_by(at, bound)?;
                if returned < of.limit {
                    (of.limit, of.limit_by) = (returned, at);
                }
                if step == Step::CommitRelease {
                    self.commits.push((number, at));
                }
            }
            (Step::Commit | Step::CommitRelease, _) => self.commits.push((number, at)),
            (Step::Release, _) => self.unknown_ends.push((number, at)),
            _ => {}
        }
        Ok(())
    }

    /// The lease of a token. Operations under a token come soon after its grant, so the search
    /// begins where the last one ended.
    fn find(&self, token: u64, hint: &mut usize) -> Option<usize> {
        seek(&self.leases, hint, |lease| lease.token <= token);
        self.leases
            .get(*hint)
            .filter(|lease| lease.token == token)
            .map(|_| *hint)
    }
}

/// A grant that was asked for after a larger token had been granted, and the grant of that token.
fn out_of_order(part: Part<'_>, leases: &[Lease]) -> Option<[u32; 2]> {
    let mut first = (u64::MAX, NONE);
    for lease in leases.iter().rev() {
        let grant = part.get(lease.grant)?;
        if grant.invoked > first.0 {
            return Some([lease.grant, first.1]);
        }
        if grant.returned < first.0 {
            first = (grant.returned, lease.grant);
        }
    }
    None
}

impl Lease {
    /// Notes what ended it.
    pub(super) fn end_by(&mut self, by: u32, bound: Bound) -> Result<(), Violation> {
        if self.release != NONE {
            let culprits = [self.release, by, self.grant].map(index);
            return Err(Violation::new(Property::Ow1, bound, &culprits));
        }
        self.release = by;
        Ok(())
    }
}

/// Moves `at` to the last item that is `early`, or to the first if none is; early items come first.
pub(super) fn seek<T>(items: &[T], at: &mut usize, early: impl Fn(&T) -> bool) {
    for _ in 0..NEAR {
        if items.get(*at + 1).is_some_and(&early) {
            *at += 1;
        } else if *at > 0 && items.get(*at).is_some_and(|item| !early(item)) {
            *at -= 1;
        } else {
            return;
        }
    }
    *at = items.partition_point(early).saturating_sub(1);
}

/// How far to look around before the whole is searched.
const NEAR: usize = 16;

/// The place of an operation in its history.
pub(super) fn index(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
