//! LV-1, LV-2 and LV-3: the lock is free for certain, somebody waits, and nobody is granted.
#![expect(
    clippy::indexing_slicing,
    reason = "leases and waits were numbered here"
)]

use super::leases::Lease;
use super::{Key, Limits, Violations, index};
use crate::history::{Outcome, Step};
use crate::spec::Property;

/// An acquire that was granted or refused in the end.
#[derive(Clone, Copy, Debug)]
struct Wait {
    invoked: u64,
    returned: u64,
    by: u32,
}

/// Acquires that waited for long enough to tell, in the order of their invocations.
struct Waits {
    all: Vec<Wait>,
    /// Up to each, the one that waited until last.
    last: Vec<usize>,
}

impl Waits {
    /// Those that waited for longer than this.
    fn new(key: Key<'_>, least: u64) -> Self {
        let mut all: Vec<Wait> = key
            .iter()
            .filter(|(_, o)| {
                o.step == Step::Acquire
                    && matches!(o.outcome, Outcome::Done | Outcome::Refused)
                    && o.returned.saturating_sub(o.invoked) > least
            })
            .map(|(by, o)| Wait {
                invoked: o.invoked,
                returned: o.returned,
                by,
            })
            .collect();
        all.sort_unstable_by_key(|wait| (wait.invoked, wait.by));
        let mut longest = 0;
        let last = all.iter().enumerate().map(|(at, wait)| {
            if wait.returned > all[longest].returned {
                longest = at;
            }
            longest
        });
        let last = last.collect();
        Self { all, last }
    }

    /// The one that waited until last, of those invoked by a moment, if it waited past another.
    fn begun_by(&self, from: u64, until: u64) -> Option<Wait> {
        let count = self.all.partition_point(|wait| wait.invoked <= from);
        let last = self.last.get(count.checked_sub(1)?)?;
        let wait = self.all[*last];
        (wait.returned > until).then_some(wait)
    }

    /// The first that began after a moment and then waited so long before another moment.
    fn within(&self, from: u64, before: u64, long: u64) -> Option<Wait> {
        let first = self.all.partition_point(|wait| wait.invoked <= from);
        let later = self.all[first..].iter().copied();
        let mut in_time = later.take_while(|wait| is_longer(wait.invoked, before, long));
        in_time.find(|wait| is_longer(wait.invoked, wait.returned, long))
    }
}

const fn is_longer(from: u64, until: u64, than: u64) -> bool {
    until.saturating_sub(from) > than
}

/// A time in which nobody can have held the lock and nobody was granted it.
struct Gap {
    from: u64,
    until: u64,
}

/// What was before a gap.
#[derive(Default)]
struct Before {
    /// Of the leases that were over last, the one that was ended last.
    ended: Option<usize>,
    /// The last grant.
    known: Option<usize>,
    /// The last that may have been one.
    unknown: Option<usize>,
}

pub(super) struct Stalls<'a> {
    pub(super) key: Key<'a>,
    pub(super) limits: &'a Limits,
    pub(super) healed: u64,
    pub(super) leases: &'a [Lease],
}

impl Stalls<'_> {
    pub(super) fn find(&self, found: &mut Violations) {
        let wake = if self.limits.push {
            self.limits.wake_ns
        } else {
            u64::MAX
        };
        let waits = Waits::new(self.key, self.limits.stall().min(wake));
        if waits.all.is_empty() {
            return;
        }
        let mut from = self.healed;
        let mut before = Before::default();
        for (at, lease) in self.leases.iter().enumerate() {
            if lease.begin > from {
                let until = lease.begin;
                self.judge(&Gap { from, until }, &before, &waits, found);
            }
            self.pass(&mut from, &mut before, at);
        }
        let until = u64::MAX;
        self.judge(&Gap { from, until }, &before, &waits, found);
    }

    fn pass(&self, from: &mut u64, before: &mut Before, at: usize) {
        let lease = &self.leases[at];
        let last = |of: Option<usize>, is_later: &dyn Fn(&Lease) -> bool| match of {
            Some(of) if !is_later(&self.leases[of]) => Some(of),
            _ => Some(at),
        };
        before.ended = last(before.ended, &|ended| {
            (lease.end, lease.released) > (ended.end, ended.released)
        });
        if lease.is_unknown {
            before.unknown = last(before.unknown, &|other| lease.settled > other.settled);
        } else {
            before.known = Some(at);
        }
        *from = lease.end.max(*from);
    }

    fn judge(&self, gap: &Gap, before: &Before, waits: &Waits, found: &mut Violations) {
        let ended = before.ended.map(|ended| self.leases[ended]);
        let released = ended.filter(|ended| ended.end == gap.from);
        let released = released.and_then(|ended| ended.released);
        let wake = gap.from.saturating_add(self.limits.wake_ns);
        if self.limits.push
            && gap.until > wake
            && let Some(asked) = released.filter(|asked| *asked >= self.healed)
            && let Some(wait) = waits.begun_by(asked, wake)
        {
            return self.add(Property::Lv2, ended.map(|ended| ended.end_by), wait, found);
        }
        let stall = self.limits.stall();
        if !is_longer(gap.from, gap.until, stall) {
            return;
        }
        let wait = waits
            .begun_by(gap.from, gap.from.saturating_add(stall))
            .or_else(|| waits.within(gap.from, gap.until, stall));
        let Some(wait) = wait else { return };
        match self.orphan(before) {
            Some(orphan) => self.add(Property::Lv3, Some(orphan), wait, found),
            None => self.add(Property::Lv1, ended.map(|ended| ended.end_by), wait, found),
        }
    }

    /// The acquire of unknown outcome that can have been granted after the last known lease.
    fn orphan(&self, before: &Before) -> Option<u32> {
        let unknown = self.leases[before.unknown?];
        let known = before.known.map(|known| self.leases[known]);
        let over = known.map_or(0, |known| known.released.unwrap_or(self.ran_out(&known)));
        (unknown.settled >= over).then_some(unknown.acquire)
    }

    /// When a lease that nobody ended was over, if all went well: its own length after its grant.
    fn ran_out(&self, known: &Lease) -> u64 {
        let grant = self.key.get(known.acquire);
        let end = grant.map(|o| o.returned.saturating_add(self.limits.at_most(o.ttl_ns)));
        end.map_or(known.end, |end| end.min(known.end))
    }

    fn add(&self, property: Property, freed: Option<u32>, wait: Wait, found: &mut Violations) {
        let culprits = [freed, Some(wait.by)].into_iter().flatten().map(index);
        found.add(property, self.limits, culprits.collect());
    }
}
