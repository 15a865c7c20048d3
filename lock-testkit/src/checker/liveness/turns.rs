//! LV-4: who waits longest is granted first.
#![expect(
    clippy::indexing_slicing,
    reason = "waits and leases were numbered here"
)]

use super::leases::Lease;
use super::{Fifo, Key, Limits, Violations, index};
use crate::history::{Operation, Outcome, Step};
use crate::spec::Property;

/// Those who may have been passed over, each with whoever among them waited until last.
struct Line {
    /// Group, the moment from which on it stands in line, and operation, in this order.
    all: Vec<(u32, u64, u32)>,
    /// Up to each within its group, the last return and its operation.
    last: Vec<(u64, u32)>,
}

impl Line {
    fn new(key: Key<'_>, fifo: Fifo, healed: u64, leases: &[Lease]) -> Self {
        let mut all = match fifo {
            Fifo::Everybody => by_turns(key, leases),
            Fifo::Client | Fifo::Off => acquires(key)
                .map(|(at, o)| (o.client, o.invoked, at))
                .collect(),
        };
        all.retain(|(_, _, at)| {
            key.get(*at).is_some_and(|o| {
                matches!(o.outcome, Outcome::Done | Outcome::Refused) && o.invoked >= healed
            })
        });
        all.sort_unstable();
        let mut last: Vec<(u64, u32)> = Vec::with_capacity(all.len());
        for (at, (group, _, by)) in all.iter().enumerate() {
            let own = (key.get(*by).map_or(0, |o| o.returned), *by);
            let before = at.checked_sub(1);
            let before = before.filter(|before| all[*before].0 == *group);
            last.push(before.map_or(own, |before| last[before].max(own)));
        }
        Self { all, last }
    }

    /// Of those in line before a moment, the one that waited until last.
    fn before(&self, group: u32, moment: u64) -> Option<(u64, u32)> {
        let at = self.all.partition_point(|o| (o.0, o.1) < (group, moment));
        let at = at.checked_sub(1)?;
        (self.all[at].0 == group).then(|| self.last[at])
    }
}

fn acquires<'a>(key: Key<'a>) -> impl Iterator<Item = (u32, &'a Operation)> {
    key.iter().filter(|(_, o)| o.step == Step::Acquire)
}

/// Everybody's place in one line, where a client stands with one task at a time: each task from the
/// moment on at which those of its client that came before it are certainly done with the lock.
fn by_turns(key: Key<'_>, leases: &[Lease]) -> Vec<(u32, u64, u32)> {
    let mut ends: Vec<(u32, u64)> = leases.iter().map(|l| (l.acquire, l.end)).collect();
    ends.sort_unstable();
    let done = |at: u32, o: &Operation| match ends.binary_search_by_key(&at, |end| end.0) {
        Ok(found) => ends[found].1,
        Err(_) => o.returned,
    };
    let mut by_client: Vec<(u32, u64, u32)> = acquires(key)
        .map(|(at, o)| (o.client, o.invoked, at))
        .collect();
    by_client.sort_unstable();
    let mut places = Vec::with_capacity(by_client.len());
    let mut before = (0, 0);
    for (client, invoked, at) in by_client {
        if before.0 != client {
            before = (client, 0);
        }
        places.push((0, invoked.max(before.1), at));
        before.1 = key.get(at).map_or(before.1, |o| done(at, o).max(before.1));
    }
    places
}

const fn group(fifo: Fifo, operation: &Operation) -> u32 {
    match fifo {
        Fifo::Client => operation.client,
        Fifo::Everybody | Fifo::Off => 0,
    }
}

/// Finds a grant to one who had waited for less than another who goes on waiting.
pub(super) fn find(
    key: Key<'_>,
    limits: &Limits,
    healed: u64,
    leases: &[Lease],
    found: &mut Violations,
) {
    let line = Line::new(key, limits.fifo, healed, leases);
    let mut before: Option<Lease> = None;
    // Until when an acquire of unknown outcome may have held the lock.
    let mut unclear: Option<u64> = None;
    for lease in leases {
        if lease.is_unknown {
            unclear = unclear.max(Some(lease.end));
            continue;
        }
        let previous = before.replace(*lease);
        let Some(previous) = previous.filter(|p| p.is_given_back && Some(p.begin) > unclear) else {
            continue;
        };
        let Some(grant) = key.get(lease.acquire) else {
            continue;
        };
        let margin = limits.attempt_ns;
        if grant.returned.saturating_sub(grant.invoked) <= margin {
            continue;
        }
        let earlier = grant.invoked.saturating_sub(margin);
        let passed = line.before(group(limits.fifo, grant), earlier);
        let passed = passed.filter(|(until, _)| *until > grant.returned.saturating_add(margin));
        if let Some((_, passed)) = passed {
            let culprits = [lease.acquire, passed, previous.end_by].map(index);
            found.add(Property::Lv4, limits, culprits.to_vec());
            return;
        }
    }
}
