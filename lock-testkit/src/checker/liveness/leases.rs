//! When the leases of a key can have been in force, at the latest.
#![expect(
    clippy::indexing_slicing,
    reason = "leases were numbered when they were gathered"
)]

use super::{Key, Limits, index};
use crate::history::{NEVER, Operation, Outcome, Step};

/// A grant, or an acquire that may have been one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) acquire: u32,
    /// It is in force from then on: the return of its grant, or the invocation of its acquire if
    /// nobody knows whether it was one.
    pub(super) begin: u64,
    /// It is over by then for certain.
    pub(super) end: u64,
    /// The operation that says so.
    pub(super) end_by: u32,
    /// It was granted by then, if it ever was.
    pub(super) settled: u64,
    /// The invocation of what ended it, if that was answered.
    pub(super) released: Option<u64>,
    /// Whether its own holder ended it.
    pub(super) is_given_back: bool,
    pub(super) is_unknown: bool,
}

/// The leases of a key in the order in which they began.
pub(super) fn gather(key: Key<'_>, limits: &Limits, healed: u64) -> Vec<Lease> {
    let mut leases: Vec<Lease> = key
        .iter()
        .filter_map(|(at, operation)| lease(at, operation, limits, healed))
        .collect();
    let names = Names::new(key, &leases);
    for (at, operation) in key.iter() {
        let is_end = matches!(
            operation.step,
            Step::CommitRelease | Step::ForceRelease | Step::Release
        ) && operation.outcome == Outcome::Done;
        let prolongs = operation.step == Step::Renew
            && matches!(operation.outcome, Outcome::Done | Outcome::Unknown);
        if !is_end && !prolongs {
            continue;
        }
        let Some(lease) = names.find(operation) else {
            continue;
        };
        let lease = &mut leases[lease];
        if is_end
            && lease
                .released
                .is_none_or(|_| operation.returned < lease.end)
        {
            (lease.end, lease.end_by) = (operation.returned, at);
            lease.released = Some(operation.invoked);
            lease.is_given_back = operation.step != Step::ForceRelease;
        } else if prolongs && lease.released.is_none() {
            let granted = key.get(lease.acquire).map_or(0, |grant| grant.ttl_ns);
            let ttl_ns = if operation.ttl_ns == 0 {
                granted
            } else {
                operation.ttl_ns
            };
            let end = settled(operation, healed).saturating_add(limits.at_most(ttl_ns));
            if end > lease.end {
                (lease.end, lease.end_by) = (end, at);
            }
        }
    }
    for lease in &mut leases {
        lease.end = lease.end.max(lease.begin);
    }
    leases.sort_unstable_by_key(|lease| (lease.begin, lease.acquire));
    leases
}

fn lease(at: u32, operation: &Operation, limits: &Limits, healed: u64) -> Option<Lease> {
    let is_unknown = match (operation.step, operation.outcome) {
        (Step::Acquire, Outcome::Done) => false,
        (Step::Acquire, Outcome::Unknown) => true,
        _ => return None,
    };
    let settled = settled(operation, healed);
    Some(Lease {
        acquire: at,
        begin: if is_unknown {
            operation.invoked
        } else {
            operation.returned
        },
        end: settled.saturating_add(limits.at_most(operation.ttl_ns)),
        end_by: at,
        settled,
        released: None,
        is_given_back: false,
        is_unknown,
    })
}

/// The moment by which an operation has taken effect for the last time. Under faults a request may
/// also arrive late, or twice; what never returned was abandoned by the time they were over. What
/// never returned and was invoked later may be under way still.
fn settled(operation: &Operation, healed: u64) -> u64 {
    match (operation.outcome, operation.returned) {
        (Outcome::Unknown, returned) if returned != NEVER => returned,
        (Outcome::Unknown, _) if operation.invoked < healed => healed,
        (Outcome::Done, returned) if operation.invoked < healed => returned.max(healed),
        (_, returned) => returned,
    }
}

/// Finds the lease that an operation was done under: by its token, or where there are no tokens, by
/// who was granted last.
struct Names {
    /// Token and lease.
    tokens: Vec<(u64, usize)>,
    /// Client, task, invocation and lease.
    holders: Vec<(u32, u16, u64, usize)>,
}

impl Names {
    fn new(key: Key<'_>, leases: &[Lease]) -> Self {
        let (mut tokens, mut holders) = (Vec::new(), Vec::new());
        for (number, lease) in leases.iter().enumerate().filter(|(_, l)| !l.is_unknown) {
            match key.get(lease.acquire) {
                Some(o) if o.token == 0 => holders.push((o.client, o.task, o.invoked, number)),
                Some(o) => tokens.push((o.token, number)),
                None => {}
            }
        }
        if !tokens.is_sorted() {
            tokens.sort_unstable();
        }
        holders.sort_unstable();
        Self { tokens, holders }
    }

    fn find(&self, operation: &Operation) -> Option<usize> {
        if operation.token != 0 {
            let at = self
                .tokens
                .partition_point(|(token, _)| *token < operation.token);
            let (token, lease) = self.tokens.get(at)?;
            return (*token == operation.token).then_some(*lease);
        }
        let last = (
            operation.client,
            operation.task,
            operation.invoked,
            usize::MAX,
        );
        let at = self.holders.partition_point(|holder| *holder <= last);
        let (client, task, _, lease) = self.holders.get(at.checked_sub(1)?)?;
        ((*client, *task) == (operation.client, operation.task)).then_some(*lease)
    }
}

impl<'a> Key<'a> {
    pub(super) fn iter(self) -> impl Iterator<Item = (u32, &'a Operation)> {
        let members = self.members.iter();
        members.filter_map(move |at| Some((*at, self.get(*at)?)))
    }

    pub(super) fn get(self, at: u32) -> Option<&'a Operation> {
        self.operations.get(index(at))
    }
}
