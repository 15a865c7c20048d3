//! Every run of the specification, moment by moment. It shares no code with the checkers.
#![expect(clippy::arithmetic_side_effects, reason = "numbers are small")]

use std::collections::HashSet;

use crate::history::{Operation, Outcome, Step, Value};
use crate::spec::Bound;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Lock {
    /// The token; 0 for one that nobody saw.
    holder: Option<u64>,
    may_expire_at: u64,
    last: u64,
    value: Value,
    writer: u64,
}

/// Whether some run gives these answers. Times are small.
pub(super) fn brute(operations: &[Operation], bound: Bound) -> bool {
    let end = operations.iter().map(|o| o.invoked).max().unwrap_or(0) + 40;
    let free = Lock {
        holder: None,
        may_expire_at: 0,
        last: 0,
        value: Value::NONE,
        writer: 0,
    };
    let mut stack = vec![(0_u64, 0_u64, free)];
    let mut seen = HashSet::new();
    while let Some(point) = stack.pop() {
        let (now, done, lock) = point;
        if !seen.insert(point) {
            continue;
        }
        let is_open = |at: usize| done & (1 << at) == 0;
        let must = |o: &Operation| {
            o.outcome != Outcome::NotApplied
                && o.outcome != Outcome::Unknown
                && !(o.step == Step::Release && o.outcome == Outcome::Done && o.token == 0)
        };
        let missing: Vec<&Operation> = operations
            .iter()
            .enumerate()
            .filter(|(at, o)| is_open(*at) && must(o))
            .map(|(_, o)| o)
            .collect();
        if missing.is_empty() {
            return true;
        }
        if now < end && missing.iter().all(|o| o.returned > now) {
            stack.push((now + 1, done, lock));
        }
        if lock.holder.is_some() && now >= lock.may_expire_at {
            stack.push((
                now,
                done,
                Lock {
                    holder: None,
                    ..lock
                },
            ));
        }
        for (at, operation) in operations.iter().enumerate() {
            let is_now = operation.invoked <= now && now <= operation.returned;
            if is_open(at)
                && is_now
                && let Some(next) = apply(lock, operation, now, bound)
            {
                stack.push((now, done | 1 << at, next));
            }
        }
    }
    false
}

fn apply(lock: Lock, o: &Operation, now: u64, bound: Bound) -> Option<Lock> {
    let mut next = lock;
    let holds = lock.holder == Some(o.token) && o.token != 0;
    let until = now + bound.at_least(o.ttl_ns);
    let ok = match (o.step, o.outcome) {
        (_, Outcome::NotApplied) => false,
        (Step::Acquire, Outcome::Refused) => lock.holder.is_some(),
        (Step::Acquire, Outcome::Done) => {
            next.holder = Some(o.token);
            next.last = o.token;
            next.may_expire_at = until;
            let same = [o.value, lock.value].contains(&Value::UNSEEN) || lock.value == o.value;
            lock.holder.is_none() && o.token > lock.last && same
        }
        (Step::Acquire, Outcome::Unknown) => {
            next.holder = Some(0);
            next.last += 1;
            next.may_expire_at = until;
            lock.holder.is_none()
        }
        (Step::Peek, Outcome::Done) => {
            let same = [o.value, lock.value].contains(&Value::UNSEEN) || lock.value == o.value;
            same && (o.token == 0 || o.token == lock.writer || o.value == Value::UNSEEN)
        }
        (Step::Peek, _) => true,
        (Step::ForceRelease, Outcome::Refused) => lock.holder.is_none(),
        (Step::ForceRelease, _) => {
            next.holder = None;
            holds || (o.token == 0 && lock.holder.is_some())
        }
        (_, Outcome::Refused) => !holds,
        (Step::Renew, _) => {
            next.may_expire_at = next.may_expire_at.max(until);
            holds
        }
        (Step::Release, _) => {
            next.holder = None;
            holds || (o.token == 0 && lock.holder == Some(0))
        }
        (Step::Commit | Step::CommitRelease, _) => {
            (next.value, next.writer) = (o.value, o.token);
            if o.step == Step::CommitRelease {
                next.holder = None;
            }
            holds
        }
    };
    ok.then_some(next)
}
