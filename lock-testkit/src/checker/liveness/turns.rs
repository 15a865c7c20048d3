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
    /// Group, invocation and operation, in this order.
    all: Vec<(u32, u64, u32)>,
    /// Up to each within its group, the last return and its operation.
    last: Vec<(u64, u32)>,
}

impl Line {
    fn new(key: Key<'_>, fifo: Fifo, healed: u64) -> Self {
        let mut all: Vec<(u32, u64, u32)> = key
            .iter()
            .filter(|(_, o)| {
                o.step == Step::Acquire
                    && matches!(o.outcome, Outcome::Done | Outcome::Refused)
                    && o.invoked >= healed
            })
            .map(|(at, o)| (group(fifo, o), o.invoked, at))
            .collect();
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

    /// Of those invoked before a moment, the one that waited until last.
    fn before(&self, group: u32, moment: u64) -> Option<(u64, u32)> {
        let at = self.all.partition_point(|o| (o.0, o.1) < (group, moment));
        let at = at.checked_sub(1)?;
        (self.all[at].0 == group).then(|| self.last[at])
    }
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
    let line = Line::new(key, limits.fifo, healed);
    let mut before: Option<Lease> = None;
    // Until when an acquire of unknown outcome may have held the lock.
    let mut unclear = 0;
    for lease in leases {
        if lease.is_unknown {
            unclear = unclear.max(lease.end);
            continue;
        }
        let previous = before.replace(*lease);
        let Some(previous) = previous.filter(|p| p.is_given_back && p.begin > unclear) else {
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
