//! Each fault is named by the property that it breaks, and by those who show it.

use crate::checker::token::check;
use crate::history::{History, Key, NEVER, Operation, Outcome, Step, Value};
use crate::spec::{Bound, Property, Verdict};

use Outcome::{Done, NotApplied, Refused, Unknown};
use Property::{Er1, Fn1, Fn2, Fn3, Fn4, Ls1, Ls3, Me1, Ow1, Ow2, Tk1, Tk2};
use Step::{Acquire, Commit, CommitRelease, ForceRelease, Peek, Release, Renew};

const TTL: u64 = 100;

struct Script {
    history: History,
    key: Key,
}

impl Script {
    fn new() -> Self {
        let mut history = History::new();
        let key = history.key("k");
        Self { history, key }
    }

    fn add(mut self, times: (u64, u64), step: Step, outcome: Outcome, token: u64) -> Self {
        self.push(times, step, outcome, token, Value::UNSEEN);
        self
    }

    fn with(
        mut self,
        times: (u64, u64),
        step: Step,
        outcome: Outcome,
        token: u64,
        value: &str,
    ) -> Self {
        let value = match value {
            "" => Value::NONE,
            text => self.history.value(text),
        };
        self.push(times, step, outcome, token, value);
        self
    }

    fn push(&mut self, times: (u64, u64), step: Step, outcome: Outcome, token: u64, value: Value) {
        self.history.push(Operation {
            invoked: times.0,
            returned: times.1,
            token,
            ttl_ns: TTL,
            key: self.key,
            client: 0,
            task: 0,
            value,
            step,
            outcome,
        });
    }

    #[track_caller]
    fn breaks(self, property: Property, culprits: &[usize]) {
        let found = check(&self.history, Bound::timed(0, 0), 1_000_000);
        let Verdict::Invalid(violation) = found else {
            panic!("{found:?} where {property} is broken");
        };
        let text = violation.explain(&self.history);
        assert_eq!(violation.property, property, "{text}");
        assert_eq!(violation.culprits, culprits, "{text}");
    }

    #[track_caller]
    fn holds(self) {
        let found = check(&self.history, Bound::timed(0, 0), 1_000_000);
        assert_eq!(found, Verdict::Valid);
    }
}

#[test]
fn a_token_granted_twice() {
    let script = Script::new().add((0, 10), Acquire, Done, 7);
    let script = script.add((20, 30), Release, Done, 7);
    script.add((40, 50), Acquire, Done, 7).breaks(Tk2, &[0, 2]);
}

#[test]
fn a_token_smaller_than_the_one_before() {
    let script = Script::new().add((0, 10), Acquire, Done, 7);
    let script = script.add((20, 30), Release, Done, 7);
    script.add((40, 50), Acquire, Done, 6).breaks(Tk1, &[2, 0]);
}

#[test]
fn a_smaller_token_that_read_what_the_larger_one_wrote() {
    let script = Script::new().with((0, 10), Acquire, Done, 7, "");
    let script = script.with((20, 30), CommitRelease, Done, 7, "a");
    let script = script.with((40, 50), Acquire, Done, 6, "a");
    script.breaks(Tk1, &[2, 0]);
}

#[test]
fn a_grant_within_a_lease_that_nobody_ended() {
    let script = Script::new().add((0, 10), Acquire, Done, 1);
    script.add((40, 50), Acquire, Done, 2).breaks(Ls1, &[0, 1]);
}

#[test]
fn a_grant_within_a_lease_that_another_released() {
    let script = Script::new().add((0, 10), Acquire, Done, 1);
    let script = script.add((150, 155), Acquire, Done, 2);
    // It may have been in time for the first lease, but then the second is still in force.
    let script = script.add((140, 180), Release, Done, 1);
    script
        .add((190, 200), Acquire, Done, 3)
        .breaks(Me1, &[1, 3, 2]);
}

#[test]
fn a_grant_within_a_lease_whose_holder_found_it_released_by_another() {
    let script = Script::new().add((0, 10), Acquire, Done, 1);
    let script = script.add((150, 155), Acquire, Done, 2);
    let script = script.add((140, 180), Release, Done, 1);
    let script = script.add((185, 186), Renew, Refused, 2);
    script
        .add((190, 200), Acquire, Done, 3)
        .breaks(Me1, &[1, 4, 2]);
}

#[test]
fn a_lease_that_ended_before_its_time_is_not_blamed_on_the_release_that_made_room_for_it() {
    let script = Script::new().add((0, 10), Acquire, Done, 1);
    let script = script.add((20, 30), Release, Done, 1);
    let script = script.add((15, 30), Acquire, Done, 2);
    script.add((40, 50), Acquire, Done, 3).breaks(Ls1, &[2, 3]);
}

#[test]
fn a_commit_that_was_reported_as_not_applied_and_is_read() {
    let script = Script::new().with((0, 10), Acquire, Done, 1, "");
    let script = script.with((20, 30), Commit, NotApplied, 1, "a");
    let script = script.add((40, 50), Release, Done, 1);
    let script = script.with((60, 70), Acquire, Done, 2, "a");
    script.breaks(Er1, &[3, 1]);
}

#[test]
fn a_refusal_that_only_an_unknown_lease_of_too_short_a_time_explains() {
    let script = Script::new().add((0, 10), Acquire, Done, 1);
    let script = script.add((20, 30), Release, Done, 1);
    let script = script.add((25, 60), Acquire, Unknown, 0);
    let script = script.add((40, 50), Acquire, Refused, 0);
    let script = script.add((70, 80), Acquire, Done, 3);
    script.breaks(Ls1, &[3, 1, 4]);
}

#[test]
fn a_renewal_that_does_not_prolong() {
    let script = Script::new().add((0, 10), Acquire, Done, 1);
    let script = script.add((80, 90), Renew, Done, 1);
    script
        .add((150, 160), Acquire, Done, 2)
        .breaks(Ls3, &[1, 2, 0]);
}

#[test]
fn a_renewal_after_another_was_granted() {
    let script = Script::new().add((0, 10), Acquire, Done, 1);
    let script = script.add((150, 160), Acquire, Done, 2);
    script
        .add((170, 180), Renew, Done, 1)
        .breaks(Ow1, &[2, 1, 0]);
}

#[test]
fn a_commit_after_another_was_granted() {
    let script = Script::new().add((0, 10), Acquire, Done, 1);
    let script = script.add((150, 160), Acquire, Done, 2);
    script
        .add((170, 180), Commit, Done, 1)
        .breaks(Fn1, &[2, 1, 0]);
}

#[test]
fn a_second_release() {
    let script = Script::new().add((0, 10), Acquire, Done, 1);
    let script = script.add((20, 30), Release, Done, 1);
    script
        .add((40, 50), Release, Done, 1)
        .breaks(Ow1, &[1, 2, 0]);
}

#[test]
fn a_commit_under_a_token_that_nobody_has() {
    let script = Script::new().add((0, 10), Acquire, Done, 1);
    script.add((20, 30), Commit, Done, 9).breaks(Fn1, &[1, 0]);
}

#[test]
fn a_holder_that_is_told_otherwise() {
    let script = Script::new().add((0, 10), Acquire, Done, 1);
    let script = script.add((20, 30), Renew, Refused, 1);
    script.add((40, 50), Renew, Done, 1).breaks(Ow2, &[2, 1, 0]);
    let script = Script::new().add((0, 10), Acquire, Done, 1);
    script.add((20, 30), Renew, Refused, 1).breaks(Ls1, &[0, 1]);
}

#[test]
fn a_refusal_while_nobody_holds_it() {
    let script = Script::new().add((0, 10), Acquire, Done, 1);
    let script = script.add((20, 30), Release, Done, 1);
    let script = script.add((40, 50), Acquire, Refused, 0);
    script
        .add((60, 70), Acquire, Done, 2)
        .breaks(Er1, &[2, 1, 3]);
}

#[test]
fn a_forced_release_that_finds_nobody_though_somebody_holds_it() {
    let script = Script::new().add((0, 10), Acquire, Done, 1);
    script
        .add((20, 30), ForceRelease, Refused, 0)
        .breaks(Ow2, &[1, 0]);
}

#[test]
fn a_lost_update() {
    let script = Script::new().with((0, 10), Acquire, Done, 1, "");
    let script = script.with((20, 30), CommitRelease, Done, 1, "a");
    script
        .with((40, 50), Acquire, Done, 2, "")
        .breaks(Fn2, &[2, 1]);
}

#[test]
fn a_write_after_the_check() {
    let script = Script::new().with((0, 10), Acquire, Done, 1, "");
    // The grant that follows reads nothing, so this was not written when the lease ended.
    let script = script.with((20, 300), Commit, Done, 1, "a");
    script
        .with((150, 160), Acquire, Done, 2, "")
        .breaks(Fn4, &[2, 1]);
}

#[test]
fn a_write_after_the_check_over_what_another_committed_meanwhile() {
    let script = Script::new().with((0, 10), Acquire, Done, 1, "");
    let script = script.with((20, 300), Commit, Done, 1, "a");
    let script = script.with((150, 160), Acquire, Done, 2, "");
    let script = script.with((170, 180), CommitRelease, Done, 2, "b");
    script
        .with((310, 320), Acquire, Done, 3, "a")
        .breaks(Fn4, &[2, 1]);
}

#[test]
fn a_write_that_was_not_asked_for_before_another_was_granted() {
    for (outcome, returned) in [(Done, 300), (Unknown, NEVER)] {
        let script = Script::new().with((0, 10), Acquire, Done, 1, "");
        let script = script.with((150, 160), Acquire, Done, 2, "");
        let script = script.with((170, returned), Commit, outcome, 1, "a");
        let script = script.with((180, 190), CommitRelease, Done, 2, "b");
        script
            .with((310, 320), Acquire, Done, 3, "a")
            .breaks(Fn1, &[1, 2]);
    }
}

#[test]
fn a_value_that_nobody_committed() {
    let script = Script::new().with((0, 10), Acquire, Done, 1, "");
    let script = script.with((20, 30), CommitRelease, Done, 1, "a");
    script
        .with((40, 50), Peek, Done, 0, "b")
        .breaks(Fn3, &[2, 1]);
}

#[test]
fn a_peek_of_what_was_overwritten() {
    let script = Script::new().with((0, 10), Acquire, Done, 1, "");
    let script = script.with((20, 30), Commit, Done, 1, "a");
    let script = script.with((40, 50), Commit, Done, 1, "b");
    script
        .with((60, 70), Peek, Done, 1, "a")
        .breaks(Fn2, &[2, 3]);
}

#[test]
fn unknown_outcomes_explain_what_they_can() {
    let script = Script::new().add((0, 10), Acquire, Done, 1);
    let script = script.add((20, NEVER), Release, Unknown, 1);
    script.add((40, 50), Acquire, Done, 2).holds();
    let script = Script::new().add((0, NEVER), Acquire, Unknown, 0);
    script.add((40, 50), Acquire, Refused, 0).holds();
    let script = Script::new().with((0, 10), Acquire, Done, 1, "");
    let script = script.with((20, NEVER), CommitRelease, Unknown, 1, "a");
    script.with((40, 50), Acquire, Done, 2, "a").holds();
    // If it ended the lease it also wrote.
    let script = Script::new().with((0, 10), Acquire, Done, 1, "");
    let script = script.with((20, NEVER), CommitRelease, Unknown, 1, "a");
    script
        .with((40, 50), Acquire, Done, 2, "")
        .breaks(Ls1, &[0, 2]);
}
