//! Broken locks on real servers: each as a user writes it on a driver, and the plan that catches it.
//!
//! Their plans are written by hand and address single requests, so that what goes wrong goes wrong
//! every time. The [control](ServedMember::control) of each is driven by the same plan and does right.

mod etcd;
mod keys;
mod members;
mod plans;
mod postgres;
mod redis;
mod right;
mod stand;

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Clock, SystemClock};
use lock_testkit::SetupError;
use lock_testkit::checker::liveness::Limits;
use lock_testkit::hunt::Finding;
use lock_testkit::judge::Rules;
use lock_testkit::plan::Plan;
use lock_testkit::run::run;
use lock_testkit::spec::{Property, Violation};
use lock_testkit::subject::Subject;

use crate::member::verdict;
pub use members::served_members;
use stand::{Stand, Start};

/// One broken lock on a real server.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ServedMember {
    /// Its stable name.
    pub id: &'static str,
    /// What goes wrong in production, in one sentence.
    pub what: &'static str,
    /// Where it was seen in public: `owner/repo#number`, or a crate and its version.
    pub where_seen: Option<&'static str>,
    /// The property that names its defect.
    pub property: Property,
    start: Start,
    right: Right,
    plan: fn() -> Plan,
    is_fenced: bool,
    is_durable: bool,
    is_alone: bool,
}

/// What is right where the member is wrong.
#[derive(Clone, Copy, Debug)]
enum Right {
    /// This project's lock, on a Redis of its own.
    Redis,
    /// The same in all but what is wrong.
    Same(Start),
}

/// The member of this name.
#[must_use]
pub fn served_member(id: &str) -> Option<&'static ServedMember> {
    served_members().iter().find(|member| member.id == id)
}

/// What became of a member.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Hunted {
    /// What was found, if anything was.
    pub finding: Option<Finding>,
    /// How long it took to start the servers.
    pub started_in: Duration,
    /// What was found on the same plan where nothing is wrong, which must be nothing.
    pub false_alarm: Option<Property>,
}

impl Hunted {
    /// What is not as it should be.
    #[must_use]
    pub fn complaint(&self, member: &ServedMember) -> Option<String> {
        let ServedMember { id, property, .. } = member;
        let Some(finding) = &self.finding else {
            return Some(format!("{id}: {property} was not found in {TRIES} tries"));
        };
        let found = finding.violation.property;
        match self.false_alarm {
            _ if found != *property => {
                Some(format!("{id}: {found} was found in place of {property}"))
            }
            Some(alarm) => Some(format!("{id}: {alarm} is found where nothing is broken")),
            None if finding.took > TOOK_MAX => {
                Some(format!("{id}: it took {:.1} s", finding.took.as_secs_f64()))
            }
            None => None,
        }
    }
}

impl ServedMember {
    const fn new(id: &'static str, property: Property, start: Start, right: Right) -> Self {
        Self {
            id,
            what: "",
            where_seen: None,
            property,
            start,
            right,
            plan: plans::overrun,
            is_fenced: false,
            is_durable: false,
            is_alone: false,
        }
    }

    const fn what(mut self, what: &'static str) -> Self {
        self.what = what;
        self
    }

    const fn seen(mut self, place: &'static str) -> Self {
        self.where_seen = Some(place);
        self
    }

    const fn plan(mut self, plan: fn() -> Plan) -> Self {
        self.plan = plan;
        self
    }

    const fn fenced(mut self) -> Self {
        self.is_fenced = true;
        self
    }

    const fn durable(mut self) -> Self {
        self.is_durable = true;
        self
    }

    /// Each run leaves nothing of its servers.
    const fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }

    /// The plan that catches it.
    #[must_use]
    pub fn plan_of(&self) -> Plan {
        (self.plan)()
    }

    /// Starts its servers.
    ///
    /// # Errors
    /// If they are not to be had.
    pub async fn subject(&self) -> Result<Box<dyn Subject>, SetupError> {
        Ok(Box::new(self.stand(self.id, self.start).await?))
    }

    /// Starts what is driven by the same plan and is not broken.
    ///
    /// # Errors
    /// If its servers are not to be had.
    pub async fn control(&self) -> Result<Box<dyn Subject>, SetupError> {
        Ok(match self.right {
            Right::Redis => Box::new(right::start().await?),
            Right::Same(start) => Box::new(self.stand("control", start).await?),
        })
    }

    async fn stand(&self, name: &'static str, start: Start) -> Result<Stand, SetupError> {
        let mut stand = match self.is_alone {
            true => Stand::each_its_own(name, start),
            false => Stand::shared(name, start).await?,
        };
        if self.is_fenced {
            stand = stand.fenced();
        }
        if self.is_durable {
            stand = stand.durable();
        }
        Ok(stand)
    }

    /// Starts its servers and those of its control, and drives both by its plan.
    ///
    /// # Errors
    /// If servers are not to be had, or a run does not end.
    pub async fn hunt(&self) -> Result<Hunted, SetupError> {
        let plan = self.plan_of();
        let clock = SystemClock::new();
        let before = clock.now();
        let subject = self.subject().await?;
        let started_in = clock.now().since(before);
        let started = clock.now();
        let mut finding = None;
        for cases in 1..=TRIES {
            if let Some(mut found) = try_once(&plan, &*subject).await? {
                found.cases = cases;
                found.took = clock.now().since(started);
                finding = Some(found);
                break;
            }
        }
        let control = self.control().await?;
        let alarm = try_once(&plan, &*control).await?;
        Ok(Hunted {
            finding,
            started_in,
            false_alarm: alarm.map(|found| found.violation.property),
        })
    }

    /// In how many of so many runs of its plan its property is found.
    ///
    /// # Errors
    /// If servers are not to be had, or a run does not end.
    pub async fn repeat(&self, tries: u32) -> Result<u32, SetupError> {
        let plan = self.plan_of();
        let subject = self.subject().await?;
        let mut times = 0_u32;
        for _ in 0..tries {
            let found = try_once(&plan, &*subject).await?;
            let is_it = found.is_some_and(|found| found.violation.property == self.property);
            times = times.saturating_add(u32::from(is_it));
        }
        Ok(times)
    }
}

/// Runs a plan once, in real time, and judges what happened.
///
/// # Errors
/// If the run does not end.
pub async fn try_once(plan: &Plan, subject: &dyn Subject) -> Result<Option<Finding>, SetupError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let history = run(plan, subject, clock).await?;
    let rules = Rules::of(&subject.traits(), true).limits(limits());
    let violation: Option<Violation> = verdict(&history, &rules);
    Ok(violation.map(|violation| Finding::new(plan.clone(), history, violation)))
}

/// How long things may take on a busy machine while nothing is at fault.
const fn limits() -> Limits {
    Limits::new(1_000_000_000, 50_000_000)
}

/// A plan that addresses what goes wrong is tried so often at most.
const TRIES: u32 = 5;

/// No member may take longer to be found.
const TOOK_MAX: Duration = Duration::from_secs(60);
