use super::*;
use crate::entropy::SeededEntropy;

enum Event {
    Refused(Option<u64>),
    Ended,
    Failed,
    FailedForGood,
    Watching,
    WatchEnded,
    Woken,
}
use Event::*;

fn at(ms: u64) -> Moment {
    Moment::from_nanos(ms * 1_000_000)
}

fn wait(ms: u64) -> Option<Step> {
    Some(Step::Wait { until: at(ms) })
}

/// Runs a table of (time in ms, event, expected step); `None` accepts any wait.
#[track_caller]
fn check(limit: Limit, push: bool, table: &[(u64, Event, Option<Step>)]) {
    let options = LockOptions::builder()
        .patience(Duration::from_secs(3))
        .poll(Duration::from_millis(10), Duration::from_secs(1))
        .build()
        .unwrap();
    let entropy = SeededEntropy::new(1);
    let mut plan = AcquirePlan::new(limit, &options, push);
    for (i, (now, event, expected)) in table.iter().enumerate() {
        let now = at(*now);
        let step = match event {
            Refused(left) => {
                plan.refused(Refusal::new(left.map(Duration::from_millis)), now, &entropy)
            }
            Ended => plan.ended(now, &entropy),
            Failed => plan.failed(true, now, now, &entropy),
            FailedForGood => plan.failed(false, now, now, &entropy),
            Watching => plan.watching(),
            WatchEnded => {
                plan.watch_ended();
                continue;
            }
            Woken => plan.woken(now),
        };
        match expected {
            Some(expected) => assert_eq!(step, *expected, "row {i}"),
            None => match step {
                Step::Wait { until } => {
                    assert!(
                        until > now && until <= now.after(Duration::from_secs(1)),
                        "row {i}"
                    );
                }
                other => panic!("row {i}: {other:?}"),
            },
        }
    }
}

#[test]
fn a_try_ends_with_the_first_refusal() {
    check(
        Limit::Try,
        true,
        &[(0, Refused(Some(100)), Some(Step::Refused))],
    );
}

#[test]
fn a_waiter_watches_then_asks_once_more_then_waits_for_the_expiry() {
    check(
        Limit::None,
        true,
        &[
            (0, Refused(Some(5000)), Some(Step::WatchThenAttempt)),
            (1, Watching, Some(Step::Attempt)),
            (2, Refused(Some(4998)), wait(5002)),
            (900, Woken, Some(Step::Attempt)),
            (901, Refused(Some(4000)), wait(4903)),
        ],
    );
}

#[test]
fn a_waiter_looks_again_however_long_the_lease_is() {
    check(
        Limit::None,
        true,
        &[
            (0, Refused(None), Some(Step::WatchThenAttempt)),
            (0, Watching, Some(Step::Attempt)),
            (0, Refused(None), wait(10_000)),
            (10_000, Woken, Some(Step::Attempt)),
            (10_000, Refused(Some(86_400_000)), wait(20_000)),
        ],
    );
}

#[test]
fn without_push_it_polls_with_jitter_but_not_past_the_expiry() {
    check(
        Limit::None,
        false,
        &[
            (0, Refused(Some(5000)), None),
            (50, Refused(Some(3)), wait(55)),
            (60, Failed, None),
        ],
    );
}

#[test]
fn when_wake_ups_end_it_polls() {
    check(
        Limit::None,
        true,
        &[
            (0, Refused(Some(9000)), Some(Step::WatchThenAttempt)),
            (0, Watching, Some(Step::Attempt)),
            (0, WatchEnded, None),
            (0, Refused(Some(9000)), None),
        ],
    );
}

#[test]
fn no_wait_passes_the_deadline() {
    check(
        Limit::Until(at(100)),
        true,
        &[
            (0, Refused(Some(5000)), Some(Step::WatchThenAttempt)),
            (1, Watching, Some(Step::Attempt)),
            (2, Refused(Some(4998)), wait(100)),
            (100, Woken, Some(Step::TimedOut)),
            (100, Refused(Some(1)), Some(Step::TimedOut)),
            (100, Failed, Some(Step::TimedOut)),
        ],
    );
}

#[test]
fn a_store_that_does_not_answer_is_given_up_after_the_patience_is_spent() {
    check(
        Limit::None,
        true,
        &[
            (1000, Failed, None),
            (3999, Failed, wait(4000)),
            (4000, Failed, Some(Step::GiveUp)),
        ],
    );
}

#[test]
fn an_answer_renews_the_patience() {
    check(
        Limit::None,
        false,
        &[
            (0, Failed, None),
            (2999, Refused(None), None),
            (3500, Failed, None),
            (6499, Failed, None),
        ],
    );
}

#[test]
fn what_will_not_go_away_is_not_tried_again() {
    check(Limit::None, true, &[(0, FailedForGood, Some(Step::GiveUp))]);
}

#[test]
fn an_owner_that_has_ended_is_replaced_without_haste() {
    check(
        Limit::Until(at(100)),
        true,
        &[
            (0, Ended, None),
            (99, Ended, wait(100)),
            (100, Ended, Some(Step::TimedOut)),
        ],
    );
}
