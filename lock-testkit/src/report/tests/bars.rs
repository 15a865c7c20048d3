//! For how long a lease must have been held, and for how long it may have been.

use super::super::lease::bars;
use super::{NEVER, Script, TENTH};
use crate::history::{Outcome, Step};
use crate::spec::Bound;

use Outcome::{Done, Refused, Unknown};
use Step::{Acquire, Commit, CommitRelease, ForceRelease, Release, Renew};

/// No end.
const OPEN: u64 = u64::MAX;

fn granted() -> Script {
    Script::new().add(0, (0, 10), Acquire, Done, 7)
}

/// From, sure from, sure until and until of each lease, in tenths of a millisecond.
#[track_caller]
fn assert_bars(script: &Script, bound: Bound, expected: &[[u64; 4]]) {
    let tenths = |at: u64| if at == NEVER { OPEN } else { at / TENTH };
    let bars = bars(&script.history, bound, |_, _| true);
    let found = bars
        .iter()
        .map(|bar| [bar.from, bar.sure_from, bar.sure_until, bar.until]);
    let found: Vec<[u64; 4]> = found.map(|bar| bar.map(tenths)).collect();
    assert_eq!(found, expected);
}

const EXACT: Bound = Bound::timed(0, 0);

#[test]
fn a_lease_lasts_its_ttl_from_its_request_at_least() {
    assert_bars(&granted(), EXACT, &[[0, 10, 500, OPEN]]);
    assert_bars(
        &granted(),
        Bound::timed(0, 10_000_000),
        &[[0, 10, 400, OPEN]],
    );
    assert_bars(&granted(), Bound::Untimed, &[[0, 10, 10, OPEN]]);
}

#[test]
fn a_step_that_was_done_shows_that_it_lasted_until_it_was_asked() {
    let script = granted().add(0, (300, 310), Commit, Done, 7);
    assert_bars(&script, Bound::Untimed, &[[0, 10, 300, OPEN]]);
    let script = granted().add(0, (300, 310), Renew, Done, 7);
    assert_bars(&script, EXACT, &[[0, 10, 800, OPEN]]);
    let script = granted().add(0, (300, 310), Renew, Unknown, 7);
    assert_bars(&script, EXACT, &[[0, 10, 500, OPEN]]);
}

#[test]
fn what_ends_it_leaves_it_uncertain_only_while_it_is_under_way() {
    for step in [Release, CommitRelease, ForceRelease] {
        let script = granted().add(0, (300, 310), step, Done, 7);
        assert_bars(&script, EXACT, &[[0, 10, 300, 310]]);
        let script = granted().add(0, (300, 0), step, Unknown, 7);
        assert_bars(&script, EXACT, &[[0, 10, 300, OPEN]]);
        let script = granted().add(0, (800, 810), step, Done, 7);
        assert_bars(&script, EXACT, &[[0, 10, 800, 810]]);
    }
    // The first of two ends is the one that counts, in whatever order they were noted.
    let script = granted().add(0, (300, 310), Release, Done, 7);
    let script = script.add(0, (200, 210), Release, Done, 7);
    assert_bars(&script, EXACT, &[[0, 10, 200, 210]]);
}

#[test]
fn the_next_grant_or_a_refused_step_shows_that_it_is_over() {
    let script = granted().add(1, (700, 710), Acquire, Done, 8);
    let script = script.add(0, (750, 760), Commit, Done, 7);
    let bars = [[0, 10, 500, 710], [700, 710, 1_200, OPEN]];
    assert_bars(&script, EXACT, &bars);
    let script = granted().add(0, (700, 710), Renew, Refused, 7);
    assert_bars(&script, EXACT, &[[0, 10, 500, 710]]);
    // A refusal from before the grant says nothing of it.
    let script = granted().add(0, (5, 8), Renew, Refused, 7);
    assert_bars(&script, EXACT, &[[0, 10, 500, OPEN]]);
}

#[test]
fn leases_that_contradict_each_other_are_both_shown_as_they_should_have_been() {
    let script = granted().add(1, (100, 110), Acquire, Done, 8);
    let bars = [[0, 10, 500, 500], [100, 110, 600, OPEN]];
    assert_bars(&script, EXACT, &bars);
    let again = granted().add(1, (600, 610), Acquire, Done, 7);
    let again = again.add(0, (20, 30), Release, Done, 7);
    let again = again.add(1, (700, 710), Release, Done, 7);
    assert_bars(&again, EXACT, &[[0, 10, 20, 30], [600, 610, 700, 710]]);
    let smaller = granted().add(1, (600, 610), Acquire, Done, 6);
    assert_bars(
        &smaller,
        EXACT,
        &[[0, 10, 500, 610], [600, 610, 1_100, OPEN]],
    );
}

#[test]
fn leases_of_other_locks_do_not_concern_it() {
    let script = granted().on("other").add(1, (700, 710), Acquire, Done, 8);
    let script = script.add(1, (720, 730), Release, Done, 7);
    let bars = [[0, 10, 500, OPEN], [700, 710, 1_200, OPEN]];
    assert_bars(&script, EXACT, &bars);
}
