//! The rules as they are told, moment by moment. It shares no code with the checker.
#![expect(clippy::arithmetic_side_effects, reason = "numbers are small")]

use std::collections::BTreeSet;

use super::super::{Fifo, Limits};
use crate::history::{NEVER, Operation, Outcome, Step};
use crate::spec::Property;

/// No moment of a small history is later.
const END: u64 = 120;

/// Who gave up in a line after the heal was refused.
fn told(all: &[Operation], healed: u64) -> Vec<Operation> {
    let mut told = all.to_vec();
    for o in &mut told {
        if (o.step, o.outcome) != (Step::Acquire, Outcome::Unknown) || o.invoked < healed {
            continue;
        }
        let is_leave = |r: &&Operation| {
            (r.step, r.outcome, r.token) == (Step::Release, Outcome::Done, 0)
                && (r.client, r.task, r.key) == (o.client, o.task, o.key)
                && r.invoked >= o.invoked
        };
        let leave = all.iter().filter(is_leave).map(|r| r.invoked).min();
        if o.returned != NEVER && leave.is_some_and(|at| at <= o.returned) {
            o.outcome = Outcome::Refused;
        }
    }
    told
}

#[derive(Clone, Copy)]
struct Hold {
    at: usize,
    /// In force from then until before that.
    from: u64,
    until: u64,
    settled: u64,
    release: Option<Operation>,
}

fn settled(o: &Operation, healed: u64) -> u64 {
    let is_before = o.invoked < healed;
    match o.returned {
        NEVER if is_before => healed,
        returned if is_before && o.outcome == Outcome::Done && returned < healed => healed,
        returned => returned,
    }
}

/// Whether an operation was done under the grant at `at`.
fn is_under(all: &[Operation], o: &Operation, at: usize) -> bool {
    if o.token != 0 {
        return all[at].token == o.token;
    }
    let is_candidate = |grant: &Operation| {
        grant.step == Step::Acquire
            && grant.outcome == Outcome::Done
            && grant.token == 0
            && (grant.client, grant.task) == (o.client, o.task)
            && grant.invoked <= o.invoked
    };
    let candidates = (0..all.len()).filter(|at| is_candidate(&all[*at]));
    candidates.max_by_key(|at| (all[*at].invoked, *at)) == Some(at)
}

fn hold(all: &[Operation], at: usize, limits: &Limits, healed: u64) -> Option<Hold> {
    let o = &all[at];
    if o.step != Step::Acquire || !matches!(o.outcome, Outcome::Done | Outcome::Unknown) {
        return None;
    }
    let is_known = o.outcome == Outcome::Done;
    let from = if is_known { o.returned } else { o.invoked };
    let mut until = settled(o, healed).saturating_add(limits.at_most(o.ttl_ns));
    let mut release: Option<Operation> = None;
    for other in all
        .iter()
        .filter(|other| is_known && is_under(all, other, at))
    {
        match (other.step, other.outcome) {
            (Step::Renew, Outcome::Done | Outcome::Unknown) => {
                let ttl = if other.ttl_ns == 0 {
                    o.ttl_ns
                } else {
                    other.ttl_ns
                };
                until = until.max(settled(other, healed).saturating_add(limits.at_most(ttl)));
            }
            (Step::Release | Step::CommitRelease | Step::ForceRelease, Outcome::Done)
                if release.is_none_or(|first| other.returned < first.returned) =>
            {
                release = Some(*other);
            }
            _ => {}
        }
    }
    until = release.map_or(until, |release| release.returned).max(from);
    Some(Hold {
        at,
        from,
        until,
        settled: settled(o, healed),
        release,
    })
}

pub(super) fn brute(all: &[Operation], healed: Option<u64>, limits: &Limits) -> BTreeSet<Property> {
    let Some(healed) = healed else {
        return BTreeSet::new();
    };
    let all = told(all, healed);
    let all = all.as_slice();
    let holds = (0..all.len()).filter_map(|at| hold(all, at, limits, healed));
    let holds: Vec<Hold> = holds.collect();
    let mut found = BTreeSet::new();
    let is_free = |t: u64| !holds.iter().any(|h| h.from <= t && t < h.until);
    let is_begun = |t: u64| holds.iter().any(|h| h.from == t);
    // Whether nothing happens from one moment to another.
    let is_still =
        |from: u64, until: u64| (from..=until).all(is_free) && !(from + 1..=until).any(is_begun);
    let waits = |from: u64, since: u64, until: u64| {
        all.iter().any(|o| {
            o.step == Step::Acquire
                && matches!(o.outcome, Outcome::Done | Outcome::Refused)
                && o.invoked <= since
                && from >= since
                && o.returned > until
        })
    };
    for from in healed..END {
        let is_start = from == healed || !is_free(from - 1) || is_begun(from);
        if !is_free(from) || !is_start {
            continue;
        }
        let wake = from + limits.wake_ns;
        let unwoken = holds.iter().any(|h| {
            h.until == from
                && h.release.is_some_and(|release| {
                    release.invoked >= healed && waits(from, release.invoked, wake)
                })
        });
        if limits.push && unwoken && is_still(from, wake) {
            found.insert(Property::Lv2);
            continue;
        }
        let long = limits.poll_ns + 2 * limits.attempt_ns;
        let stalls = |since: u64| waits(since, since, since + long);
        if (from..END).any(|since| is_still(from, since + long) && stalls(since)) {
            found.insert(last(all, &holds, from, limits));
        }
    }
    found.extend(turns(all, &holds, healed, limits));
    if limits
        .overtaken
        .is_some_and(|most| is_overtaken(all, &holds, healed, limits, most))
    {
        found.insert(Property::Lv5);
    }
    found
}

/// Whether within the wait of some acquire there is a time in which its client keeps its place and
/// another client has more grants than so many.
fn is_overtaken(
    all: &[Operation],
    holds: &[Hold],
    healed: u64,
    limits: &Limits,
    most: u32,
) -> bool {
    let is_wait = |o: &&Operation| {
        o.step == Step::Acquire
            && matches!(o.outcome, Outcome::Done | Outcome::Refused)
            && o.invoked >= healed
    };
    all.iter().filter(is_wait).any(|wait| {
        let mine = |o: &&Operation| o.step == Step::Acquire && o.client == wait.client;
        // When it loses its place: at a moment, or for a time.
        let mut lost: Vec<(u64, u64)> = all.iter().filter(mine).map(|o| (o.returned, 0)).collect();
        for hold in holds {
            let grant = &all[hold.at];
            let is_back = hold.release.is_some_and(|r| r.step != Step::ForceRelease);
            if grant.outcome == Outcome::Unknown || grant.client == wait.client {
                lost.push((hold.from, hold.until));
            } else if !is_back {
                lost.push((hold.from, 0));
            }
        }
        let edges = || lost.iter().flat_map(|(from, until)| [*from, *until]);
        let is_edge = |at: &u64| (wait.invoked..=wait.returned).contains(at);
        let edges = || edges().chain([wait.invoked, wait.returned]).filter(is_edge);
        let is_kept = |from: u64, until: u64| {
            let ends = |(a, b): &(u64, u64)| *a < until && (*a > from || *b > from);
            from < until && !lost.iter().any(ends)
        };
        let has_too_many = |from: u64, until: u64| {
            let margin = limits.attempt_ns;
            let within = |h: &&Hold| {
                all[h.at].client != wait.client
                    && all[h.at].outcome == Outcome::Done
                    && h.from >= from + 2 * margin
                    && h.from + margin <= until
            };
            let clients = holds.iter().filter(within).map(|h| all[h.at].client);
            let clients: Vec<u32> = clients.collect();
            clients.iter().any(|client| {
                let of = clients.iter().filter(|other| *other == client);
                of.count() > usize::try_from(most).unwrap_or(usize::MAX)
            })
        };
        edges().any(|from| edges().any(|until| is_kept(from, until) && has_too_many(from, until)))
    })
}

/// Who is to blame for a stall from a moment on.
fn last(all: &[Operation], holds: &[Hold], from: u64, limits: &Limits) -> Property {
    let is_known = |h: &&Hold| all[h.at].outcome == Outcome::Done;
    let before = || holds.iter().filter(|h| h.from <= from);
    let known = before().filter(is_known).max_by_key(|h| (h.from, h.at));
    let over = known.map_or(0, |h| {
        let own = all[h.at]
            .returned
            .saturating_add(limits.at_most(all[h.at].ttl_ns));
        h.release.map_or(h.until.min(own), |r| r.invoked)
    });
    match before().any(|h| !is_known(&h) && h.settled >= over) {
        true => Property::Lv3,
        false => Property::Lv1,
    }
}

fn turns(all: &[Operation], holds: &[Hold], healed: u64, limits: &Limits) -> Option<Property> {
    let is_known = |h: &&Hold| all[h.at].outcome == Outcome::Done;
    let key = |h: &Hold| (h.from, h.at);
    let margin = limits.attempt_ns;
    let is_wrong = |grant: &Hold| {
        let x = &all[grant.at];
        let earlier = holds.iter().filter(|h| key(h) < key(grant));
        let previous = earlier.clone().filter(is_known).max_by_key(|h| key(h));
        let Some(previous) = previous else {
            return false;
        };
        let is_given_back = previous
            .release
            .is_some_and(|release| release.step != Step::ForceRelease);
        let is_clear = !earlier
            .filter(|h| !is_known(h))
            .any(|h| h.until >= previous.from);
        let place = |y: usize| {
            let own = &all[y];
            let is_ahead = |at: &usize| {
                let other = &all[*at];
                let is_sibling = other.step == Step::Acquire && other.client == own.client;
                is_sibling && (other.invoked, *at) < (own.invoked, y)
            };
            let ahead = (0..all.len()).filter(is_ahead);
            let over = ahead.map(|at| {
                let hold = holds.iter().find(|h| h.at == at);
                hold.map_or(all[at].returned, |h| h.until)
            });
            match limits.fifo {
                Fifo::Everybody => over.max().unwrap_or(0).max(own.invoked),
                Fifo::Client | Fifo::Off => own.invoked,
            }
        };
        let is_passed = |at: usize| {
            let y = &all[at];
            y.step == Step::Acquire
                && matches!(y.outcome, Outcome::Done | Outcome::Refused)
                && y.invoked >= healed
                && place(at).saturating_add(margin) < x.invoked
                && y.returned > x.returned + margin
                && (limits.fifo == Fifo::Everybody || y.client == x.client)
        };
        let waited = x.returned - x.invoked > margin;
        waited && is_given_back && is_clear && (0..all.len()).any(is_passed)
    };
    let is_found = limits.fifo != Fifo::Off && holds.iter().filter(is_known).any(is_wrong);
    is_found.then_some(Property::Lv4)
}
