//! [`Verdict`]: what was found, for a reader.

use std::fmt;
use std::io;

use super::Rule;
use super::evidence::{Access, Use, seconds};
use crate::checker::{belief, token};
use crate::history::{History, Mark, MarkKind};
use crate::spec::{self, Bound, Property};

/// A rule that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// Which client and task.
    pub who: String,
    /// The lock, or the locks.
    pub lock: String,
    /// The token of the lease, where there is one.
    pub token: Option<u64>,
    /// When, in nanoseconds of the history.
    pub at_ns: u64,
    /// What happened, with its times.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.rule, self.rule.broken())?;
        writeln!(f, "  who:  {}", self.who)?;
        write!(f, "  lock: {}", self.lock)?;
        if let Some(token) = self.token {
            write!(f, ", token {token}")?;
        }
        writeln!(f, "\n  what: at {}: {}", seconds(self.at_ns), self.what)?;
        write!(f, "  do:   {}", self.rule.advice())
    }
}

/// What a watch found. Its `Display` is the report.
#[derive(Clone, Debug)]
#[must_use = "a verdict that nobody looks at finds nothing"]
pub struct Verdict {
    history: History,
    findings: Vec<Finding>,
    store: spec::Verdict,
    beliefs: Option<String>,
    has_listened: bool,
}

impl Verdict {
    pub(super) fn new(
        mut history: History,
        findings: Vec<Finding>,
        uses: &[Use],
        has_listened: bool,
    ) -> Self {
        let store = token::check(&history, Bound::DEFAULT, BUDGET);
        let both_believe = belief::check(&history)
            .into_iter()
            .find(|violation| violation.property == Property::Me2);
        let beliefs = both_believe.map(|violation| violation.explain(&history));
        for used in uses {
            let did = match used.access {
                Access::Read => "read",
                Access::Refused => "refused",
                Access::Write => "wrote",
            };
            history.mark(mark(
                used.at,
                format!("{did} {}: {}", used.resource, used.what),
            ));
        }
        for finding in &findings {
            history.mark(mark(
                finding.at_ns,
                format!("{}: {}", finding.rule, finding.what),
            ));
        }
        Self {
            history,
            findings,
            store,
            beliefs,
            has_listened,
        }
    }

    /// What the service did wrong, by rule and then by time.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The rules that were broken, each once.
    #[must_use]
    pub fn broken_rules(&self) -> Vec<Rule> {
        let mut rules: Vec<Rule> = self.findings.iter().map(|finding| finding.rule).collect();
        rules.dedup();
        rules
    }

    /// What is to be said of the lock itself.
    #[must_use]
    pub const fn store(&self) -> &spec::Verdict {
        &self.store
    }

    /// What was recorded. Uses of resources and findings are marks in it.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// Writes what was recorded as JSON Lines.
    ///
    /// # Errors
    /// What the writer fails with.
    pub fn write_lines(&self, to: impl io::Write) -> io::Result<()> {
        self.history.write_lines(to)
    }

    /// Whether nothing was found, neither of the service nor of the lock, and all was decided.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.beliefs.is_none() && self.store == spec::Verdict::Valid
    }

    /// Does nothing if nothing was found.
    ///
    /// # Panics
    /// With the report, if anything was.
    #[track_caller]
    #[expect(clippy::panic, reason = "it is an assertion")]
    pub fn assert_clean(&self) {
        if !self.is_clean() {
            panic!("{self}");
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}\n")?;
        }
        match &self.store {
            spec::Verdict::Valid => {}
            spec::Verdict::Undecided { steps } => {
                writeln!(f, "the lock itself: undecided after {steps} steps\n")?;
            }
            spec::Verdict::Invalid(violation) => {
                let text = violation.explain(&self.history);
                writeln!(f, "the lock itself: {text}\n")?;
            }
        }
        if let Some(beliefs) = &self.beliefs {
            writeln!(f, "the lock itself: {beliefs}\n")?;
        }
        let (steps, marks) = (self.history.operations().len(), self.findings.len());
        write!(f, "{steps} operations on {} locks", self.history.keys())?;
        write!(f, ", {marks} findings")?;
        if !self.has_listened {
            write!(f, "; nobody listened for discarded changes (SV-3)")?;
        }
        Ok(())
    }
}

fn mark(at: u64, text: String) -> Mark {
    Mark {
        from: at,
        until: at,
        kind: MarkKind::Fault,
        client: None,
        text,
    }
}

/// How many steps the general checker may take on a lock that needs it.
const BUDGET: u64 = 2_000_000;
