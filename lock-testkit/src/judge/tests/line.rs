#![expect(clippy::arithmetic_side_effects, reason = "numbers are small")]

use proptest::prelude::*;

use super::super::line::without_kept;
use crate::checker::cases::{Dice, config};
use crate::history::{History, NEVER, Operation, Outcome, Step, Value};

fn generate(seed: u64) -> History {
    let mut dice = Dice(seed);
    let mut history = History::new();
    let keys = [history.key("a"), history.key("b")];
    for _ in 0..1 + dice.below(7) {
        let invoked = dice.below(12);
        let outcome = match dice.below(5) {
            0 => Outcome::Unknown,
            1 => Outcome::Done,
            _ => Outcome::Refused,
        };
        let is_never = outcome == Outcome::Unknown && dice.one_in(2);
        history.push(Operation {
            invoked,
            returned: if is_never {
                NEVER
            } else {
                invoked.saturating_add(dice.below(5))
            },
            token: 0,
            ttl_ns: 0,
            key: keys[usize::from(dice.one_in(3))],
            client: 0,
            task: 0,
            value: Value::UNSEEN,
            step: if dice.one_in(4) {
                Step::Renew
            } else {
                Step::Acquire
            },
            outcome,
        });
    }
    history
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn a_refusal_is_left_out_iff_another_may_have_waited(seed in any::<u64>()) {
        let history = generate(seed);
        let all = history.operations();
        for (at, left) in without_kept(&history).iter().enumerate() {
            let own = &all[at];
            let may_wait = |(other, o): (usize, &Operation)| {
                let is_gone = o.outcome != Outcome::Unknown && o.returned < own.invoked;
                other != at && o.step == Step::Acquire && o.key == own.key
                    && o.invoked <= own.returned && !is_gone
            };
            let is_refusal = (own.step, own.outcome) == (Step::Acquire, Outcome::Refused);
            let expected = if is_refusal && all.iter().enumerate().any(may_wait) {
                Outcome::NotApplied
            } else {
                own.outcome
            };
            prop_assert_eq!(left.outcome, expected, "{:#?}", all);
        }
    }
}
