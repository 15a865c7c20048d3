//! Runs cases and prints what comes of them.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the output of a test target"
)]

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use lock_core::{Clock, SystemClock};

use super::arguments::Arguments;
use super::case::{Broken, Case, Ran};
use super::expectations::{Expectation, Expectations};
use super::settings::{Profile, Settings};
use super::stage::{Shared, Stage, beside};
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

pub(super) fn run(setup: Arc<dyn Setup>, settings: &Settings) -> Result<Summary, SetupError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| SetupError::new("cannot start a runtime").with_source(e))?;
    let summary = runtime.block_on(conduct(setup, settings));
    // What a backend left running is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(2));
    summary
}

async fn conduct(setup: Arc<dyn Setup>, settings: &Settings) -> Result<Summary, SetupError> {
    let expectations = Expectations::parse(&settings.expectations)?;
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
    let pulse = shared.pulse.clone().beat(Arc::clone(&shared.clock));
    let played = beside(play(&shared, cases, &expectations), pulse).await?;
    let served = shared.store().await?;
    let address = served.store().address();
    let kind = served.store().connect(address).await?.kind();
    let summary = Summary {
        backend: shared.setup.name(),
        kind: kind.to_owned(),
        capabilities: served.traits().capabilities,
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

/// Plays the cases, several at once, and returns what came of them in their own order.
async fn play(
    shared: &Arc<Shared>,
    cases: Vec<Case>,
    expectations: &Expectations,
) -> Result<Vec<CaseReport>, SetupError> {
    let settings = &shared.settings;
    if !settings.is_quiet {
        println!("running {} cases\n", cases.len());
    }
    // Without a store nothing can be said, and everybody would wait for it.
    drop(shared.store().await?);
    let mut order: Vec<(usize, Case)> = cases.into_iter().enumerate().collect();
    // What waits longest begins first.
    order.sort_by_key(|(_, case)| !is_plans(case));
    let at_once = settings.arguments.threads.unwrap_or(CASES_AT_ONCE);
    let played = order.into_iter().map(|(at, case)| async move {
        let began = shared.clock.now();
        let expected = expectations.of(case.id);
        let standing = match expected {
            Some(Expectation::Skip(reason)) => Standing::Skip(reason.clone()),
            _ => Standing::of(expected, one(shared, case).await),
        };
        let report = CaseReport {
            id: case.id,
            standing,
            took: shared.clock.now().since(began),
        };
        if !settings.is_quiet {
            print(&report);
        }
        (at, report)
    });
    let mut reports: Vec<_> = stream::iter(played)
        .buffer_unordered(at_once)
        .collect()
        .await;
    reports.sort_by_key(|(at, _)| *at);
    Ok(reports.into_iter().map(|(_, report)| report).collect())
}

async fn one(shared: &Arc<Shared>, case: Case) -> Ran {
    let stage = Stage::new(Arc::clone(shared), case.id);
    let limit = shared.pulse.bound(limit(shared.settings.profile));
    let clock = Arc::clone(&shared.clock);
    let task = tokio::spawn(AssertUnwindSafe((case.run)(stage)).catch_unwind());
    let abort = task.abort_handle();
    let until = clock.now().after(limit);
    tokio::select! {
        ended = task => match ended {
            Ok(Ok(ran)) => ran,
            Ok(Err(panic)) => Err(Broken::new(format!("it panicked: {}", words(&*panic)))),
            Err(error) => Err(Broken::new(format!("it was not run to its end: {error}"))),
        },
        () = clock.sleep_until(until) => {
            abort.abort();
            Err(Broken::new(format!("it did not end within {} s", limit.as_secs())))
        }
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
const fn limit(profile: Profile) -> Duration {
    match profile {
        Profile::Smoke => Duration::from_secs(180),
        Profile::Full => Duration::from_secs(900),
        Profile::Soak { length } => length.saturating_add(Duration::from_secs(900)),
    }
}

/// So many cases run at once: most of their time is waiting.
const CASES_AT_ONCE: usize = 32;
