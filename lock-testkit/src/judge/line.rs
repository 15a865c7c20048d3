//! What a store with a line refuses for somebody else's sake.

use crate::history::{History, NEVER, Operation, Outcome, Step};

/// The operations of a history, without the refusals that a store with a line may have meant for
/// somebody else who waited, or had begun to and was not heard of again.
pub(super) fn without_kept(history: &History) -> Vec<Operation> {
    let mut operations = history.operations().to_vec();
    for (_, members) in history.by_key() {
        let at = |member: &u32| usize::try_from(*member).ok();
        let members = members.iter().filter_map(at);
        let waits = members.filter_map(|at| Some((at, *history.operations().get(at)?)));
        let mut waits: Vec<(usize, Operation)> =
            waits.filter(|(_, o)| o.step == Step::Acquire).collect();
        waits.sort_by_key(|(_, o)| o.invoked);
        let latest = Latest::new(&waits);
        for (at, refused) in waits.iter().filter(|(_, o)| o.outcome == Outcome::Refused) {
            let begun = waits.partition_point(|(_, o)| o.invoked <= refused.returned);
            let other = latest.other_than(*at, begun);
            if other.is_some_and(|until| until >= refused.invoked)
                && let Some(there) = operations.get_mut(*at)
            {
                there.outcome = Outcome::NotApplied;
            }
        }
    }
    operations
}

/// Up to each acquire, the one that may wait until last and the next, each with its end.
struct Latest(Vec<[Option<(u64, usize)>; 2]>);

impl Latest {
    fn new(waits: &[(usize, Operation)]) -> Self {
        let mut both = [None, None];
        let all = waits.iter().map(|(at, o)| {
            let until = match o.outcome {
                Outcome::Unknown => NEVER,
                Outcome::Done | Outcome::NotApplied | Outcome::Refused => o.returned,
            };
            let new = Some((until, *at));
            if new > both[0] {
                both = [new, both[0]];
            } else if new > both[1] {
                both[1] = new;
            }
            both
        });
        Self(all.collect())
    }

    /// The last moment until which another than this one may wait, of the first so many.
    fn other_than(&self, at: usize, count: usize) -> Option<u64> {
        let both = self.0.get(count.checked_sub(1)?)?;
        let mut others = both.iter().flatten().filter(|(_, other)| *other != at);
        others.next().map(|(until, _)| *until)
    }
}
