//! [`Member`]: one broken lock, what it breaks, and how it is caught.

use lock_testkit::SetupError;
use lock_testkit::checker::liveness::{Fifo, Limits};
use lock_testkit::history::History;
use lock_testkit::hunt::{Finding, Plans, hunt_virtual};
use lock_testkit::judge::{Rules, judge};
use lock_testkit::plan::{Mix, Plan};
use lock_testkit::run::run_virtual;
use lock_testkit::spec::{Bound, Property, Verdict, Violation};
use lock_testkit::subject::Subject;

use crate::client::Habit;
use crate::lock::BrokenLock;
use crate::store::Defect;

/// One broken lock.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Member {
    /// Its stable name.
    pub id: &'static str,
    /// What goes wrong in production, in one sentence.
    pub what: &'static str,
    /// Where it was seen in public: `owner/repo#number`, or a crate and its version.
    pub where_seen: Option<&'static str>,
    /// The property that names its defect.
    pub property: Property,
    /// Whether no other rule sees what it does, so that it lives without this one.
    pub is_alone: bool,
    lock: BrokenLock,
    mix: fn(Mix) -> Mix,
    rules: fn(Rules) -> Rules,
}

/// The seed from which every hunt starts, unless told otherwise.
pub const SEED: u64 = 1;

/// Each member must be caught within so many cases.
pub const CASES: u32 = 500;

impl Member {
    /// A lock with a defect of its store.
    #[must_use]
    pub const fn store(
        id: &'static str,
        property: Property,
        defect: Defect,
        what: &'static str,
    ) -> Self {
        let mut lock = BrokenLock::new(id);
        lock.defect = defect;
        Self::new(lock, property, what)
    }

    /// A lock with a bad habit of its clients.
    #[must_use]
    pub const fn client(
        id: &'static str,
        property: Property,
        habit: Habit,
        what: &'static str,
    ) -> Self {
        let mut lock = BrokenLock::new(id);
        lock.habit = habit;
        Self::new(lock, property, what)
    }

    const fn new(lock: BrokenLock, property: Property, what: &'static str) -> Self {
        Self {
            id: lock.name,
            what,
            where_seen: None,
            property,
            is_alone: false,
            lock,
            mix: |mix| mix,
            rules: |rules| rules,
        }
    }

    /// Says where it was seen in public.
    #[must_use]
    pub const fn seen(mut self, place: &'static str) -> Self {
        self.where_seen = Some(place);
        self
    }

    /// No other rule sees what it does.
    #[must_use]
    pub const fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }

    /// Its store declares a line.
    #[must_use]
    pub const fn in_line(mut self) -> Self {
        self.lock.has_line = true;
        self
    }

    /// Its clients have this habit besides.
    #[must_use]
    pub const fn with(mut self, habit: Habit) -> Self {
        self.lock.habit = habit;
        self
    }

    /// What its plans are made of.
    #[must_use]
    pub const fn mix(mut self, mix: fn(Mix) -> Mix) -> Self {
        self.mix = mix;
        self
    }

    /// What it is judged by, where it declares something else than the others.
    #[must_use]
    pub const fn rules(mut self, rules: fn(Rules) -> Rules) -> Self {
        self.rules = rules;
        self
    }

    /// The broken lock.
    #[must_use]
    pub fn subject(&self) -> Box<dyn Subject> {
        Box::new(self.lock)
    }

    /// A lock that is driven by the same plans and is not broken.
    #[must_use]
    pub fn control(&self) -> Box<dyn Subject> {
        let mut lock = self.lock;
        lock.defect = Defect::None;
        lock.habit = match lock.habit {
            Habit::Cautious => Habit::Cautious,
            habit if habit.is_tokenless() => Habit::Tokenless,
            habit if habit.passes() => Habit::Passes,
            _ => Habit::None,
        };
        lock.name = "control";
        Box::new(lock)
    }

    /// What its plans are made of.
    pub fn plans_of(&self) -> Mix {
        (self.mix)(Mix::simulated(&self.lock.traits()))
    }

    /// What it is judged by.
    pub fn judged_by(&self) -> Rules {
        let mut rules = rules();
        if self.lock.has_line {
            rules = rules.line().limits(limits().fifo(Fifo::Everybody));
        }
        (self.rules)(rules)
    }

    /// What the reference backend is judged by on the same plans.
    pub fn judges_memory_by(&self) -> Rules {
        (self.rules)(Rules::new(Bound::DEFAULT))
            .line()
            .limits(memory_limits())
    }

    /// Hunts for a plan on which the judge finds something.
    ///
    /// # Errors
    /// If a run does not end.
    pub fn hunt(&self, seed: u64, cases: u32) -> Result<Option<Finding>, SetupError> {
        let rules = self.judged_by();
        let judge = |_: &Plan, history: &History| verdict(history, &rules);
        hunt_virtual(&*self.subject(), &self.plans_of(), seed, cases, judge)
    }

    /// The first violation that is still found if the rule that names the defect is off.
    ///
    /// # Errors
    /// If a run does not end.
    pub fn found_without_its_rule(
        &self,
        seed: u64,
        cases: u32,
    ) -> Result<Option<(Violation, History)>, SetupError> {
        let rules = self.judged_by().without(self.property);
        first(&*self.subject(), &self.plans_of(), &rules, seed, cases)
    }
}

/// The first violation in so many plans, as it is.
///
/// # Errors
/// If a run does not end.
pub fn first(
    subject: &dyn Subject,
    mix: &Mix,
    rules: &Rules,
    seed: u64,
    cases: u32,
) -> Result<Option<(Violation, History)>, SetupError> {
    let many = usize::try_from(cases).unwrap_or(usize::MAX);
    for plan in Plans::new(mix, seed).take(many) {
        let history = run_virtual(&plan, subject)?;
        if let Some(violation) = verdict(&history, rules) {
            return Ok(Some((violation, history)));
        }
    }
    Ok(None)
}

/// What the judge finds. An undecided history is no finding: its budget is far above what these
/// plans can need.
#[must_use]
pub fn verdict(history: &History, rules: &Rules) -> Option<Violation> {
    match judge(history, rules) {
        Verdict::Invalid(violation) => Some(violation),
        _ => None,
    }
}

/// What a right lock of the zoo is judged by: by everything but turns.
pub const fn rules() -> Rules {
    Rules::new(Bound::DEFAULT).durable().limits(limits())
}

/// How long things may take on the simulated network while nothing is at fault: a message travels
/// for up to 3 ms each way.
#[must_use]
pub const fn limits() -> Limits {
    Limits::new(10_000_000, 20_000_000).push(60_000_000)
}

/// The same for the reference backend, which keeps the lock for half a second for each who stands in
/// line and is gone.
#[must_use]
pub const fn memory_limits() -> Limits {
    Limits::new(10_000_000, 4_000_000_000).push(4_000_000_000)
}
