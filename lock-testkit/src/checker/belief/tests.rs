#![expect(clippy::arithmetic_side_effects, reason = "numbers are small")]

use proptest::prelude::*;

use super::super::cases::{Dice, config};
use super::check;
use crate::history::{Belief, History, Operation, Outcome, Step, Value};
use crate::spec::{Property, Violation};

fn generate(seed: u64) -> History {
    let mut dice = Dice(seed);
    let mut history = History::new();
    let keys = [history.key("a"), history.key("b")];
    for _ in 0..1 + dice.below(7) {
        let from = 2 + dice.below(20);
        let belief = Belief {
            key: keys[usize::from(dice.one_in(3))],
            client: u32::try_from(dice.below(3)).unwrap(),
            task: u16::try_from(dice.below(2)).unwrap(),
            token: dice.below(4),
            from,
            until: (from + dice.below(7)).saturating_sub(1),
        };
        history.believe(belief);
        if dice.one_in(3) {
            let step = if dice.one_in(2) {
                Step::Release
            } else {
                Step::Renew
            };
            history.push(Operation {
                invoked: belief.until,
                returned: belief.until + 1,
                token: belief.token,
                ttl_ns: 0,
                key: belief.key,
                client: belief.client,
                task: belief.task,
                value: Value::UNSEEN,
                step,
                outcome: Outcome::Done,
            });
        }
    }
    history
}

/// How many violations of each kind there are, each pair and each belief by itself: two beliefs at
/// once of clients, of tasks, and grants that came too late; at most one of a key.
fn brute(history: &History) -> [usize; 3] {
    let mut kinds = [const { Vec::new() }; 3];
    let all = history.beliefs();
    for one in all {
        for other in all {
            let common = (one.from..one.until).any(|t| (other.from..other.until).contains(&t));
            if common && one.key == other.key && one.client != other.client {
                kinds[0].push(one.key);
            }
            let is_sibling = one.client == other.client && one.task != other.task;
            if common && one.key == other.key && is_sibling {
                kinds[1].push(one.key);
            }
        }
        let is_given_back = history.operations().iter().any(|o| {
            o.step == Step::Release
                && (o.key, o.client, o.task, o.token) == (one.key, one.client, one.task, one.token)
                && o.invoked == one.until
        });
        if one.until < one.from || (one.until == one.from && !is_given_back) {
            kinds[2].push(one.key);
        }
    }
    kinds.map(|mut keys| {
        keys.sort_unstable();
        keys.dedup();
        keys.len()
    })
}

fn count(found: &[Violation], property: Property) -> usize {
    found.iter().filter(|v| v.property == property).count()
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn beliefs_are_judged_as_by_every_pair(seed in any::<u64>()) {
        let history = generate(seed);
        let found = check(&history);
        let [strangers, siblings, late] = brute(&history);
        let beliefs = history.beliefs();
        prop_assert_eq!(count(&found, Property::Me2), strangers + siblings, "{:#?}", beliefs);
        prop_assert_eq!(count(&found, Property::Ls2), late, "{:#?}", beliefs);
    }
}

#[test]
fn two_who_believe_at_once_are_named_by_their_acquires() {
    let mut history = History::new();
    let key = history.key("k");
    for (client, at) in [(0, 0), (1, 150), (0, 400)] {
        history.push(Operation {
            invoked: at,
            returned: at + 10,
            token: u64::from(client) + 1,
            ttl_ns: 100,
            key,
            client,
            task: 0,
            value: Value::UNSEEN,
            step: Step::Acquire,
            outcome: Outcome::Done,
        });
    }
    for (client, from, until) in [(0, 10, 161), (1, 160, 200)] {
        history.believe(Belief {
            key,
            client,
            task: 0,
            token: u64::from(client) + 1,
            from,
            until,
        });
    }
    let found = check(&history);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].property, Property::Me2);
    assert_eq!(found[0].culprits, [0, 1]);
}
