use super::*;

enum Event {
    Look,
    Suspect,
    Answer { sent: u64, outcome: Outcome },
}
use Event::*;

fn at(ms: u64) -> Moment {
    Moment::from_nanos(ms * 1_000_000)
}

fn sleep(ms: u64) -> Step {
    Step::Sleep { until: at(ms) }
}

const EXPIRED: Step = Step::Lost {
    cause: LossCause::Expired,
};

/// Runs a table of (time in ms, event, expected step) on a lease with a ttl of 3 s, a renew interval
/// of 1 s and a drift allowance of 100 ms, asked for at 0.
#[track_caller]
fn check(table: &[(u64, Event, Step)]) {
    let options = LockOptions::builder()
        .ttl(Duration::from_secs(3))
        .drift_allowance(Duration::from_millis(100))
        .build()
        .unwrap();
    let mut plan = RenewalPlan::new(at(0), &options);
    for (i, (now, event, expected)) in table.iter().enumerate() {
        let now = at(*now);
        let step = match event {
            Look => plan.look(now, Duration::ZERO),
            Suspect => {
                plan.suspect(now);
                plan.look(now, Duration::ZERO)
            }
            Answer { sent, outcome } => plan.answered(*outcome, at(*sent), now),
        };
        assert_eq!(step, *expected, "row {i}");
    }
}

#[test]
fn a_lease_is_renewed_each_third_and_counts_from_the_sending() {
    check(&[
        (0, Look, sleep(1000)),
        (1000, Look, Step::Renew),
        (1001, Look, sleep(2900)),
        (
            1400,
            Answer {
                sent: 1000,
                outcome: Outcome::Renewed,
            },
            sleep(2000),
        ),
        (2000, Look, Step::Renew),
        (
            2001,
            Answer {
                sent: 2000,
                outcome: Outcome::Renewed,
            },
            sleep(3000),
        ),
        (4900, Look, EXPIRED),
    ]);
}

#[test]
fn failures_are_repeated_until_the_end_of_validity() {
    check(&[
        (1000, Look, Step::Renew),
        (
            2000,
            Answer {
                sent: 1000,
                outcome: Outcome::Failed,
            },
            sleep(2250),
        ),
        (2250, Look, Step::Renew),
        (
            2800,
            Answer {
                sent: 2250,
                outcome: Outcome::Failed,
            },
            sleep(2900),
        ),
        (2899, Look, sleep(2900)),
        (2900, Look, EXPIRED),
    ]);
}

#[test]
fn a_renewal_that_hangs_does_not_hide_the_end() {
    check(&[(1000, Look, Step::Renew), (2900, Look, EXPIRED)]);
}

#[test]
fn an_answer_after_the_end_revives_nothing() {
    check(&[
        (1000, Look, Step::Renew),
        (
            2900,
            Answer {
                sent: 1000,
                outcome: Outcome::Renewed,
            },
            EXPIRED,
        ),
    ]);
}

#[test]
fn the_stores_word_for_the_cause_wins() {
    let forced = Outcome::Lost {
        cause: LossCause::Forced,
    };
    check(&[
        (1000, Look, Step::Renew),
        (
            3500,
            Answer {
                sent: 1000,
                outcome: forced,
            },
            Step::Lost {
                cause: LossCause::Forced,
            },
        ),
    ]);
}

#[test]
fn a_suspicion_is_looked_into_at_once_but_not_twice_at_a_time() {
    check(&[
        (10, Suspect, Step::Renew),
        (11, Suspect, sleep(2900)),
        (
            20,
            Answer {
                sent: 10,
                outcome: Outcome::Renewed,
            },
            sleep(20),
        ),
        (20, Look, Step::Renew),
        (
            30,
            Answer {
                sent: 20,
                outcome: Outcome::Renewed,
            },
            sleep(1020),
        ),
    ]);
}

#[test]
fn a_blocked_runtime_learns_of_the_loss_when_it_wakes() {
    check(&[(0, Look, sleep(1000)), (60_000, Look, EXPIRED)]);
}

#[test]
fn a_renewal_joins_a_batch_only_within_its_slack() {
    let options = LockOptions::builder()
        .ttl(Duration::from_secs(3))
        .build()
        .unwrap();
    let mut plan = RenewalPlan::new(at(0), &options);
    assert_eq!(plan.look(at(800), Duration::from_millis(100)), sleep(1000));
    assert_eq!(plan.look(at(900), Duration::from_millis(100)), Step::Renew);
}
