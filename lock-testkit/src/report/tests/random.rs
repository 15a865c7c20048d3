//! Whatever the history, there is a report of it.

use proptest::prelude::*;

use super::super::WIDTH;
use super::Report;
use crate::history::{Belief, History, Mark, MarkKind, NEVER, Operation, Outcome, Step, Value};
use crate::spec::{Bound, Property, Violation};

const STEPS: [Step; 7] = [
    Step::Acquire,
    Step::Commit,
    Step::CommitRelease,
    Step::ForceRelease,
    Step::Peek,
    Step::Release,
    Step::Renew,
];
const OUTCOMES: [Outcome; 4] = [
    Outcome::Done,
    Outcome::NotApplied,
    Outcome::Refused,
    Outcome::Unknown,
];

/// Moments near each other, far apart, and at the ends of what there is.
fn moment() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0_u64..30,
        4 => (0_u64..900).prop_map(|at| at * 100_000),
        1 => any::<u64>(),
        1 => Just(NEVER),
        1 => Just(NEVER - 1),
    ]
}

fn token() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0_u64..5, 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{0,3}", "\\PC{0,60}", any::<String>()]
}

prop_compose! {
    fn operation()(
        invoked in moment(), length in moment(), token in token(), ttl_ns in moment(),
        key in 0_usize..3, client in prop_oneof![4 => 0_u32..3, 1 => any::<u32>()],
        task in prop_oneof![4 => Just(0_u16), 1 => any::<u16>()], value in 0_usize..5,
        step in 0_usize..7, outcome in 0_usize..4,
    ) -> (Operation, usize, usize) {
        let mut history = History::new();
        let operation = Operation {
            invoked, returned: invoked.saturating_add(length), token, ttl_ns,
            key: history.key(""), client, task, value: Value::NONE,
            step: STEPS[step], outcome: OUTCOMES[outcome],
        };
        (operation, key, value)
    }
}

prop_compose! {
    fn history()(
        operations in prop::collection::vec(operation(), 0..14),
        names in prop::collection::vec(text(), 3),
        values in prop::collection::vec(text(), 3),
        beliefs in prop::collection::vec((0_usize..3, 0_u32..3, token(), moment(), moment()), 0..8),
        marks in prop::collection::vec((moment(), moment(), any::<Option<u32>>(), text()), 0..8),
        healed in prop::option::of(moment()),
    ) -> History {
        let mut history = History::new();
        for (mut operation, key, value) in operations {
            operation.key = history.key(&names[key]);
            operation.value = match value {
                3 => Value::NONE,
                4 => Value::UNSEEN,
                value => history.value(&values[value]),
            };
            history.push(operation);
        }
        for (key, client, token, from, until) in beliefs {
            let key = history.key(&names[key]);
            history.believe(Belief { key, client, task: 0, token, from, until });
        }
        for (from, until, client, text) in marks {
            history.mark(Mark { from, until, client, kind: MarkKind::Fault, text });
        }
        if let Some(healed) = healed {
            history.heal_at(healed);
        }
        history
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_report_of_anything_is_written_within_its_width(
        history in history(),
        property in 0_usize..Property::ALL.len(),
        culprits in prop::collection::vec(0_usize..16, 0..7),
        bound in prop_oneof![Just(Bound::Untimed), Just(Bound::DEFAULT), Just(Bound::timed(u32::MAX, u64::MAX))],
        subject in text(),
    ) {
        let mut violation = Violation::new(Property::ALL[property], bound, &culprits);
        violation.culprits = culprits;
        let report = Report::new(&history, &violation).subject(subject.clone()).case(subject);
        let text = report.to_string();
        for line in text.lines() {
            prop_assert!(line.chars().count() <= WIDTH, "{line}");
        }
        prop_assert!(text.starts_with(violation.property.id()));
        let known = violation.culprits.iter().filter(|at| **at < history.operations().len());
        let core = super::core(&history, &violation);
        prop_assert!(core.len() <= 6);
        for culprit in known.take(4) {
            prop_assert!(core.contains(culprit));
        }
        let page = super::super::page::page(&report).unwrap();
        prop_assert_eq!(page.matches("</script").count(), 2);
    }
}
