mod brute;
mod generate;
mod named;

use proptest::prelude::*;

use super::super::cases::config;
use super::check;
use crate::history::{History, NEVER, Operation, Outcome, Step};
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
fn refusals_that_only_unknown_acquires_explain_need_no_search() {
    let mut history = History::new();
    let key = history.key("k");
    for round in 0..8 {
        let from = round * 1_000;
        let grant = generate::grant(key, from, from + 10, 2 * round + 1, 50);
        let unknown = Operation {
            invoked: from + 100,
            returned: NEVER,
            token: 0,
            outcome: Outcome::Unknown,
            ..grant
        };
        let refused = Operation {
            invoked: from + 120,
            returned: from + 130,
            outcome: Outcome::Refused,
            ..unknown
        };
        let release = Operation {
            invoked: from + 60,
            returned: from + 70,
            step: Step::Release,
            ..grant
        };
        for operation in [grant, release, refused, unknown] {
            history.push(operation);
        }
    }
    assert_eq!(check(&history, Bound::timed(0, 0), 0), Verdict::Valid);
    let refused = history.operations()[2];
    // The lease is over, and no acquire is left that may have been granted by then.
    history.push(Operation {
        invoked: 80,
        returned: 90,
        ..refused
    });
    let found = check(&history, Bound::timed(0, 0), 1_000_000);
    assert!(matches!(found, Verdict::Invalid(_)), "{found:?}");
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
