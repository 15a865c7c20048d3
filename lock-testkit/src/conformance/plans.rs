//! `plans/…`: random plans on the real store in real time, each with one class of faults.

mod class;
mod smaller;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use lock_core::{Clock, Durability};

use super::case::{Broken, Case, Outcome, Ran, case};
use super::seeds;
use super::stage::Stage;
use crate::history::History;
use crate::hunt::Plans;
use crate::plan::Plan;
use crate::report::Report;
use crate::run::run;
use crate::spec::Violation;
use crate::subject::{Served, Subject};
use class::{CLASSES, Class};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!("plans/calm", plans),
        case!("plans/lost-replies", plans),
        case!("plans/late-requests", plans),
        case!("plans/partitions", plans),
        case!("plans/resets", plans),
        case!("plans/frozen-clients", plans),
        case!("plans/crashes", plans),
        case!("plans/starved-renewals", plans),
        case!("plans/lost-hints", plans),
        case!("plans/slow-and-sliced", plans),
        case!("plans/server-pause", plans),
        case!("plans/server-kill", plans),
        case!("plans/script-cache-loss", plans),
        case!("plans/failover", plans),
        case!("plans/clock-step", plans),
    ]
}

async fn plans(stage: Stage) -> Ran {
    let name = stage.id.trim_start_matches("plans/");
    let Some(class) = CLASSES.iter().find(|class| class.name == name) else {
        return Err(Broken::new(format!("there is no class {name}")));
    };
    let campaign = Campaign::new(stage, class).await?;
    if let Some(reason) = campaign.is_impossible().await? {
        return Ok(Outcome::NotApplicable(reason));
    }
    campaign.go().await
}

/// All plans of one class.
struct Campaign {
    stage: Stage,
    class: &'static Class,
    /// The store that all worlds share, where they do it no harm.
    served: Arc<Served>,
}

/// A plan that the backend did not survive.
struct Finding {
    plan: Plan,
    history: History,
    violation: Violation,
}

impl Campaign {
    async fn new(stage: Stage, class: &'static Class) -> Result<Self, Broken> {
        let served = stage.served().await?;
        Ok(Self {
            stage,
            class,
            served,
        })
    }

    /// Why plans of this class cannot be run here. What the store can suffer is found out by asking
    /// a store that nobody else uses.
    async fn is_impossible(&self) -> Result<Option<String>, Broken> {
        if self.class.needs_network && self.served.store().address().is_none() {
            return Ok(Some("the store has no network of its own".to_owned()));
        }
        let Some(fault) = self.class.server.first() else {
            return Ok(None);
        };
        let _turn = self.stage.shared.stores.acquire().await;
        let own = Served::start(&*self.stage.shared.setup).await?;
        let is_done = own.store().suffer(fault).await?;
        Ok((!is_done).then(|| format!("the setup's store cannot suffer this: {}", fault.text())))
    }

    async fn go(&self) -> Ran {
        let settings = &self.stage.shared.settings;
        if let Some(plan) = settings.plan.clone() {
            return self.again(&plan).await;
        }
        let known = seeds::of(settings.seeds_file.as_deref(), self.stage.id)?;
        let mut ran = 0_u32;
        for plan in &known {
            ran = ran.saturating_add(1);
            if let Some(finding) = self.one(plan).await? {
                return Err(self.broken(finding));
            }
        }
        let (least, most) = settings.profile.plans();
        let until = self
            .stage
            .shared
            .started
            .after(settings.profile.plans_until());
        let mix = self.class.mix(&self.served.traits());
        let now = || self.stage.now();
        let numbers = (0..most).take_while(|number| *number < least || now() < until);
        let runs = numbers.filter_map(|number| {
            let seed = self.class.seed(settings.seed, number);
            // Each from a seed of its own, so that how many there is time for changes none of them.
            let plan = self.class.with_faults(Plans::new(&mix, seed).next()?);
            Some(async move { self.one(&plan).await })
        });
        let mut runs = stream::iter(runs).buffer_unordered(self.stage.shared.plans_of_a_class);
        let mut found = None;
        while let Some(ended) = runs.next().await {
            ran = ran.saturating_add(1);
            if let Some(finding) = ended? {
                found = Some(finding);
                break;
            }
        }
        drop(runs);
        match found {
            None => Ok(Outcome::Passed(Some(self.survived(ran)))),
            Some(finding) => Err(self.shrunk(finding).await),
        }
    }

    /// Runs a plan that failed once until it fails again: on a real store it does not meet the same
    /// moments each time.
    async fn again(&self, plan: &Plan) -> Ran {
        let runs = (0..REPLAYS).map(|_| self.one(plan));
        let mut runs = stream::iter(runs).buffer_unordered(self.stage.shared.plans_of_a_class);
        while let Some(ended) = runs.next().await {
            if let Some(finding) = ended? {
                return Err(self.broken(finding));
            }
        }
        Ok(Outcome::Passed(Some(format!(
            "the plan was survived {REPLAYS} times"
        ))))
    }

    fn survived(&self, plans: u32) -> String {
        if forgets(self.class, self.served.traits().capabilities.durability) {
            return format!("{plans} plans; the store may forget, so only tokens were judged");
        }
        let delay = self.stage.shared.pulse.worst();
        if !self.class.is_untimed && !verdict::can_judge_waiting(&self.served.traits(), delay) {
            return format!(
                "{plans} plans; this machine was up to {} ms late, too late to judge who waits too long",
                delay.as_millis()
            );
        }
        format!("{plans} plans")
    }

    /// Runs one plan and judges it. What a machine that is late may seem to show counts only if it is
    /// shown again.
    async fn one(&self, plan: &Plan) -> Result<Option<Finding>, Broken> {
        let found = self.attempt(plan).await?;
        let Some(property) = found.as_ref().map(|found| found.violation.property) else {
            return Ok(None);
        };
        if !verdict::is_of_time(property) {
            return Ok(found);
        }
        let again = self.attempt(plan).await?;
        let again = again.is_some_and(|again| again.violation.property == property);
        Ok(found.filter(|_| again))
    }

    async fn attempt(&self, plan: &Plan) -> Result<Option<Finding>, Broken> {
        let shared = &self.stage.shared;
        let clock: Arc<dyn Clock> = Arc::clone(&shared.clock);
        let history = if self.class.server.is_empty() {
            let _turn = shared.plans.acquire().await;
            run(plan, &*self.served, clock).await?
        } else {
            // What harms the server would harm the other worlds on it.
            let _turn = shared.stores.acquire().await;
            let own = Served::start(&*shared.setup).await?;
            run(plan, &own, clock).await?
        };
        let delay = shared.pulse.worst();
        let violation = verdict::judge(&history, self.class, &self.served.traits(), delay);
        Ok(violation?.map(|violation| Finding {
            plan: plan.clone(),
            history,
            violation,
        }))
    }

    /// Makes the plan smaller as long as the same property is broken, while there is time.
    async fn shrunk(&self, mut finding: Finding) -> Broken {
        let until = self
            .stage
            .now()
            .after(self.stage.shared.settings.profile.shrink());
        'smaller: while self.stage.now() < until {
            for plan in smaller::candidates(&finding.plan) {
                if self.stage.now() >= until {
                    break 'smaller;
                }
                if let Some(smaller) = self.fails_alike(&plan, &finding).await {
                    finding = smaller;
                    continue 'smaller;
                }
            }
            break;
        }
        self.broken(finding)
    }

    /// What a plan shows that breaks the same property each time: one that does so only now and then
    /// is smaller and of less use.
    async fn fails_alike(&self, plan: &Plan, as_in: &Finding) -> Option<Finding> {
        let mut last = None;
        for _ in 0..TRIES {
            let found = self.one(plan).await.ok().flatten()?;
            if found.violation.property != as_in.violation.property {
                return None;
            }
            last = Some(found);
        }
        last
    }

    /// Keeps the plan and the history, and says what to do.
    fn broken(&self, finding: Finding) -> Broken {
        let Finding {
            plan,
            history,
            violation,
        } = finding;
        let settings = &self.stage.shared.settings;
        let mut report = Report::new(&history, &violation)
            .subject(self.stage.shared.setup.name())
            .case(self.stage.id)
            .replay(replay(&plan.to_line(), self.stage.id));
        let written = report.write(&settings.histories);
        let mut message = report.to_string().trim_end().to_owned();
        if let Err(error) = written {
            let folder = settings.histories.display();
            message.push_str(&format!("\nnothing could be written to {folder}: {error}"));
        }
        if let Err(error) = seeds::keep(settings.seeds_file.as_deref(), self.stage.id, &plan) {
            message.push_str(&format!("\nthe plan was not kept: {error:?}"));
        }
        Broken::new(message)
    }
}

/// The line that runs one plan again. Plans have no quotes but double ones.
fn replay(line: &str, id: &str) -> String {
    let executable = std::env::current_exe().unwrap_or_default();
    let stem = executable.file_stem().and_then(|stem| stem.to_str());
    let target = stem.and_then(|stem| stem.rsplit_once('-'));
    let target = target.map_or("conformance", |(target, _)| target);
    format!("LOCK_TESTKIT_PLAN='{line}' cargo test --test {target} -- --exact {id}")
}

/// What survives what the class does to the server: without that little can be said of values and
/// leases.
const fn forgets(class: &Class, durability: Durability) -> bool {
    match class.survives {
        None => false,
        Some(Durability::Restart) => matches!(durability, Durability::None),
        Some(_) => !matches!(durability, Durability::Failover),
    }
}

/// So often in a row a smaller plan must fail to take the place of a larger one.
const TRIES: u32 = 3;

/// So often a plan that failed once is run to see it fail again.
const REPLAYS: u32 = 20;

/// The ttl of leases in plans.
const TTL: Duration = Duration::from_millis(300);
