//! [`Summary`]: what came of a run, and the statement of conformance.

use std::fmt;
use std::time::Duration;

use lock_core::{Capabilities, Durability};

use super::case::{Broken, Outcome};
use super::expectations::Expectation;
use super::settings::Profile;

/// How a case stands in the end, with what there is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// It failed, or passed though it was expected to fail.
    Fail(String),
    /// It failed as expected: by the expectation file, or since what it looks for is not declared.
    ExpectedFailure(String),
    /// It cannot be run with this backend or this setup.
    NotApplicable(String),
    /// It passed.
    Pass(Option<String>),
    /// It was not run, by the expectation file.
    Skip(String),
}

impl Standing {
    /// What was expected and what came of it.
    pub(super) fn of(expected: Option<&Expectation>, ran: Result<Outcome, Broken>) -> Self {
        match (expected, ran) {
            (Some(Expectation::Skip(reason)), _) => Self::Skip(reason.clone()),
            (Some(Expectation::Fail(reason)), Err(_)) => Self::ExpectedFailure(reason.clone()),
            (Some(Expectation::Fail(reason)), Ok(Outcome::Passed(_))) => Self::Fail(format!(
                "it was expected to fail ({reason}) and passed: remove its line from the expectations"
            )),
            (Some(Expectation::Pass), Ok(Outcome::NotApplicable(why) | Outcome::Absent(why))) => {
                Self::Fail(format!("it was expected to pass, and could not: {why}"))
            }
            (_, Ok(Outcome::Absent(why))) => Self::ExpectedFailure(why),
            (_, Ok(Outcome::NotApplicable(why))) => Self::NotApplicable(why),
            (_, Ok(Outcome::Passed(note))) => Self::Pass(note),
            (_, Err(broken)) => Self::Fail(broken.message),
        }
    }

    /// Its name in files.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Fail(_) => "fail",
            Self::ExpectedFailure(_) => "expected failure",
            Self::NotApplicable(_) => "not applicable",
            Self::Pass(_) => "pass",
            Self::Skip(_) => "skip",
        }
    }

    /// What there is to say about it.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Fail(text)
            | Self::ExpectedFailure(text)
            | Self::NotApplicable(text)
            | Self::Skip(text) => Some(text),
            Self::Pass(note) => note.as_deref(),
        }
    }
}

/// What came of one case.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CaseReport {
    /// The case.
    pub id: &'static str,
    /// How it stands.
    pub standing: Standing,
    /// How long it took.
    pub took: Duration,
}

/// What came of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// What the backend's author calls it.
    pub backend: String,
    /// What it calls itself in spans and messages.
    pub kind: String,
    /// What it declares.
    pub capabilities: Capabilities,
    /// How much was run.
    pub profile: Profile,
    /// Where the plans' chance came from.
    pub seed: u64,
    /// The worst delay of the scheduler while it ran.
    pub delay: Duration,
    /// How long it took, with the start of the store.
    pub took: Duration,
    /// The cases, in the order in which they are listed.
    pub cases: Vec<CaseReport>,
}

impl Summary {
    /// Whether no case failed.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.count("fail") == 0
    }

    /// How many cases stand so, by [`Standing::word`].
    #[must_use]
    pub fn count(&self, word: &str) -> usize {
        let cases = self.cases.iter();
        cases.filter(|case| case.standing.word() == word).count()
    }

    /// How the case of this id stands, if it was selected.
    #[must_use]
    pub fn standing(&self, id: &str) -> Option<&Standing> {
        let case = self.cases.iter().find(|case| case.id == id)?;
        Some(&case.standing)
    }

    /// The ids of the cases that failed.
    #[must_use]
    pub fn failed(&self) -> Vec<&'static str> {
        let cases = self.cases.iter();
        let failed = cases.filter(|case| case.standing.word() == "fail");
        failed.map(|case| case.id).collect()
    }

    /// The statement of conformance, in one line.
    #[must_use]
    pub fn statement(&self) -> String {
        let failures = |word: &str, one: &str, many: &str| match self.count(word) {
            0 => String::new(),
            1 => format!(", 1 {one}"),
            n => format!(", {n} {many}"),
        };
        let partial = match super::ids().len().saturating_sub(self.cases.len()) {
            0 => String::new(),
            left => format!(", {left} not selected"),
        };
        format!(
            "lock-testkit {}, backend {}, profile {}, durability {}: {} pass{}{}{}{}{partial}",
            env!("CARGO_PKG_VERSION"),
            self.backend,
            self.profile.name(),
            durability(self.capabilities.durability),
            self.count("pass"),
            failures("fail", "FAILURE", "FAILURES"),
            failures("expected failure", "expected failure", "expected failures"),
            failures("not applicable", "not applicable", "not applicable"),
            failures("skip", "skipped", "skipped"),
        )
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.statement())
    }
}

/// The word for it.
pub(super) const fn durability(durability: Durability) -> &'static str {
    match durability {
        Durability::None => "none",
        Durability::Restart => "restart",
        Durability::Failover => "failover",
        _ => "unknown",
    }
}
