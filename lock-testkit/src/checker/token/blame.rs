//! Who is to blame when a bound cannot be kept.
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "leases and links were numbered when they were gathered"
)]

use super::Part;
use super::gather::{NONE, index};
use super::solve::{EndFailure, Solver};
use crate::history::{Outcome, Step};
use crate::spec::{Bound, Property, Violation};

/// Reads the cause of a failure off the bounds.
pub(super) struct Blame<'s, 'a>(pub(super) &'s Solver<'a>);

/// What set a moment.
#[derive(Clone, Copy)]
enum Cause {
    /// A commit that a read forbids to come earlier.
    Data(u32),
    /// The grant's own invocation.
    Grant(u32),
    /// A refusal that needs the lock held, or free, or lost.
    Refusal(u32),
    /// The length of the lease, by a renewal.
    Renewed(u32),
    /// A step that was done under the token.
    Step(u32),
    /// The length of the lease, by its grant.
    Time(u32),
}

impl Cause {
    const fn by(self) -> u32 {
        match self {
            Self::Data(by)
            | Self::Grant(by)
            | Self::Refusal(by)
            | Self::Renewed(by)
            | Self::Step(by)
            | Self::Time(by) => by,
        }
    }
}

impl Blame<'_, '_> {
    /// A lease must have started before it can have.
    pub(super) fn late_start(&self, at: usize) -> Violation {
        let lease = &self.0.leases[at];
        let proof = at
            .checked_sub(1)
            .and_then(|at| self.without_clocks(at, lease.limit));
        let cause = proof.unwrap_or_else(|| self.start_cause(at));
        let others = at.checked_sub(1).map(|before| self.0.leases[before].grant);
        let window = self.window(at);
        let suspect = others.and_then(|_| self.suspect(window, at.saturating_sub(1)));
        let property = match cause {
            Cause::Data(_) => Property::Fn2,
            Cause::Grant(_) => Property::Tk1,
            Cause::Refusal(by) => self.refusal(by),
            Cause::Renewed(_) | Cause::Time(_) if suspect.is_some() => Property::Me1,
            Cause::Renewed(_) => Property::Ls3,
            Cause::Step(by) => self.acted(by),
            Cause::Time(_) => Property::Ls1,
        };
        let is_time = matches!(cause, Cause::Renewed(_) | Cause::Time(_));
        let suspect = suspect.filter(|_| is_time);
        let culprits = [Some(cause.by()), Some(lease.limit_by), suspect, others];
        self.violation(property, &culprits)
    }

    /// A lease had ended before it can have.
    pub(super) fn late_end(&self, at: usize, failure: &EndFailure) -> Violation {
        let lease = &self.0.leases[at];
        let limit = match failure {
            EndFailure::Capped => lease.cap,
            EndFailure::Ended => self.0.returned(lease.release),
        };
        let proof = self.without_clocks(at, limit);
        let cause = proof.unwrap_or_else(|| self.end_cause(at));
        let (proof, told) = match failure {
            EndFailure::Capped => (lease.cap_by, Property::Ow2),
            EndFailure::Ended => (lease.release, Property::Ow1),
        };
        let suspect = self.suspect((lease.start, lease.cap), at);
        let is_time = matches!(cause, Cause::Renewed(_) | Cause::Time(_));
        let suspect = suspect.filter(|_| is_time);
        let property = match (cause, failure) {
            (Cause::Data(_), EndFailure::Ended) => Property::Fn2,
            (Cause::Refusal(by), _) => self.refusal(by),
            (Cause::Renewed(_) | Cause::Time(_), _) if suspect.is_some() => self.stolen(at),
            (Cause::Renewed(_), _) => Property::Ls3,
            (Cause::Time(_), _) => Property::Ls1,
            (Cause::Step(by), EndFailure::Ended) => self.acted(by),
            (Cause::Data(_) | Cause::Grant(_) | Cause::Step(_), _) => told,
        };
        let next = self.0.leases.get(at + 1).map(|next| next.grant);
        let proof = next.filter(|_| property == Property::Me1).unwrap_or(proof);
        let culprits = [Some(cause.by()), Some(proof), suspect, Some(lease.grant)];
        self.violation(property, &culprits)
    }

    /// A commit returned before a read that did not see it, or before the commit that it follows.
    pub(super) fn late_commit(&self, at: usize, read: u64) -> Violation {
        let links = &self.0.chain.links;
        let link = &links[at];
        let before = links[..at].iter().map(|link| link.read);
        let mut reads = before.chain([self.0.chain.first_read]);
        let reader = reads.find(|(invoked, by)| *by != NONE && *invoked == read);
        let late_read = reader.filter(|_| read > self.0.returned(link.by));
        let other = match late_read {
            Some((_, by)) => Some(by),
            None => at.checked_sub(1).map(|before| links[before].by),
        };
        self.violation(Property::Fn2, &[Some(link.by), other])
    }

    /// A value was read before it can have been committed.
    pub(super) fn early_read(&self, commit: u32, peek: u32) -> Violation {
        self.violation(Property::Fn2, &[Some(peek), Some(commit)])
    }

    /// An acquire was refused after a lease must have ended, before the next can have started.
    pub(super) fn refused_while_free(&self, by: u32, at: Option<usize>) -> Violation {
        let lease = at.and_then(|at| self.0.leases.get(at));
        let proof = lease.map(|lease| match lease.release {
            NONE => lease.cap_by,
            release => release,
        });
        let next = at.map_or(0, |at| at + 1);
        let next = self.0.leases.get(next).map(|lease| lease.grant);
        let proof = proof.filter(|proof| *proof != NONE);
        self.violation(Property::Er1, &[Some(by), proof, next])
    }

    /// What shows, whatever clocks do, that a lease had not ended by a moment.
    fn without_clocks(&self, at: usize, moment: u64) -> Option<Cause> {
        let lease = &self.0.leases[at];
        let is_later = |by: u32| by != NONE && self.0.invoked(by) > moment;
        if is_later(lease.grant) {
            return Some(Cause::Grant(lease.grant));
        }
        let steps = [lease.reach_by, lease.release];
        steps.into_iter().find(|by| is_later(*by)).map(Cause::Step)
    }

    fn start_cause(&self, at: usize) -> Cause {
        let lease = &self.0.leases[at];
        let start = lease.start;
        if self.0.invoked(lease.grant) == start {
            return Cause::Grant(lease.grant);
        }
        if lease.floor_start_by != NONE && lease.floor_start == start {
            return Cause::Refusal(lease.floor_start_by);
        }
        match at.checked_sub(1) {
            Some(before) => self.end_cause(before),
            None => Cause::Grant(lease.grant),
        }
    }

    fn end_cause(&self, mut at: usize) -> Cause {
        loop {
            let lease = &self.0.leases[at];
            let end = lease.end;
            if lease.release != NONE && self.0.invoked(lease.release) == end {
                return Cause::Step(lease.release);
            }
            if lease.reach_by != NONE && lease.reach == end {
                return Cause::Step(lease.reach_by);
            }
            let links = self.0.chain.links.iter();
            let mut links = links.filter(|link| index(link.lease) == at && link.at == end);
            if end > lease.start
                && let Some(link) = links.next()
            {
                return match self.0.invoked(link.by) == end {
                    true => Cause::Step(link.by),
                    false => Cause::Data(link.by),
                };
            }
            if lease.floor_end_by != NONE && lease.floor_end == end {
                return Cause::Refusal(lease.floor_end_by);
            }
            if end > lease.base && lease.renewed_by != NONE && lease.renewed == end {
                return Cause::Renewed(lease.renewed_by);
            }
            if end > lease.start {
                return Cause::Time(lease.grant);
            }
            // It can have ended as soon as it started.
            if self.0.invoked(lease.grant) == end || at == 0 {
                return Cause::Grant(lease.grant);
            }
            if lease.floor_start_by != NONE && lease.floor_start == end {
                return Cause::Refusal(lease.floor_start_by);
            }
            at -= 1;
        }
    }

    /// What a step that acted for a token that was not the present one breaks.
    fn acted(&self, by: u32) -> Property {
        match self.0.operation(by).map(|operation| operation.step) {
            Some(Step::Commit | Step::CommitRelease) => Property::Fn1,
            _ => Property::Ow1,
        }
    }

    fn refusal(&self, by: u32) -> Property {
        match self.0.operation(by).map(|operation| operation.step) {
            Some(Step::Acquire) => Property::Er1,
            _ => Property::Ow2,
        }
    }

    /// What a release under another token breaks that ended a lease: if somebody was granted the lock
    /// within that lease, there were two holders.
    fn stolen(&self, at: usize) -> Property {
        let lease = &self.0.leases[at];
        let end = lease.start.saturating_add(lease.length).max(lease.renewed);
        match self.0.leases.get(at + 1) {
            Some(next) if next.limit < end => Property::Me1,
            _ => Property::Ow1,
        }
    }

    /// The time in which something may have ended the lease before this one.
    fn window(&self, at: usize) -> (u64, u64) {
        let before = at.checked_sub(1).map_or(0, |at| self.0.leases[at].start);
        (before, self.0.leases[at].limit)
    }

    /// A release under another token that may have ended this lease: one whose own lease can have
    /// run out before the next was granted, so that nothing else needed it.
    fn suspect(&self, window: (u64, u64), at: usize) -> Option<u32> {
        let token = self.0.leases[at].token;
        let is_needed = |token: u64| {
            let leases = &self.0.leases;
            let own = leases.partition_point(|lease| lease.token < token);
            let (own, next) = (leases.get(own), leases.get(own + 1));
            own.zip(next).is_some_and(|(own, next)| {
                let ran_out = own.start.saturating_add(own.length).max(own.renewed);
                own.token == token && ran_out > next.limit
            })
        };
        let mut all = self.0.part.iter();
        let found = all.find(|(_, operation)| {
            matches!(
                operation.step,
                Step::CommitRelease | Step::ForceRelease | Step::Release
            ) && matches!(operation.outcome, Outcome::Done | Outcome::Unknown)
                && operation.token < token
                && operation.returned >= window.0
                && operation.invoked <= window.1
                && !is_needed(operation.token)
        });
        found.map(|(by, _)| by)
    }

    fn violation(&self, property: Property, culprits: &[Option<u32>]) -> Violation {
        let culprits: Vec<usize> = culprits.iter().flatten().copied().map(index).collect();
        Violation::new(property, self.0.bound, &culprits)
    }
}

/// The violation where only the general checker found one: the operation that could not return, and
/// the one that returned last before it.
pub(super) fn stuck(part: Part<'_>, bound: Bound, stuck: u32) -> Violation {
    let Some(operation) = part.get(stuck) else {
        return Violation::new(Property::Er1, bound, &[]);
    };
    let property = match (operation.step, operation.outcome) {
        (Step::Acquire, Outcome::Refused) => Property::Er1,
        (Step::Acquire, _) => Property::Me1,
        (Step::Peek, _) => Property::Fn2,
        (Step::Commit | Step::CommitRelease, Outcome::Done) => Property::Fn1,
        (_, Outcome::Refused) => Property::Ow2,
        (_, _) => Property::Ow1,
    };
    let earlier = part
        .iter()
        .filter(|(at, other)| *at != stuck && other.returned <= operation.returned);
    let before = earlier.max_by_key(|(_, other)| other.returned);
    let mut culprits = vec![index(stuck)];
    culprits.extend(before.map(|(at, _)| index(at)));
    Violation::new(property, bound, &culprits)
}
