//! The earliest moments at which leases can have started and ended.
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "leases and links were numbered when they were gathered; this is the hot loop"
)]

use super::Part;
use super::blame::Blame;
use super::data::Chain;
use super::gather::{Gathered, Lease, NONE, index, seek};
use super::ghosts::Ghosts;
use crate::history::{Operation, Outcome, Step};
use crate::spec::{Bound, Violation};

/// Raises lower bounds until all hold, or one is above what it may be.
pub(super) struct Solver<'a> {
    pub(super) part: Part<'a>,
    pub(super) bound: Bound,
    pub(super) leases: Vec<Lease>,
    pub(super) chain: Chain,
    pub(super) unknown_ends: Vec<(u32, u32)>,
    early_refusals: Vec<(u32, u32)>,
    found_free: Vec<u32>,
    ghosts: Ghosts,
    may_have_ghosts: bool,
}

/// Why the end of a lease is too late.
pub(super) enum EndFailure {
    /// A step under it was refused before.
    Capped,
    /// What ended it had returned before.
    Ended,
}

impl<'a> Solver<'a> {
    pub(super) fn new(part: Part<'a>, bound: Bound, gathered: Gathered, chain: Chain) -> Self {
        Self {
            part,
            bound,
            leases: gathered.leases,
            chain,
            unknown_ends: gathered.unknown_ends,
            early_refusals: gathered.early_refusals,
            found_free: gathered.found_free,
            ghosts: Ghosts::default(),
            may_have_ghosts: gathered.unknown_acquires > 0,
        }
    }

    pub(super) fn run(&mut self) -> Result<(), Violation> {
        if self.may_have_ghosts && self.found_free.is_empty() {
            self.ghosts = Ghosts::new(self.part);
        }
        loop {
            self.forward()?;
            // Each of these needs that no bound is still to be passed on.
            if !self.refusals()? && !self.early_refusals() && !self.found_free() {
                return Ok(());
            }
        }
    }

    pub(super) fn operation(&self, at: u32) -> Option<&'a Operation> {
        self.part.get(at)
    }

    pub(super) fn invoked(&self, at: u32) -> u64 {
        self.operation(at).map_or(0, |operation| operation.invoked)
    }

    pub(super) fn returned(&self, at: u32) -> u64 {
        self.operation(at).map_or(u64::MAX, |o| o.returned)
    }

    /// One pass over the leases by token, and over the commits under them.
    fn forward(&mut self) -> Result<(), Violation> {
        let (mut ended, mut committed, mut link) = (0, 0, 0);
        let mut read = self.chain.first_read.0;
        for at in 0..self.leases.len() {
            let lease = &self.leases[at];
            let start = self.invoked(lease.grant).max(ended).max(lease.floor_start);
            if start > lease.limit {
                self.leases[at].start = start;
                return Err(Blame(self).late_start(at));
            }
            let mut base = start.max(lease.reach);
            while let Some(next) = self.chain.links.get(link).filter(|l| index(l.lease) == at) {
                let mut moment = self.invoked(next.by).max(start).max(committed).max(read);
                if next.by == self.leases[at].release {
                    // It is the end, after all other steps; whether it can be is asked below.
                    moment = moment.max(base).max(self.leases[at].floor_end);
                } else if moment > self.returned(next.by) {
                    return Err(Blame(self).late_commit(link, read));
                }
                (committed, read) = (moment, read.max(next.read.0));
                base = base.max(moment);
                self.chain.links[link].at = moment;
                link += 1;
            }
            let lease = &mut self.leases[at];
            (lease.start, lease.base) = (start, base);
            ended = match self.end(at) {
                (end, None) => end,
                (end, Some(failure)) => {
                    self.leases[at].end = end;
                    return Err(Blame(self).late_end(at, &failure));
                }
            };
            self.leases[at].end = ended;
        }
        for (rank, by) in &self.chain.peeks {
            let written = index(*rank)
                .checked_sub(1)
                .map(|link| &self.chain.links[link]);
            if let Some(link) = written.filter(|link| link.at > self.returned(*by)) {
                return Err(Blame(self).early_read(link.by, *by));
            }
        }
        Ok(())
    }

    /// The earliest end of a lease that has its start, and why it cannot be.
    fn end(&self, at: usize) -> (u64, Option<EndFailure>) {
        let lease = &self.leases[at];
        let base = lease.base.max(lease.floor_end);
        let end = if lease.release == NONE {
            let expiry = base
                .max(lease.start.saturating_add(lease.length))
                .max(lease.renewed);
            self.end_by_unknown(at, base)
                .map_or(expiry, |end| end.min(expiry))
        } else {
            let end = base.max(self.invoked(lease.release));
            if end > self.returned(lease.release) {
                return (end, Some(EndFailure::Ended));
            }
            end
        };
        (end, (end > lease.cap).then_some(EndFailure::Capped))
    }

    /// The earliest end by a release whose effect is unknown.
    fn end_by_unknown(&self, at: usize, base: u64) -> Option<u64> {
        if self.unknown_ends.is_empty() {
            return None;
        }
        let first = self.unknown_ends.partition_point(|(l, _)| index(*l) < at);
        let of_lease = self.unknown_ends[first..]
            .iter()
            .take_while(|(l, _)| index(*l) == at);
        of_lease
            .filter_map(|(_, by)| {
                let operation = self.operation(*by)?;
                let mut end = base.max(operation.invoked);
                if operation.step == Step::CommitRelease {
                    // Whoever peeked did not read what it wrote.
                    end = end.max(self.chain.last_peek);
                }
                (end <= operation.returned).then_some(end)
            })
            .min()
    }

    /// A refused acquire met a lease: the last one that can have started before it returned had not
    /// ended when it was invoked. Whether a bound is still to be passed on.
    fn refusals(&mut self) -> Result<bool, Violation> {
        let mut again = false;
        let mut at = 0;
        self.ghosts.forget();
        for (by, operation) in self.part.iter() {
            if operation.step != Step::Acquire || operation.outcome != Outcome::Refused {
                continue;
            }
            seek(&self.leases, &mut at, |lease| {
                lease.start <= operation.returned
            });
            let Some(lease) = self.leases.get(at) else {
                if self.ghosts.explain(operation, None, None) {
                    continue;
                }
                return Err(Blame(self).refused_while_free(by, None));
            };
            if lease.start > operation.returned {
                if self.ghosts.explain(operation, None, Some(lease)) {
                    continue;
                }
                return Err(Blame(self).refused_while_free(by, None));
            }
            if lease.end >= operation.invoked {
                continue;
            }
            let next = self.leases.get(at + 1);
            if self.ghosts.explain(operation, Some(lease), next) {
                continue;
            }
            let lease = &mut self.leases[at];
            (lease.floor_end, lease.floor_end_by) = (operation.invoked, by);
            let (end, failure) = self.end(at);
            if failure.is_some() {
                return Err(Blame(self).refused_while_free(by, Some(at)));
            }
            let lease = &mut self.leases[at];
            lease.end = end;
            let ends_by_commit = self.part.get(lease.release);
            // The commit moves with the end, which only peeks can tell: the next one comes later.
            again |= !self.chain.peeks.is_empty()
                && ends_by_commit.is_some_and(|o| o.step == Step::CommitRelease);
            again |= self.leases.get(at + 1).is_some_and(|next| next.start < end);
        }
        Ok(again)
    }

    /// A refused step that may have come before the grant of its token, or after the lease's end.
    fn early_refusals(&mut self) -> bool {
        let mut again = false;
        for (lease, by) in &self.early_refusals {
            let Some(operation) = self.part.get(*by) else {
                continue;
            };
            let lease = &mut self.leases[index(*lease)];
            if operation.returned < lease.end && operation.invoked > lease.start {
                (lease.floor_start, lease.floor_start_by) = (operation.invoked, *by);
                again = true;
            }
        }
        again
    }

    /// A forced release that found nobody met a gap: the first lease that cannot have ended before
    /// it returned had not started when it was invoked.
    fn found_free(&mut self) -> bool {
        let mut again = false;
        for by in &self.found_free {
            let Some(operation) = self.part.get(*by) else {
                continue;
            };
            let at = self.leases.partition_point(|l| l.end <= operation.returned);
            if let Some(lease) = self.leases.get_mut(at)
                && lease.start < operation.invoked
            {
                (lease.floor_start, lease.floor_start_by) = (operation.invoked, *by);
                again = true;
            }
        }
        again
    }
}
