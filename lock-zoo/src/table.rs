//! The table of members: what each breaks, what was found, how fast.

use std::time::Duration;

use lock_core::{Clock, SystemClock};
use lock_testkit::SetupError;
use lock_testkit::report::core;
use lock_testkit::spec::Property;
use lock_testkit::subject::Simulated;

use crate::member::{CASES, Member, SEED, first};
use crate::members;

/// What became of one member.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Row {
    /// The member.
    pub member: &'static Member,
    /// The property that was found broken, if any was.
    pub found: Option<Property>,
    /// How many cases it took.
    pub cases: u32,
    /// How long that took.
    pub took: Duration,
    /// How many operations the report shows.
    pub operations: usize,
    /// What was still found without the rule that names the defect. Asked only of members that no
    /// other rule is to see.
    pub found_without: Option<Property>,
    /// What was found on the same plans without the defect, which must be nothing.
    pub false_alarm: Option<Property>,
}

impl Row {
    /// Hunts the member, drives the controls by its plans, and leaves its rule out.
    ///
    /// # Errors
    /// If a run does not end.
    pub fn of(member: &'static Member, cases: u32) -> Result<Self, SetupError> {
        let found = member.hunt(SEED, CASES)?;
        let without = if member.is_alone {
            member.found_without_its_rule(SEED, cases)?
        } else {
            None
        };
        let false_alarm = false_alarm(member, cases)?;
        Ok(Self {
            member,
            found: found.as_ref().map(|found| found.violation.property),
            cases: found.as_ref().map_or(CASES, |found| found.cases),
            took: found.as_ref().map_or(Duration::ZERO, |found| found.took),
            operations: found.map_or(0, |f| core(&f.history, &f.violation).len()),
            found_without: without.map(|(violation, _)| violation.property),
            false_alarm,
        })
    }

    /// What is not as it should be.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let Member { id, property, .. } = self.member;
        match (self.found, self.found_without, self.false_alarm) {
            (None, _, _) => Some(format!("{id}: {property} was not found in {CASES} cases")),
            (Some(found), _, _) if found != *property => {
                Some(format!("{id}: {found} was found in place of {property}"))
            }
            (_, Some(other), _) => Some(format!("{id}: without {property}, {other} is found")),
            (_, _, Some(alarm)) => Some(format!("{id}: {alarm} is found where nothing is broken")),
            (Some(_), None, None) if self.took > TOOK_MAX => {
                Some(format!("{id}: it took {:.1} s", self.took.as_secs_f64()))
            }
            _ => None,
        }
    }
}

/// What is found by a member's rules on its plans where nothing is broken: in the store of the zoo
/// without its defect, and in the reference backend.
///
/// # Errors
/// If a run does not end.
pub fn false_alarm(member: &Member, cases: u32) -> Result<Option<Property>, SetupError> {
    let mix = member.plans_of();
    let control = member.control();
    let found = first(&*control, &mix, &member.judged_by(), CONTROL_SEED, cases)?;
    if let Some((violation, _)) = found {
        return Ok(Some(violation.property));
    }
    if !control.traits().tokens {
        return Ok(None);
    }
    let rules = member.judges_memory_by();
    let found = first(&Simulated::memory(), &mix, &rules, CONTROL_SEED, cases)?;
    Ok(found.map(|(violation, _)| violation.property))
}

/// The properties for which no member shows that their rule is alive.
#[must_use]
pub fn dead_rules() -> Vec<Property> {
    let is_alive = |property| members().any(|m| m.is_alone && m.property == property);
    let all = Property::ALL.into_iter();
    all.filter(|property| !is_alive(*property)).collect()
}

/// How fast cases run on the store that is right.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Throughput {
    /// Cases in a second, on one thread, drawn, run and judged.
    pub cases_per_second: f64,
    /// Operations in a case on average.
    pub operations_per_case: f64,
}

impl Throughput {
    /// Measures it over so many large cases.
    ///
    /// # Errors
    /// If a run does not end.
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of a measurement are far below 2^52"
    )]
    pub fn measure(cases: u32) -> Result<Self, SetupError> {
        use lock_testkit::hunt::Plans;
        use lock_testkit::plan::Mix;
        use lock_testkit::run::run_virtual;
        use lock_testkit::subject::Subject;

        let lock = crate::BrokenLock::new("control");
        let mut mix = Mix::simulated(&lock.traits());
        // About 250 operations.
        mix.acts = 44;
        let rules = crate::member::rules();
        let clock = SystemClock::new();
        let started = clock.now();
        let mut operations = 0_usize;
        let many = usize::try_from(cases).unwrap_or(usize::MAX);
        for plan in Plans::new(&mix, CONTROL_SEED).take(many) {
            let history = run_virtual(&plan, &lock)?;
            operations = operations.saturating_add(history.operations().len());
            if let Some(violation) = crate::verdict(&history, &rules) {
                return Err(SetupError::new(violation.explain(&history)));
            }
        }
        let seconds = clock.now().since(started).as_secs_f64();
        Ok(Self {
            cases_per_second: f64::from(cases) / seconds,
            operations_per_case: operations as f64 / f64::from(cases),
        })
    }
}

/// Controls are driven from another seed than members.
const CONTROL_SEED: u64 = 7;

/// No member may take longer to be found.
const TOOK_MAX: Duration = Duration::from_secs(1);
