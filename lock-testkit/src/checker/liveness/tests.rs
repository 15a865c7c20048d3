#![expect(clippy::arithmetic_side_effects, reason = "numbers are small")]

mod brute;

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::cases::{Dice, config};
use super::{Fifo, Limits, check};
use crate::history::{History, NEVER, Operation, Outcome, Step, Value};
use crate::spec::Property;

/// Any operations at any times: the rules must be told apart, not the runs be likely.
fn generate(seed: u64) -> (History, Limits) {
    let mut dice = Dice(seed);
    let mut history = History::new();
    let key = history.key("k");
    let has_tokens = !dice.one_in(3);
    let count = 2 + dice.below(8);
    for token in 1..=count {
        let invoked = dice.below(40);
        let (step, outcome) = match dice.below(12) {
            0..=3 => (Step::Acquire, Outcome::Done),
            4 | 5 => (Step::Acquire, Outcome::Refused),
            6 if dice.one_in(2) => (Step::Acquire, Outcome::Unknown),
            7 => (Step::Renew, Outcome::Done),
            8 => (Step::Renew, Outcome::Unknown),
            9 => (Step::ForceRelease, Outcome::Done),
            10 => (Step::CommitRelease, Outcome::Done),
            _ => (Step::Release, Outcome::Done),
        };
        let is_never = outcome == Outcome::Unknown && dice.one_in(2);
        let long = if step == Step::Acquire { 24 } else { 3 };
        let token = if step == Step::Acquire {
            token
        } else {
            1 + dice.below(token)
        };
        history.push(Operation {
            invoked,
            returned: if is_never {
                NEVER
            } else {
                invoked + dice.below(long)
            },
            token: if has_tokens { token } else { 0 },
            ttl_ns: dice.below(8),
            key,
            client: u32::try_from(dice.below(2)).unwrap(),
            task: u16::try_from(dice.below(2)).unwrap(),
            value: Value::UNSEEN,
            step,
            outcome,
        });
    }
    if !dice.one_in(20) {
        history.heal_at(dice.below(20));
    }
    let mut limits = Limits::new(dice.below(3), dice.below(4));
    (limits.drift_ppm, limits.granularity_ns) = (0, 0);
    limits.sweep_ns = dice.below(2);
    if dice.one_in(2) {
        limits = limits.push(dice.below(5));
    }
    let fifo = [Fifo::Client, Fifo::Everybody, Fifo::Off];
    let mut limits = limits.fifo(fifo[usize::try_from(dice.below(3)).unwrap()]);
    if dice.one_in(2) {
        limits = limits.overtaken(u32::try_from(dice.below(3)).unwrap());
    }
    (history, limits)
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn stalls_are_judged_as_moment_by_moment(seed in any::<u64>()) {
        let (history, limits) = generate(seed);
        let operations = history.operations();
        let found = check(&history, &limits);
        let kinds: BTreeSet<Property> = found.iter().map(|v| v.property).collect();
        prop_assert_eq!(kinds.len(), found.len());
        let expected = brute::brute(operations, history.healed_at(), &limits);
        prop_assert_eq!(
            kinds, expected, "{:#?} {:?} {:?}", operations, history.healed_at(), limits
        );
    }
}

#[test]
fn every_rule_is_met_by_the_random_histories() {
    let mut met = BTreeSet::new();
    for seed in 0..3_000 {
        let (history, limits) = generate(seed);
        met.extend(check(&history, &limits).iter().map(|v| v.property));
    }
    let rules = [
        Property::Lv1,
        Property::Lv2,
        Property::Lv3,
        Property::Lv4,
        Property::Lv5,
    ];
    assert_eq!(met, BTreeSet::from(rules));
}

#[test]
fn keys_stand_still_each_by_itself() {
    let mut history = History::new();
    for name in ["a", "b"] {
        let key = history.key(name);
        for (client, outcome, returned) in [(0, Outcome::Done, 10), (1, Outcome::Refused, 900)] {
            history.push(Operation {
                invoked: 0,
                returned,
                token: 1,
                ttl_ns: 100,
                key,
                client,
                task: 0,
                value: Value::UNSEEN,
                step: Step::Acquire,
                outcome,
            });
        }
    }
    history.heal_at(0);
    let mut limits = Limits::new(10, 50);
    limits.granularity_ns = 0;
    let found = check(&history, &limits);
    let culprits: Vec<_> = found.iter().map(|v| v.culprits.clone()).collect();
    assert_eq!(culprits, [[0, 1], [2, 3]]);
    // It was free from 110 on, and waited for until 900.
    assert!(check(&history, &Limits::new(0, 790)).is_empty());
    assert!(check(&history, &limits.delayed(90)).is_empty());
}

#[test]
fn bounds_grow_with_the_delay_of_the_machine() {
    let limits = Limits::new(10, 100).push(30);
    let slow = limits.delayed(5);
    assert_eq!(slow.attempt_ns, 30);
    assert_eq!((slow.wake_ns, slow.poll_ns), (90, 105));
    assert_eq!(limits.stall(), 120);
    assert_eq!(slow.stall(), 165);
    assert_eq!(limits.at_most(1_000_000_000), 1_001_500_000);
    assert_eq!(limits.at_most(0), u64::MAX);
}
