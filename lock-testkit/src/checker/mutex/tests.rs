#![expect(clippy::arithmetic_side_effects, reason = "numbers are small")]

use std::collections::HashSet;

use proptest::prelude::*;

use super::super::cases::{Dice, config};
use super::check;
use crate::history::{History, Operation, Outcome, Step, Value};
use crate::spec::{Property, Verdict};

/// Every run of a lock, moment by moment.
fn brute(operations: &[Operation]) -> bool {
    let mut stack = vec![(0_u64, 0_u64, None)];
    let mut seen = HashSet::new();
    while let Some(point) = stack.pop() {
        let (now, done, holder) = point;
        let open: Vec<usize> = (0..operations.len())
            .filter(|at| done & (1 << at) == 0)
            .collect();
        if open.is_empty() {
            return true;
        }
        if !seen.insert(point) {
            continue;
        }
        if open.iter().all(|at| operations[*at].returned > now) {
            stack.push((now + 1, done, holder));
        }
        for at in open {
            let o = &operations[at];
            if o.invoked > now || o.returned < now {
                continue;
            }
            let next = match (o.step, o.outcome) {
                (Step::Acquire, Outcome::Refused) => holder.map(Some),
                (Step::Acquire, _) if holder.is_none() => Some(Some(o.client)),
                (Step::Release, Outcome::Refused) if holder != Some(o.client) => Some(holder),
                (Step::Release, Outcome::Done) if holder == Some(o.client) => Some(None),
                _ => None,
            };
            if let Some(next) = next {
                stack.push((now, done | 1 << at, next));
            }
        }
    }
    false
}

/// Clients that each do one thing after another.
fn generate(seed: u64) -> History {
    let mut dice = Dice(seed);
    let mut history = History::new();
    let key = history.key("k");
    for client in 0..3 {
        let mut now = dice.below(5);
        let mut holds = false;
        for _ in 0..dice.below(5) {
            let invoked = now + 1 + dice.below(3);
            let returned = invoked + dice.below(5);
            now = returned;
            let (step, outcome) = match (holds, dice.below(8)) {
                (true, 0) => (Step::Release, Outcome::Refused),
                (true, 1) | (false, 2..) if !dice.one_in(3) => (Step::Acquire, Outcome::Refused),
                (true, _) => (Step::Release, Outcome::Done),
                (false, 0) if dice.one_in(4) => (Step::Release, Outcome::Done),
                (false, 1) => (Step::Release, Outcome::Refused),
                (false, _) => (Step::Acquire, Outcome::Done),
            };
            if outcome == Outcome::Done {
                holds = step == Step::Acquire;
            }
            history.push(Operation {
                invoked,
                returned,
                token: 0,
                ttl_ns: 0,
                key,
                client,
                task: 0,
                value: Value::UNSEEN,
                step,
                outcome,
            });
        }
    }
    history
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn holds_are_judged_as_by_every_run(seed in any::<u64>()) {
        let history = generate(seed);
        let found = check(&history, u64::MAX);
        let expected = brute(history.operations());
        prop_assert_eq!(found == Verdict::Valid, expected, "{:?} {:#?}", found, history.operations());
    }

    #[test]
    fn with_an_unknown_outcome_the_general_checker_judges(seed in any::<u64>()) {
        let mut history = generate(seed);
        let key = history.key("k");
        // It changes nothing that was, but makes the fast way give up.
        history.push(Operation {
            invoked: 1_000,
            returned: 1_000,
            token: 0,
            ttl_ns: 0,
            key,
            client: 9,
            task: 0,
            value: Value::UNSEEN,
            step: Step::Acquire,
            outcome: Outcome::Unknown,
        });
        let expected = brute(history.operations().split_last().expect("one was pushed").1);
        prop_assert_eq!(check(&history, u64::MAX) == Verdict::Valid, expected);
    }
}

#[test]
fn two_holds_at_once_break_exclusion() {
    let mut history = History::new();
    let key = history.key("k");
    for client in [1, 2] {
        history.push(Operation {
            invoked: u64::from(client) * 10,
            returned: u64::from(client) * 10 + 5,
            token: 0,
            ttl_ns: 0,
            key,
            client,
            task: 0,
            value: Value::UNSEEN,
            step: Step::Acquire,
            outcome: Outcome::Done,
        });
    }
    let Verdict::Invalid(violation) = check(&history, 0) else {
        panic!("both hold it");
    };
    assert_eq!(
        (violation.property, violation.culprits),
        (Property::Me1, vec![0, 1])
    );
}
