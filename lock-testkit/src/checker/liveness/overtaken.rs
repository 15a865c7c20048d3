//! LV-5: how often the tasks of one client are granted while another client waits.

use super::leases::Lease;
use super::{Key, Limits, Violations, index};
use crate::history::{Operation, Outcome, Step};
use crate::spec::Property;

/// Finds a client that stands in line while another has more grants than the bound says.
pub(super) fn find(
    key: Key<'_>,
    limits: &Limits,
    most: u32,
    healed: u64,
    leases: &[Lease],
    found: &mut Violations,
) {
    let mut clients: Vec<u32> = waits(key, healed).map(|(_, o)| o.client).collect();
    clients.sort_unstable();
    clients.dedup();
    for client in clients {
        let waits = Waits::new(key, healed, client);
        for (from, until) in stands(key, leases, client) {
            let Some((invoked, wait)) = waits.until(until).filter(|wait| wait.0 < until) else {
                continue;
            };
            // An attempt until it stands in line, and one until who was granted before has heard.
            let heard = limits.attempt_ns.saturating_mul(2);
            let from = from.max(invoked).saturating_add(heard);
            let until = until.saturating_sub(limits.attempt_ns);
            let grants = grants(key, leases, client, (from, until));
            if let Some((first, last)) = more_than(most, grants) {
                found.add(
                    Property::Lv5,
                    limits,
                    [first, last, wait].map(index).to_vec(),
                );
                return;
            }
        }
    }
}

/// Acquires of which it is known until when they waited, once nothing is at fault.
fn waits<'a>(key: Key<'a>, healed: u64) -> impl Iterator<Item = (u32, &'a Operation)> {
    key.iter().filter(move |(_, o)| {
        o.step == Step::Acquire
            && matches!(o.outcome, Outcome::Done | Outcome::Refused)
            && o.invoked >= healed
    })
}

/// The acquires of one client: the return of each, and who of those that return no earlier was
/// invoked first, in the order of the returns.
struct Waits(Vec<(u64, (u64, u32))>);

impl Waits {
    fn new(key: Key<'_>, healed: u64, client: u32) -> Self {
        let own = waits(key, healed).filter(|(_, o)| o.client == client);
        let mut all: Vec<_> = own.map(|(at, o)| (o.returned, (o.invoked, at))).collect();
        all.sort_unstable();
        let mut first = (u64::MAX, u32::MAX);
        for (_, wait) in all.iter_mut().rev() {
            first = first.min(*wait);
            *wait = first;
        }
        Self(all)
    }

    /// Of those who wait until then, the one that was invoked first.
    fn until(&self, moment: u64) -> Option<(u64, u32)> {
        let at = self.0.partition_point(|(returned, _)| *returned < moment);
        self.0.get(at).map(|(_, wait)| *wait)
    }
}

/// The times in which a client keeps its place in line if it has one. It goes to the end of the line
/// with each acquire of it that is answered and with each lease of it. Nobody can tell turns while an
/// acquire of unknown outcome may hold the lock, nor who is next when a lease is not given back.
fn stands(key: Key<'_>, leases: &[Lease], client: u32) -> Vec<(u64, u64)> {
    let acquires = key.iter().filter(|(_, o)| o.step == Step::Acquire);
    let own = acquires.filter(|(_, o)| o.client == client);
    let mut lost: Vec<(u64, u64)> = own.map(|(_, o)| (o.returned, o.returned)).collect();
    for lease in leases {
        let is_own = || key.get(lease.acquire).is_some_and(|o| o.client == client);
        if lease.is_unknown || is_own() {
            lost.push((lease.begin, lease.end));
        } else if !lease.is_given_back {
            lost.push((lease.begin, lease.begin));
        }
    }
    lost.sort_unstable();
    let mut from = 0;
    let mut kept = Vec::new();
    for (begin, end) in lost {
        if begin > from {
            kept.push((from, begin));
        }
        from = from.max(end);
    }
    kept
}

/// The grants to other clients within a time: who was granted, and the acquire, in this order.
fn grants(
    key: Key<'_>,
    leases: &[Lease],
    client: u32,
    (from, until): (u64, u64),
) -> Vec<(u32, usize, u32)> {
    let first = leases.partition_point(|lease| lease.begin < from);
    let within = leases.iter().enumerate().skip(first);
    let within = within.take_while(|(_, lease)| lease.begin <= until);
    let grants = within.filter_map(|(number, lease)| {
        let grant = key.get(lease.acquire)?;
        let is_other = grant.client != client && !lease.is_unknown;
        is_other.then_some((grant.client, number, lease.acquire))
    });
    let mut grants: Vec<_> = grants.collect();
    grants.sort_unstable();
    grants
}

/// The first and the last grant to a client that has more of them than that.
fn more_than(most: u32, grants: Vec<(u32, usize, u32)>) -> Option<(u32, u32)> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut runs = grants.chunk_by(|one, next| one.0 == next.0);
    let run = runs.find(|run| run.len() > most)?;
    Some((run.first()?.2, run.last()?.2))
}
