//! Plans in virtual time: they repeat, they shrink, and the reference backend passes them.

use std::sync::Arc;

use async_trait::async_trait;
use lock_core::{Capabilities, Clock, Effect, LockBackend, MemoryBackend, Then};
use lock_testkit::checker::liveness::Limits;
use lock_testkit::history::{History, Outcome, Step};
use lock_testkit::hunt::{Plans, hunt_virtual};
use lock_testkit::judge::{Rules, judge};
use lock_testkit::plan::{Act, End, Mix, Plan};
use lock_testkit::run::run_virtual;
use lock_testkit::spec::{Verdict, Violation};
use lock_testkit::subject::{
    Acquired, Ask, Client, Failure, Held, Read, ServerFault, Simulated, Store, Subject, Traits,
    World,
};
use lock_testkit::{Link, SetupError};

struct Memory(MemoryBackend);

impl Store for Memory {
    fn client(&self, _number: u32) -> Arc<dyn LockBackend> {
        Arc::new(self.0.another_client())
    }
}

fn traits() -> Traits {
    Traits::of(MemoryBackend::new().capabilities())
}

fn memory() -> Simulated {
    Simulated::new("memory", traits(), |_seed, clock| {
        Box::new(Memory(MemoryBackend::with_clock(clock)))
    })
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
        let once = run_virtual(&plan, &memory()).unwrap();
        let again = run_virtual(&plan, &memory()).unwrap();
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
    let found = hunt_virtual(&memory(), &mix, 1, cases(300), judged).unwrap();
    if let Some(found) = found {
        panic!(
            "{}\n{}\n{}",
            found.violation.explain(&found.history),
            found.plan.to_line(),
            lines(&found.history)
        );
    }
}

/// A lock of its own making, whose calls go over no link and all fail as nobody knows how.
struct Unheard;

fn unheard<T>() -> Result<T, Failure> {
    Err(Failure::new(Effect::Unknown, "no answer"))
}

#[async_trait]
impl Client for Unheard {
    async fn acquire(&self, _: &Ask) -> Result<Acquired, Failure> {
        unheard()
    }

    async fn renew(&self, _: &mut Held, _: std::time::Duration) -> Result<bool, Failure> {
        unheard()
    }

    async fn commit(&self, _: &mut Held, _: &str, _: Then) -> Result<bool, Failure> {
        unheard()
    }

    async fn release(&self, _: &mut Held) -> Result<bool, Failure> {
        unheard()
    }

    async fn peek(&self, _: &str) -> Result<(Read, u64), Failure> {
        unheard()
    }
}

#[async_trait]
impl World for Unheard {
    async fn client(&self, _: u32, _: Link) -> Result<Arc<dyn Client>, SetupError> {
        Ok(Arc::new(Self))
    }

    async fn server(&self, _: &ServerFault) -> Result<bool, SetupError> {
        Ok(false)
    }
}

#[async_trait]
impl Subject for Unheard {
    fn name(&self) -> String {
        "unheard".to_owned()
    }

    fn traits(&self) -> Traits {
        let mut traits = Traits::of(Capabilities::none());
        (traits.tokens, traits.state) = (false, false);
        traits
    }

    async fn world(&self, _: u64, _: Arc<dyn Clock>) -> Result<Box<dyn World>, SetupError> {
        Ok(Box::new(Self))
    }
}

#[test]
fn a_failure_of_a_client_that_no_link_tells_of_stays_unknown() {
    let mut plan = Plans::new(&Mix::simulated(&traits()).calm(), 1)
        .next()
        .unwrap();
    plan.clients = vec![vec![vec![Act::Hold {
        key: 0,
        wait_ms: 0,
        work: Vec::new(),
        end: End::Release,
    }]]];
    let history = run_virtual(&plan, &Unheard).unwrap();
    let acquires = history.operations().iter();
    let mut acquires = acquires.filter(|o| o.step == Step::Acquire);
    assert!(
        acquires.all(|o| o.outcome == Outcome::Unknown),
        "{}",
        lines(&history)
    );
}
