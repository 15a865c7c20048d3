//! Plans in virtual time: they repeat, they shrink, and the reference backend passes them.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Clock, MemoryBackend, Moment};
use lock_testkit::checker::liveness::Limits;
use lock_testkit::history::{History, Operation, Outcome, Step};
use lock_testkit::hunt::{Plans, hunt_virtual};
use lock_testkit::judge::{Rules, judge};
use lock_testkit::plan::{Act, End, Mix, Plan, PlannedFault, Work};
use lock_testkit::run::run_virtual;
use lock_testkit::spec::{Property, Verdict, Violation};
use lock_testkit::subject::{Simulated, Subject, Traits};
use lock_testkit::{Fault, StepKind, Weather};

fn traits() -> Traits {
    Simulated::memory().traits()
}

fn lines(history: &History) -> String {
    let mut lines = Vec::new();
    history.write_lines(&mut lines).unwrap();
    String::from_utf8(lines).unwrap()
}

fn judged(plan: &Plan, history: &History) -> Option<Violation> {
    let rules = Rules::of(&traits(), true).limits(Limits::simulated(plan, &traits()));
    let verdict = judge(history, &rules);
    if let Verdict::Invalid(violation) = verdict {
        return Some(violation);
    }
    assert_eq!(verdict, Verdict::Valid, "{}", lines(history));
    None
}

fn cases(default: u32) -> u32 {
    let asked = std::env::var("LOCK_TESTKIT_CASES").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(default)
}

#[test]
fn the_same_plan_gives_the_same_history() {
    for plan in Plans::new(&Mix::simulated(&traits()), 7).take(200) {
        let once = run_virtual(&plan, &Simulated::memory()).unwrap();
        let again = run_virtual(&plan, &Simulated::memory()).unwrap();
        let (once, again) = (lines(&once), lines(&again));
        let differs = once.lines().zip(again.lines()).position(|(a, b)| a != b);
        assert_eq!(differs, None, "{}\n{once}\n{again}", plan.to_line());
        assert_eq!(once, again);
    }
}

#[test]
fn a_plan_is_read_back_from_its_line() {
    for plan in Plans::new(&Mix::simulated(&traits()), 8).take(50) {
        let line = plan.to_line();
        assert!(!line.contains('\n'));
        assert_eq!(Plan::from_line(&line).unwrap(), plan);
    }
}

#[test]
fn the_reference_backend_passes_random_plans() {
    let mix = Mix::simulated(&traits());
    let found = hunt_virtual(&Simulated::memory(), &mix, 1, cases(300), judged).unwrap();
    if let Some(found) = found {
        panic!(
            "{}\n{}\n{}",
            found.violation.explain(&found.history),
            found.plan.to_line(),
            lines(&found.history)
        );
    }
}

/// Found among 100 000 random plans. The first request of an acquire was late and its repetition was
/// granted; when that lease had run out and the next one was over, the late request took the lock
/// for the same owner, and the owner's release, which names no token, ended that lease.
#[test]
fn a_release_may_end_the_lease_of_a_late_request_of_its_owner() {
    let late = Plan {
        seed: 3,
        ttl_ms: 100,
        keys: 1,
        weather: Weather::new(0, 0, 25),
        clients: vec![
            vec![vec![Act::Hold {
                key: 0,
                wait_ms: 0,
                work: vec![Work::Keep { ms: 200 }],
                end: End::Release,
            }]],
            vec![vec![
                Act::Rest { ms: 50 },
                Act::Hold {
                    key: 0,
                    wait_ms: 200,
                    work: Vec::new(),
                    end: End::Commit,
                },
            ]],
        ],
        faults: vec![PlannedFault::Call {
            client: 0,
            step: StepKind::Acquire,
            nth: 0,
            fault: Fault::Late(Duration::from_millis(180)),
        }],
    };
    let history = run_virtual(&late, &Simulated::memory()).unwrap();
    let is_release = |o: &&Operation| o.step == Step::Release && o.token != 0;
    let release = history.operations().iter().find(is_release).unwrap();
    assert_eq!(release.outcome, Outcome::Unknown, "{}", lines(&history));
    assert_eq!(judged(&late, &history), None);
}

/// A store with a line whose leases never end: nobody who waits is told, and each gives up in turn.
#[test]
fn a_line_excuses_no_lease_that_never_ends() {
    let hold = |wait_ms| Act::Hold {
        key: 0,
        wait_ms,
        work: Vec::new(),
        end: End::Abandon,
    };
    let plan = Plan {
        seed: 1,
        ttl_ms: 100,
        keys: 1,
        weather: Weather::new(0, 0, 25),
        clients: vec![vec![vec![hold(0)]], vec![vec![Act::Rest { ms: 1 }]]],
        faults: Vec::new(),
    };
    // A clock that stands still is what ends no lease.
    let stopped = Simulated::new("never ends", traits(), |_seed, _clock| {
        Box::new(MemoryBackend::with_clock(Arc::new(Stopped)))
    });
    let history = run_virtual(&plan, &stopped).unwrap();
    let found = judged(&plan, &history).map(|violation| violation.property);
    assert_eq!(found, Some(Property::Lv1), "{}", lines(&history));
    let history = run_virtual(&plan, &Simulated::memory()).unwrap();
    assert_eq!(judged(&plan, &history), None);
}

#[derive(Debug)]
struct Stopped;

#[async_trait::async_trait]
impl Clock for Stopped {
    fn now(&self) -> Moment {
        Moment::from_nanos(1_000_000)
    }

    async fn sleep_until(&self, _moment: Moment) {
        std::future::pending().await
    }
}

#[test]
fn a_plan_with_a_field_that_is_unknown_is_refused() {
    let mix = Mix::simulated(&traits());
    for plan in Plans::new(&mix, 3).take(20) {
        let line = plan.to_line();
        assert_eq!(Plan::from_line(&line).unwrap(), plan);
        for at in line.match_indices('{').map(|(at, _)| at + 1) {
            let typo = format!("{}\"tpyo\":1,{}", &line[..at], &line[at..]);
            assert!(Plan::from_line(&typo).is_err(), "{typo}");
        }
    }
}
