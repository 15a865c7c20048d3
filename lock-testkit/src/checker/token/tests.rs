mod brute;
mod generate;
mod named;

use proptest::prelude::*;

use super::super::cases::config;
use super::check;
use crate::history::History;
use crate::spec::{Bound, Verdict};
use brute::brute;
use generate::{Kind, generate};

fn lines(history: &History) -> String {
    let mut lines = Vec::new();
    history.write_lines(&mut lines).expect("memory takes all");
    String::from_utf8(lines).expect("JSON is text")
}

fn compare(kind: Kind, seed: u64) -> Result<(), TestCaseError> {
    let history = generate(kind, seed);
    for bound in [Bound::Untimed, Bound::timed(0, 0)] {
        let expected = brute(history.operations(), bound);
        let found = check(&history, bound, u64::MAX);
        prop_assert_eq!(
            found == Verdict::Valid,
            expected,
            "{:?} under {}:\n{}",
            found,
            bound,
            lines(&history)
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn plain_leases_are_judged_as_by_every_run(seed in any::<u64>()) {
        compare(Kind::Plain, seed)?;
    }

    #[test]
    fn leases_with_values_are_judged_as_by_every_run(seed in any::<u64>()) {
        compare(Kind::Values, seed)?;
    }

    #[test]
    fn leases_with_forced_releases_and_repeated_values_are_judged_as_by_every_run(
        seed in any::<u64>(),
    ) {
        compare(Kind::Everything, seed)?;
    }
}

#[test]
fn each_key_is_judged_by_itself() {
    let mut history = History::new();
    let (one, other) = (history.key("one"), history.key("other"));
    for key in [one, other] {
        history.push(generate::grant(key, 10, 20, 1, 50));
    }
    assert_eq!(check(&history, Bound::timed(0, 0), 1000), Verdict::Valid);
    history.push(generate::grant(other, 30, 40, 2, 50));
    let Verdict::Invalid(violation) = check(&history, Bound::timed(0, 0), 1000) else {
        panic!("the leases of one key overlap");
    };
    assert_eq!(violation.culprits, [1, 2]);
}
