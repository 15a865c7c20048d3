//! Histories of a lock that is right are right, and each way to break it is found.
#![expect(clippy::arithmetic_side_effects, reason = "numbers are small")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::{Rules, judge, violations};
use super::world::{Bug, POLL, Style, restarts, run};
use crate::checker::cases::{Dice, config};
use crate::checker::liveness::{Fifo, Limits};
use crate::history::{History, Outcome, Step};
use crate::spec::{Bound, Property, Verdict};

fn style(seed: u64, bug: Bug) -> Style {
    let mut dice = Dice(!seed);
    let has_line = dice.one_in(2);
    Style {
        bug,
        has_line,
        has_tokens: !dice.one_in(4),
        // Who is in line is told, or the lock would wait for nobody.
        push: has_line || dice.one_in(2),
    }
}

fn rules(style: Style) -> Rules {
    let mut limits = Limits::new(50, POLL);
    limits.granularity_ns = 2;
    if style.push {
        limits = limits.push(150);
    }
    if style.has_line {
        limits = limits.fifo(Fifo::Everybody);
    }
    let rules = if style.has_tokens {
        Rules::new(Bound::timed(0, 0))
    } else {
        Rules::tokenless()
    };
    let rules = rules.durable().limits(limits);
    if style.has_line { rules.line() } else { rules }
}

fn lines(history: &History) -> String {
    let mut lines = Vec::new();
    history.write_lines(&mut lines).expect("memory takes all");
    String::from_utf8(lines).expect("JSON is text")
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn a_right_lock_breaks_no_rule(seed in any::<u64>()) {
        let style = style(seed, Bug::None);
        let mut history = run(seed, style);
        restarts(&mut history);
        let verdict = judge(&history, &rules(style));
        if let Verdict::Invalid(violation) = &verdict {
            let text = violation.explain(&history);
            prop_assert!(false, "{} healed at {:?}\n{}", text, history.healed_at(), lines(&history));
        }
        prop_assert_eq!(verdict, Verdict::Valid);
    }
}

/// How many of so many runs of a broken lock break which property.
fn broken(bug: Bug, runs: u64) -> BTreeMap<Property, u32> {
    let mut found = BTreeMap::new();
    for seed in 0..runs {
        let mut style = style(seed, bug);
        if bug == Bug::LastFirst {
            (style.has_line, style.push) = (true, true);
        }
        let history = run(seed, style);
        for violation in violations(&history, &rules(style)) {
            *found.entry(violation.property).or_insert(0) += 1;
        }
    }
    found
}

#[test]
fn each_way_to_break_it_is_found_by_the_rules_made_for_it() {
    let expected = [
        (Bug::BelievesTooLong, vec![Property::Me2, Property::Ow3]),
        // Where an unknown acquire may have come after a lease, it may be the one that is kept.
        (Bug::KeepsLeases, vec![Property::Lv1, Property::Lv3]),
        (Bug::KeepsOrphans, vec![Property::Lv3]),
        (Bug::LastFirst, vec![Property::Lv4]),
        // Whoever is first in line does not hear that the lock was kept for it.
        (Bug::Silent, vec![Property::Lv2, Property::Lv4]),
    ];
    for (bug, properties) in expected {
        let found = broken(bug, 300);
        println!("{bug:?} {found:?}");
        let kinds: Vec<Property> = found.keys().copied().collect();
        assert_eq!(kinds, properties, "{bug:?}: {found:?}");
    }
}

#[test]
fn the_runs_hold_whatever_can_happen() {
    let mut seen = BTreeMap::new();
    for seed in 0..300 {
        let history = run(seed, style(seed, Bug::None));
        for operation in history.operations() {
            let what = format!("{:?} {:?}", operation.step, operation.outcome);
            *seen.entry(what).or_insert(0_u32) += 1;
        }
    }
    println!("{seen:?}");
    for step in [
        Step::Acquire,
        Step::Commit,
        Step::CommitRelease,
        Step::Release,
        Step::Renew,
    ] {
        for outcome in [Outcome::Done, Outcome::Refused, Outcome::Unknown] {
            let what = format!("{step:?} {outcome:?}");
            assert!(
                seen.get(&what).is_some_and(|count| *count > 20),
                "{what} is rare"
            );
        }
    }
}
