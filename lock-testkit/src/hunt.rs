//! Looks for a plan on which a lock does wrong: draws plans, runs them, judges their histories, and
//! makes the first one that fails as small as it can.

use std::time::Duration;

use lock_core::{Clock, SystemClock};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::SetupError;
use crate::history::History;
use crate::plan::{Mix, Plan, plans};
use crate::run::run_virtual;
use crate::spec::Violation;
use crate::subject::Subject;

/// Draws plans from a seed.
#[derive(Debug)]
pub struct Plans {
    runner: TestRunner,
    strategy: proptest::strategy::BoxedStrategy<Plan>,
}

impl Plans {
    /// Plans of this mix; the same seed gives the same ones.
    #[must_use]
    pub fn new(mix: &Mix, seed: u64) -> Self {
        let mut bytes = [0; 32];
        for (part, byte) in bytes.iter_mut().zip(seed.to_le_bytes()) {
            *part = byte;
        }
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let config = Config {
            failure_persistence: None,
            ..Config::default()
        };
        Self {
            runner: TestRunner::new_with_rng(config, rng),
            strategy: plans(mix),
        }
    }

    fn draw(&mut self) -> Result<impl ValueTree<Value = Plan> + use<>, SetupError> {
        self.strategy
            .new_tree(&mut self.runner)
            .map_err(|e| SetupError::new(format!("cannot draw a plan: {e}")))
    }
}

impl Iterator for Plans {
    type Item = Plan;

    fn next(&mut self) -> Option<Plan> {
        Some(self.draw().ok()?.current())
    }
}

/// A plan on which a lock did wrong, and what happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The plan, as small as it was made.
    pub plan: Plan,
    /// What happened.
    pub history: History,
    /// What is wrong with it.
    pub violation: Violation,
    /// How many plans were run until one failed, this one included.
    pub cases: u32,
    /// How long that took, before the plan was made smaller.
    pub took: Duration,
}

impl Finding {
    /// What the first plan that was run showed; whoever ran more of them says so.
    #[must_use]
    pub const fn new(plan: Plan, history: History, violation: Violation) -> Self {
        Self {
            plan,
            history,
            violation,
            cases: 1,
            took: Duration::ZERO,
        }
    }
}

/// Runs up to so many plans in virtual time, and returns the first on which the judge finds
/// something, made smaller as long as the judge still finds the same property broken.
///
/// # Errors
/// If a world cannot be provided or a run does not end.
pub fn hunt_virtual(
    subject: &dyn Subject,
    mix: &Mix,
    seed: u64,
    cases: u32,
    judge: impl Fn(&Plan, &History) -> Option<Violation>,
) -> Result<Option<Finding>, SetupError> {
    let mut plans = Plans::new(mix, seed);
    let clock = SystemClock::new();
    let started = clock.now();
    for case in 1..=cases {
        let mut tree = plans.draw()?;
        let plan = tree.current();
        let history = run_virtual(&plan, subject)?;
        let Some(violation) = judge(&plan, &history) else {
            continue;
        };
        let mut finding = Finding {
            plan,
            history,
            violation,
            cases: case,
            took: clock.now().since(started),
        };
        shrink(&mut finding, &mut tree, subject, &judge)?;
        return Ok(Some(finding));
    }
    Ok(None)
}

fn shrink(
    finding: &mut Finding,
    tree: &mut impl ValueTree<Value = Plan>,
    subject: &dyn Subject,
    judge: &impl Fn(&Plan, &History) -> Option<Violation>,
) -> Result<(), SetupError> {
    let mut more = tree.simplify();
    for _ in 0..SHRINKS_MAX {
        if !more {
            break;
        }
        let plan = tree.current();
        let history = run_virtual(&plan, subject)?;
        let found = judge(&plan, &history).filter(|v| v.property == finding.violation.property);
        if let Some(violation) = found {
            (finding.plan, finding.history, finding.violation) = (plan, history, violation);
            more = tree.simplify();
        } else {
            more = tree.complicate();
        }
    }
    Ok(())
}

/// So many smaller plans are tried at most.
const SHRINKS_MAX: u32 = 2_000;
