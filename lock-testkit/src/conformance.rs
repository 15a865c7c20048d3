//! The conformance suite: one call in a backend's own crate proves its
//! [`LockBackend`](lock_core::LockBackend).
//!
//! ```no_run
//! // tests/conformance.rs, with `harness = false` in its [[test]] entry
//! # use async_trait::async_trait;
//! # use lock_testkit::{SetupError, subject::{ServedStore, Setup}};
//! # struct MySetup;
//! # #[async_trait] impl Setup for MySetup {
//! #     fn name(&self) -> String { String::new() }
//! #     async fn store(&self) -> Result<Box<dyn ServedStore>, SetupError> { Err(SetupError::new("")) }
//! # }
//! fn main() -> std::process::ExitCode {
//!     lock_testkit::conformance::main(MySetup)
//! }
//! ```
//!
//! # Groups
//! - `steps/…`: the contract of each step, one client after the other.
//! - `claims/…`: what the backend's [`Capabilities`](lock_core::Capabilities) declare. What is not
//!   declared is tried too, and its absence is an expected failure that everybody sees.
//! - `client/…`: lock-core's client over the backend.
//! - `plans/…`: random plans on the real store in real time, each with one class of faults, judged by
//!   the checker of histories.
//!
//! A case is called `group/sentence`, and its name is stable: expectation files and filters hold on
//! to it. New cases come with new versions of this crate; none is renamed.
//!
//! # Environment
//!
//! | Variable | What it sets | Default |
//! |---|---|---|
//! | `LOCK_TESTKIT_PROFILE` | `smoke`, `full` or `soak` | `smoke` |
//! | `LOCK_TESTKIT_MINUTES` | how long `soak` lasts | 60 |
//! | `LOCK_TESTKIT_SEED` | where the plans' chance comes from | a new one each time |
//! | `LOCK_TESTKIT_PLAN` | the one plan to run, with `--exact plans/…` | none |
//! | `LOCK_TESTKIT_SEEDS_FILE` | the plans that failed before | `tests/conformance-seeds.txt` |
//! | `LOCK_TESTKIT_EXPECTATIONS` | what is expected of cases | `tests/conformance-expectations.txt` |
//! | `LOCK_TESTKIT_JUNIT`, `LOCK_TESTKIT_JSON` | files to write the results to | none |
//!
//! Relative paths start at the caller's crate.
//!
//! # Own main or ordinary test functions
//! [`main`] lists every case by its own name, so that filters, `cargo nextest`, expectation files and
//! the statement of conformance work by the case, and new ones appear by themselves.
//! [`conformance!`](crate::conformance!) makes one ordinary `#[test]` of each group for those who
//! cannot have a target of their own: a group then passes or fails as one, and whoever runs it sees
//! its cases only in its output.
//!
//! # Invariants
//! 1. No case passes or fails by how fast the machine is: bounds on waiting are upper safety nets
//!    that grow with the measured delay of the scheduler, and bounds on leases are checked from
//!    stamps that were taken on the safe side.
//! 2. What cannot be run is reported as not applicable, with the reason. Nothing is left out silently.

mod arguments;
mod case;
mod claims;
mod client;
mod expectations;
mod files;
mod hand;
mod plans;
mod pulse;
mod seeds;
mod settings;
mod stage;
mod steps;
mod suite;
mod summary;

use std::process::ExitCode;

pub use expectations::{Expectation, Expectations};
pub use settings::{Profile, Settings};
pub use summary::{CaseReport, Standing, Summary};

use crate::SetupError;
use crate::subject::Setup;
use arguments::{Arguments, Wish};
use case::Case;

/// The ids of all cases, in the order in which they are listed.
#[must_use]
pub fn ids() -> Vec<&'static str> {
    cases().iter().map(|case| case.id).collect()
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(steps::cases());
    cases.extend(claims::cases());
    cases.extend_from_slice(client::CASES);
    cases.extend(plans::cases());
    cases
}

/// The whole of a test target with `harness = false`: reads the command line and the environment,
/// runs what was asked for, prints it, and returns what the process is to exit with.
///
/// It understands what `cargo test` and `cargo nextest` send: filters, `--exact`, `--skip`, `--list`,
/// `--format terse`, `--ignored`, `--test-threads`; and `--junit FILE` and `--json FILE`.
#[must_use]
pub fn main(setup: impl Setup) -> ExitCode {
    match start(setup) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(101),
        Err(error) => {
            suite::complain(&format!("{error:?}"));
            ExitCode::from(102)
        }
    }
}

fn start(setup: impl Setup) -> Result<bool, SetupError> {
    let arguments = match Arguments::read(std::env::args().skip(1))? {
        Wish::Help => {
            suite::say(arguments::HELP);
            return Ok(true);
        }
        Wish::List { arguments, ignored } => {
            suite::list(&arguments, ignored);
            return Ok(true);
        }
        Wish::Run(arguments) => arguments,
    };
    let settings = Settings::from_env()?.with(arguments);
    Ok(run(setup, settings)?.is_success())
}

/// Runs the cases that the settings select, prints what comes of each, and returns it all.
///
/// # Errors
/// If the settings contradict each other, an expectation names an unknown case, no store is to be
/// had, or a file cannot be written. That a case fails is no error but in the summary.
pub fn run(setup: impl Setup, settings: Settings) -> Result<Summary, SetupError> {
    let summary = suite::run(std::sync::Arc::new(setup), &settings)?;
    files::write(&summary, &settings)?;
    Ok(summary)
}

/// Runs one group as one test, for [`conformance!`](crate::conformance!).
///
/// # Panics
/// If a case fails, with what failed; that is how an ordinary test fails.
#[expect(clippy::panic, reason = "a test fails by panicking")]
pub fn group(setup: impl Setup, group: &str) {
    let summary = Settings::from_env()
        .map(|settings| settings.filter(format!("{group}/")))
        .and_then(|settings| run(setup, settings));
    match summary {
        Ok(summary) if summary.is_success() => {}
        Ok(summary) => panic!("{}", summary.statement()),
        Err(error) => panic!("{error:?}"),
    }
}

/// Makes ordinary `#[test]` functions of the suite, one a group, for an expression that makes the
/// [`Setup`](crate::subject::Setup).
///
/// See [the module](mod@crate::conformance) for what is lost against an own `main`.
///
/// ```
/// # use async_trait::async_trait;
/// # use lock_testkit::{SetupError, subject::{ServedStore, Setup}};
/// # struct MySetup;
/// # #[async_trait] impl Setup for MySetup {
/// #     fn name(&self) -> String { String::new() }
/// #     async fn store(&self) -> Result<Box<dyn ServedStore>, SetupError> { Err(SetupError::new("")) }
/// # }
/// lock_testkit::conformance!(MySetup);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! conformance {
    ($setup:expr) => {
        #[test]
        fn the_steps_keep_their_contract() {
            $crate::conformance::group($setup, "steps");
        }

        #[test]
        fn the_claims_hold() {
            $crate::conformance::group($setup, "claims");
        }

        #[test]
        fn the_client_keeps_its_promises() {
            $crate::conformance::group($setup, "client");
        }

        #[test]
        fn random_plans_are_survived() {
            $crate::conformance::group($setup, "plans");
        }
    };
}
