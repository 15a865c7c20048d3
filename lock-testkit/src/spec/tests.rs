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

/// The cells of each row of a table, by the id in its first one.
fn row(text: &str, id: &str) -> Vec<String> {
    let start = format!("| {id} |");
    let mut rows = text.lines().filter(|line| line.starts_with(&start));
    let row = rows.next().unwrap_or_else(|| panic!("{id} has no row"));
    assert_eq!(rows.next(), None, "{id} has two rows");
    let cells = row.trim_matches('|').split('|');
    cells.map(|cell| cell.trim().to_owned()).collect()
}

#[test]
fn the_document_of_properties_has_each_with_its_rule_and_clauses_that_there_are() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");
    let text = std::fs::read_to_string(format!("{folder}/properties.md")).unwrap();
    let guarantees = std::fs::read_to_string(format!("{folder}/guarantees.md")).unwrap();
    for property in Property::ALL {
        let row = row(&text, property.id());
        let [_, rule, clauses, trigger] = row.as_slice() else {
            panic!("{property} has {} cells", row.len());
        };
        assert_eq!(rule, property.rule());
        assert!(!trigger.is_empty(), "{property} has no trigger");
        for clause in clauses.split(", ") {
            let title = format!("\n## {clause} ");
            assert!(
                guarantees.contains(&title),
                "{property}: {clause} is no clause"
            );
        }
    }
    let rows = text.lines().filter(|line| line.starts_with("| ")).count();
    assert_eq!(rows, Property::ALL.len() + 1, "a row names no property");
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
