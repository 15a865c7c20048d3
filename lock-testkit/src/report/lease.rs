//! [`LeaseBar`]: what a history says of how long each lease was in force.

use std::collections::HashMap;

use crate::history::{History, Key, NEVER, Operation, Outcome, Step};
use crate::spec::Bound;

/// One lease over time. From `from` on it may be held, from `sure_from` to `sure_until` it must be,
/// from then to `until` it may be, and then it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeaseBar {
    pub(super) key: Key,
    pub(super) token: u64,
    /// The place of its grant.
    pub(super) grant: usize,
    pub(super) from: u64,
    pub(super) sure_from: u64,
    pub(super) sure_until: u64,
    /// [`NEVER`] if nothing shows that it ended.
    pub(super) until: u64,
}

/// The leases that were granted under the tokens that are wanted, in the order of their grants.
///
/// Where a history is wrong its leases contradict each other, and then each is shown as it should
/// have been: for as long as the bound promises unless its own holder ended it.
pub(super) fn bars(
    history: &History,
    bound: Bound,
    wanted: impl Fn(Key, u64) -> bool,
) -> Vec<LeaseBar> {
    let grants = all_grants(history);
    let mut bars = Vec::new();
    let mut by_token: HashMap<_, Vec<usize>> = HashMap::new();
    for (of_key, place) in grants
        .values()
        .flat_map(|g| (0..g.len()).map(move |at| (g, at)))
    {
        let Some((grant, operation)) = of_key.get(place).copied() else {
            continue;
        };
        if !wanted(operation.key, operation.token) {
            continue;
        }
        let entry = by_token.entry(lease_of(operation));
        entry.or_default().push(bars.len());
        bars.push(Raw {
            bar: LeaseBar {
                key: operation.key,
                token: operation.token,
                grant,
                from: operation.invoked,
                sure_from: operation.returned,
                sure_until: operation
                    .invoked
                    .saturating_add(bound.at_least(operation.ttl_ns))
                    .max(operation.returned),
                until: displaced(of_key, place),
            },
            end: None,
        });
    }
    // First what ended each lease, then what was done before that.
    for pass in [Raw::end_by as fn(&mut Raw, &Operation, Bound), Raw::last_by] {
        for operation in history.operations() {
            let places = by_token.get(&lease_of(operation));
            let of_token = places.into_iter().flatten();
            // A token granted twice: a step belongs to the last grant before it.
            let mut found = None;
            for place in of_token {
                if bars
                    .get(*place)
                    .is_some_and(|raw: &Raw| raw.bar.from <= operation.invoked)
                {
                    found = Some(*place);
                }
            }
            if let Some(raw) = found.and_then(|place| bars.get_mut(place)) {
                pass(raw, operation, bound);
            }
        }
    }
    let mut bars: Vec<LeaseBar> = bars.into_iter().map(Raw::finish).collect();
    bars.sort_by_key(|bar| (bar.from, bar.grant));
    bars
}

/// What tells the leases of a history apart: the token, or without tokens who holds it.
fn lease_of(operation: &Operation) -> (Key, u64, Option<(u32, u16)>) {
    let who = (operation.token == 0).then_some((operation.client, operation.task));
    (operation.key, operation.token, who)
}

/// All grants of each key, in the order of their returns.
fn all_grants(history: &History) -> HashMap<Key, Vec<(usize, &Operation)>> {
    let mut grants: HashMap<Key, Vec<(usize, &Operation)>> = HashMap::new();
    for (at, operation) in history.operations().iter().enumerate() {
        if is_grant(operation) {
            grants
                .entry(operation.key)
                .or_default()
                .push((at, operation));
        }
    }
    for of_key in grants.values_mut() {
        of_key.sort_by_key(|(_, operation)| operation.returned);
    }
    grants
}

/// Whether a lease was granted by it.
pub(super) fn is_grant(operation: &Operation) -> bool {
    operation.step == Step::Acquire && operation.outcome == Outcome::Done
}

/// Whether it was to end a lease.
pub(super) const fn is_end(operation: &Operation) -> bool {
    matches!(
        operation.step,
        Step::CommitRelease | Step::ForceRelease | Step::Release
    )
}

/// When the next grant returned, which shows that the one at `place` was over.
fn displaced(of_key: &[(usize, &Operation)], place: usize) -> u64 {
    let Some((_, own)) = of_key.get(place) else {
        return NEVER;
    };
    let later = of_key.iter().skip(place.saturating_add(1));
    let mut next =
        later.filter(|(_, other)| other.token > own.token || other.invoked >= own.returned);
    next.next().map_or(NEVER, |(_, other)| other.returned)
}

/// A lease of which not all is known yet.
struct Raw {
    bar: LeaseBar,
    /// What ended it by an answer or may have: its invocation.
    end: Option<u64>,
}

impl Raw {
    fn end_by(&mut self, operation: &Operation, _: Bound) {
        let bar = &mut self.bar;
        let is_own = operation.invoked >= bar.sure_from;
        match operation.outcome {
            Outcome::Done | Outcome::Unknown if is_end(operation) => {
                if operation.invoked > bar.until {
                    return;
                }
                let end = self.end.unwrap_or(NEVER);
                self.end = Some(end.min(operation.invoked));
                if operation.outcome == Outcome::Done {
                    bar.until = bar.until.min(operation.returned);
                }
            }
            Outcome::Refused if is_own && operation.step != Step::Peek => {
                bar.until = bar.until.min(operation.returned);
            }
            Outcome::Done | Outcome::NotApplied | Outcome::Refused | Outcome::Unknown => {}
        }
    }

    fn last_by(&mut self, operation: &Operation, bound: Bound) {
        let bar = &mut self.bar;
        let is_before = operation.invoked < bar.until;
        if !is_before || operation.outcome != Outcome::Done {
            return;
        }
        let length = match operation.step {
            Step::Renew => bound.at_least(operation.ttl_ns),
            Step::Commit | Step::CommitRelease | Step::ForceRelease | Step::Release => 0,
            Step::Acquire | Step::Peek => return,
        };
        let until = operation.invoked.saturating_add(length);
        bar.sure_until = bar.sure_until.max(until);
    }

    fn finish(self) -> LeaseBar {
        let mut bar = self.bar;
        if let Some(end) = self.end {
            bar.sure_until = bar.sure_until.min(end.max(bar.sure_from));
        }
        bar.until = bar.until.max(bar.sure_until);
        bar
    }
}
