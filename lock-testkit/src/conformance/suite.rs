//! Runs cases and prints what comes of them.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the output of a test target"
)]

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use lock_core::{Capabilities, Clock, SystemClock};
use tokio::runtime::Handle;

use super::arguments::Arguments;
use super::case::{Broken, Case, Ran};
use super::expectations::{Expectation, Expectations};
use super::settings::{Profile, Settings};
use super::stage::{Shared, Stage};
use super::summary::{CaseReport, Standing, Summary};
use crate::SetupError;
use crate::subject::{Setup, Subject};

/// Prints a text.
pub(super) fn say(text: &str) {
    println!("{text}");
}

/// Prints what keeps the whole run from going on.
pub(super) fn complain(text: &str) {
    eprintln!("lock-testkit: {text}");
}

/// Lists the cases as the built-in harness does; none of them is marked as ignored.
pub(super) fn list(arguments: &Arguments, ignored: bool) {
    let selected = super::ids().into_iter();
    for id in selected.filter(|id| !ignored && arguments.selects(id)) {
        println!("{id}: test");
    }
}

/// Plays the cases on a runtime of their own: what directs them has another, whose timers go on
/// though a backend blocks every thread of theirs.
pub(super) fn run(setup: Arc<dyn Setup>, settings: &Settings) -> Result<Summary, SetupError> {
    let failed = |e| SetupError::new("cannot start a runtime").with_source(e);
    let stage = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(failed)?;
    let director = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(failed)?;
    let summary = director.block_on(conduct(setup, settings, stage.handle().clone()));
    // What a backend left running is not waited for.
    stage.shutdown_timeout(Duration::from_secs(2));
    summary
}

async fn conduct(
    setup: Arc<dyn Setup>,
    settings: &Settings,
    stage: Handle,
) -> Result<Summary, SetupError> {
    let expectations = Expectations::parse(&settings.expectations)?;
    settings.arguments.check(&super::ids())?;
    let cases = super::cases().into_iter();
    let cases: Vec<Case> = cases
        .filter(|case| settings.arguments.selects(case.id))
        .collect();
    if settings.plan.is_some() && cases.iter().filter(|case| is_plans(case)).count() != 1 {
        return Err(SetupError::new(
            "LOCK_TESTKIT_PLAN needs the case that it belongs to: add `-- --exact plans/…`",
        ));
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let shared = Arc::new(Shared::new(setup, settings.clone(), clock, cases.len()));
    let director = Director {
        stage,
        shared: Arc::clone(&shared),
    };
    let beat = shared.pulse.clone().beat(Arc::clone(&shared.clock));
    let beat = director.stage.spawn(beat).abort_handle();
    if !settings.is_quiet {
        println!("running {} cases\n", cases.len());
    }
    let (capabilities, kind) = director.open().await?;
    let played = director.play(cases, &expectations).await;
    beat.abort();
    let summary = Summary {
        backend: shared.setup.name().escape_debug().to_string(),
        kind,
        capabilities,
        profile: settings.profile,
        seed: settings.seed,
        delay: shared.pulse.worst(),
        took: shared.clock.now().since(shared.started),
        cases: played,
    };
    if !settings.is_quiet {
        println!(
            "\nseed {}, {:.1} s, scheduler delay up to {:.0} ms\n{summary}",
            summary.seed,
            summary.took.as_secs_f64(),
            summary.delay.as_secs_f64() * 1000.0,
        );
    }
    Ok(summary)
}

/// Has cases played, and does not depend on what they do to their runtime.
struct Director {
    stage: Handle,
    shared: Arc<Shared>,
}

/// How a piece of work ended.
enum Ended<T> {
    Done(T),
    /// Its thread did not come back even when it was to be dropped.
    Blocked,
    Late,
    Panicked(String),
}

impl Director {
    /// Runs a piece of work on the stage, for so long at most.
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
        limit: Duration,
    ) -> Ended<T> {
        let clock = &self.shared.clock;
        let mut task = self.stage.spawn(work);
        let late = tokio::select! {
            ended = &mut task => return of_task(ended),
            () = clock.sleep_until(clock.now().after(limit)) => Ended::Late,
        };
        task.abort();
        let grace = self.shared.pulse.bound(GRACE);
        tokio::select! {
            _dropped = &mut task => late,
            () = clock.sleep_until(clock.now().after(grace)) => Ended::Blocked,
        }
    }

    /// The same for what the setup does, whose failure is everybody's.
    async fn setup<T: Send + 'static>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, SetupError>> + Send + 'static,
    ) -> Result<T, SetupError> {
        let limit = self.shared.settings.case_max.unwrap_or(SETUP_MAX);
        let seconds = limit.as_secs();
        match self.run(work, limit).await {
            Ended::Done(done) => done,
            Ended::Late => Err(SetupError::new(format!(
                "{what} did not end within {seconds} s"
            ))),
            Ended::Blocked => Err(SetupError::new(format!(
                "{what} blocks its thread and did not end within {seconds} s"
            ))),
            Ended::Panicked(text) => Err(SetupError::new(format!("{what} panicked: {text}"))),
        }
    }

    /// Starts the store that is shared, and asks the backend what it is. Without one nothing can be
    /// said, and everybody would wait for it.
    async fn open(&self) -> Result<(Capabilities, String), SetupError> {
        let shared = Arc::clone(&self.shared);
        let asked = async move {
            let served = shared.store().await?;
            let backend = served.connect(served.store().address()).await?;
            Ok((served.traits().capabilities, backend.kind().to_owned()))
        };
        self.setup("the setup's `store()`, with a first `connect()`,", asked)
            .await
    }

    /// Plays the cases, several at once, and returns what came of them in their own order.
    async fn play(&self, cases: Vec<Case>, expectations: &Expectations) -> Vec<CaseReport> {
        let settings = &self.shared.settings;
        let mut order: Vec<(usize, Case)> = cases.into_iter().enumerate().collect();
        // What waits longest begins first.
        order.sort_by_key(|(_, case)| !is_plans(case));
        let at_once = settings.arguments.threads.unwrap_or(CASES_AT_ONCE);
        let blocked_by = &OnceLock::new();
        let played = order.into_iter().map(|(at, case)| async move {
            let began = self.shared.clock.now();
            let expected = expectations.of(case.id);
            let standing = match expected {
                Some(Expectation::Skip(reason)) => Standing::Skip(reason.clone()),
                _ => Standing::of(expected, self.one(case, blocked_by).await),
            };
            let report = CaseReport {
                id: case.id,
                standing,
                took: self.shared.clock.now().since(began),
            };
            if !settings.is_quiet {
                print(&report);
            }
            if let Some(tell) = settings.on_case {
                tell(&report);
            }
            (at, report)
        });
        let mut reports: Vec<_> = stream::iter(played)
            .buffer_unordered(at_once)
            .collect()
            .await;
        reports.sort_by_key(|(at, _)| *at);
        reports.into_iter().map(|(_, report)| report).collect()
    }

    /// One case. Once one has taken a thread for good, the others cannot be told from it.
    async fn one(&self, case: Case, blocked_by: &OnceLock<&'static str>) -> Ran {
        if let Some(id) = blocked_by.get() {
            return Err(Broken::new(format!(
                "it was not run: {id} blocks a thread of the runtime"
            )));
        }
        let shared = &self.shared;
        let stage = Stage::new(Arc::clone(shared), case.id);
        let limit = shared.pulse.bound(limit(&shared.settings));
        match self.run((case.run)(stage), limit).await {
            Ended::Done(ran) => ran,
            Ended::Panicked(text) => Err(Broken::new(format!("it panicked: {text}"))),
            Ended::Late => Err(Broken::new(format!(
                "it did not end within {} s",
                limit.as_secs()
            ))),
            Ended::Blocked => {
                let _first = blocked_by.set(case.id);
                Err(Broken::new(format!(
                    "it did not end within {} s, and its thread is blocked, by this case or by \
                     another that ran beside it: nothing in a backend may block; use \
                     `spawn_blocking`",
                    limit.as_secs()
                )))
            }
        }
    }
}

fn of_task<T>(ended: Result<T, tokio::task::JoinError>) -> Ended<T> {
    match ended {
        Ok(done) => Ended::Done(done),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => Ended::Panicked(words(&*panic)),
            Err(error) => Ended::Panicked(error.to_string()),
        },
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a message").to_owned()
}

fn print(report: &CaseReport) {
    let CaseReport { id, standing, took } = report;
    let seconds = took.as_secs_f64();
    if let Standing::Fail(text) = standing {
        let text = text.replace('\n', "\n    ");
        println!("{id} ... FAILED ({seconds:.1} s)\n    {text}");
        return;
    }
    let text = standing.text().map(|text| format!(": {text}"));
    let text = text.unwrap_or_default();
    println!("{id} ... {} ({seconds:.1} s){text}", standing.word());
}

fn is_plans(case: &Case) -> bool {
    case.id.starts_with("plans/")
}

/// No case takes longer.
fn limit(settings: &Settings) -> Duration {
    let usual = match settings.profile {
        Profile::Smoke => Duration::from_secs(180),
        Profile::Full => Duration::from_secs(900),
        Profile::Soak { length } => length.saturating_add(Duration::from_secs(900)),
    };
    settings.case_max.unwrap_or(usual)
}

/// So many cases run at once: most of their time is waiting.
const CASES_AT_ONCE: usize = 32;

/// The setup takes no longer: images may have to be made first.
const SETUP_MAX: Duration = Duration::from_secs(900);

/// Within this time whatever awaits is gone once it is to be dropped.
const GRACE: Duration = Duration::from_secs(5);
