//! [`Finding`]: something about a store that whoever runs it should know.

use std::fmt;
use std::time::Duration;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// As it should be, or good to know.
    Note,
    /// The locks work; in a case that the finding names they promise less than they could.
    Warning,
    /// A promise of the library does not hold here.
    Broken,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Broken => "broken",
        })
    }
}

/// What an examination found: the fact, what follows from it for locks, and what to do.
///
/// # Examples
/// ```
/// use lock_core::{Finding, Severity};
///
/// let finding = Finding::warning(
///     "persistence",
///     "nothing is written to disk",
///     "a restart of the server forgets who holds what",
///     "turn the append-only file on",
/// );
/// assert_eq!(finding.severity, Severity::Warning);
/// assert_eq!(Finding::note("version", "7.2").consequence, "");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What it is about, in one word: `version`, `persistence`, `clock`.
    pub topic: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The fact.
    pub fact: String,
    /// What follows from it; empty for a note.
    pub consequence: String,
    /// What to do; empty for a note.
    pub remedy: String,
}

impl Finding {
    /// As it should be, or good to know.
    #[must_use]
    pub fn note(topic: &'static str, fact: impl Into<String>) -> Self {
        Self {
            topic,
            severity: Severity::Note,
            fact: fact.into(),
            consequence: String::new(),
            remedy: String::new(),
        }
    }

    /// Less is promised than could be.
    #[must_use]
    pub fn warning(
        topic: &'static str,
        fact: impl Into<String>,
        consequence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            consequence: consequence.into(),
            remedy: remedy.into(),
            ..Self::note(topic, fact)
        }
    }

    /// A promise does not hold.
    #[must_use]
    pub fn broken(
        topic: &'static str,
        fact: impl Into<String>,
        consequence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Broken,
            ..Self::warning(topic, fact, consequence, remedy)
        }
    }

    /// What the store's clock says beside this machine's, both since 1970: the wall clocks, which
    /// decide nothing here and yet tell that one of them is wrong. `unsure` is by how much the
    /// reading may be off.
    #[must_use]
    pub fn of_clocks(store: Duration, ours: Duration, unsure: Duration) -> Self {
        let apart = store.abs_diff(ours);
        let way = if store > ours { "ahead of" } else { "behind" };
        let fact = format!(
            "the store's clock is {} ms {way} this machine's, to {} ms",
            apart.as_millis(),
            unsure.as_millis()
        );
        if apart <= CLOCKS_APART_MAX.saturating_add(unsure) {
            return Self::note("clock", fact);
        }
        Self::warning(
            "clock",
            fact,
            "only the store's clock decides when a lease is over, so nothing is wrong yet; but one of \
             the two clocks is, and if it is the store's, setting it right in one step ends leases \
             early, or late, and a step back can repeat tokens where the store forgot its records",
            "keep both in step by NTP, and have the store's clock slewed, not stepped, while locks \
             are held",
        )
    }
}

/// Machines that follow NTP are well within this.
const CLOCKS_APART_MAX: Duration = Duration::from_millis(500);
