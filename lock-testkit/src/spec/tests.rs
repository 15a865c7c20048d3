use super::{Bound, Property, Violation};
use crate::history::{History, Operation, Outcome, Step, Value};

#[test]
fn a_lease_lasts_its_ttl_less_drift_and_granularity() {
    assert_eq!(
        Bound::timed(500, 1_000_000).at_least(10_000_000_000),
        9_994_000_000
    );
    assert_eq!(Bound::DEFAULT.at_least(500_000), 0);
    assert_eq!(Bound::Untimed.at_least(10_000_000_000), 0);
}

#[test]
fn an_explanation_names_the_rule_and_a_line_for_each_culprit() {
    let mut history = History::new();
    let (key, value) = (history.key("stock"), history.value("[7]"));
    history.push(Operation {
        invoked: 3,
        returned: 9,
        token: 7,
        ttl_ns: 0,
        key,
        client: 2,
        task: 0,
        value,
        step: Step::Commit,
        outcome: Outcome::Done,
    });
    assert_ne!(value, Value::NONE);
    let violation = Violation::new(Property::Fn1, Bound::Untimed, &[0, 0]);
    assert_eq!(
        violation.explain(&history),
        "FN-1: a commit took effect outside its own lease (a lease may expire at any time)\n  \
         3 ns to 9 ns: client 2, Commit of \"stock\", token 7, value \"[7]\": Done"
    );
}
