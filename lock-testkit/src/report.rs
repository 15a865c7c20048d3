//! Tells a violation to whoever has to find its cause.
//!
//! A [`Report`] is read in the log of a test first, so it is text: one sentence that says what
//! contradicts what, the few operations that matter as lanes over time with a bar for each lease, the
//! bound that was used, and one line to run the case again. [`Report::write`] adds files: that text,
//! the whole history as JSON Lines, and a page in which to look around in it.
//!
//! ```
//! use lock_testkit::checker::token;
//! use lock_testkit::history::{History, Operation, Outcome, Step, Value};
//! use lock_testkit::report::Report;
//! use lock_testkit::spec::{Bound, Verdict};
//!
//! # let mut history = History::new();
//! # let key = history.key("stock");
//! # let grant = Operation {
//! #     invoked: 0,
//! #     returned: 10_000_000,
//! #     token: 1,
//! #     ttl_ns: 100_000_000,
//! #     key,
//! #     client: 0,
//! #     task: 0,
//! #     value: Value::UNSEEN,
//! #     step: Step::Acquire,
//! #     outcome: Outcome::Done,
//! # };
//! # history.push(grant);
//! # let (invoked, returned) = (40_000_000, 50_000_000);
//! # history.push(Operation { invoked, returned, token: 2, client: 1, ..grant });
//! let found = token::check(&history, Bound::timed(0, 0), 100_000);
//! let Verdict::Invalid(violation) = found else { panic!("the leases overlap") };
//! let report = Report::new(&history, &violation)
//!     .subject("memory")
//!     .replay("LOCK_CASE=17 cargo test -p my-backend");
//! assert!(report.to_string().starts_with(
//!     "LS-1: the lease of token 1, granted to client 0 (0.0 to 10.0 ms) for 100 ms, was not over"
//! ));
//! ```

mod axis;
mod boxes;
mod core;
mod files;
mod grid;
mod lanes;
mod lease;
mod missed;
mod page;
mod sentence;
mod time;
mod words;

use std::fmt;

pub use self::core::core;
pub use files::Written;

use crate::history::History;
use crate::spec::{Bound, Violation};
use time::Times;
use words::{Words, on_one_line, plain, wrapped};

/// No line of a report is longer.
const WIDTH: usize = 100;

/// A violation, told. Its `Display` is the report as text.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    history: &'a History,
    violation: &'a Violation,
    core: Vec<usize>,
    subject: String,
    case: String,
    replay: String,
    written: Option<Written>,
}

impl<'a> Report<'a> {
    /// A report of what a checker found in a history.
    #[must_use]
    pub fn new(history: &'a History, violation: &'a Violation) -> Self {
        Self {
            history,
            violation,
            core: core(history, violation),
            subject: String::new(),
            case: String::new(),
            replay: String::new(),
            written: None,
        }
    }

    /// Names the lock that was tested.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }

    /// Names the case in which it failed.
    #[must_use]
    pub fn case(mut self, case: impl Into<String>) -> Self {
        self.case = case.into();
        self
    }

    /// The line to copy and paste that runs the case again.
    #[must_use]
    pub fn replay(mut self, line: impl Into<String>) -> Self {
        self.replay = line.into();
        self
    }

    fn words(&self) -> Words<'_> {
        Words {
            history: self.history,
            times: Times::new(self.history, &self.core),
        }
    }

    /// What contradicts what, in one sentence.
    fn sentence(&self) -> String {
        sentence::sentence(&self.words(), self.violation) + "."
    }

    /// What was trusted of clocks, and what it would take.
    fn bound(&self) -> String {
        let times = self.words().times;
        let bound = match self.violation.bound {
            Bound::Timed {
                drift_ppm,
                granularity_ns,
            } => format!(
                "a lease lasts at least its ttl less {drift_ppm} ppm and {}",
                times.length(granularity_ns)
            ),
            Bound::Untimed => "a lease may expire at any time; no clock is trusted".to_owned(),
        };
        match missed::missed_ns(self.history, self.violation) {
            Some(ns) => format!(
                "{bound}; needs {} of clock error beyond that to be legal",
                Times::at_least(ns)
            ),
            None => bound,
        }
    }

    /// Where it happened; empty if nobody said.
    fn place(&self) -> String {
        let names = [&self.subject, &self.case].into_iter();
        let named = names.filter(|name| !name.is_empty());
        let named: Vec<String> = named.map(|name| plain(name)).collect();
        named.join(", ")
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", wrapped(&self.sentence(), WIDTH, "  "))?;
        writeln!(f)?;
        for line in lanes::lanes(&self.words(), self.violation, &self.core) {
            writeln!(f, "{line}")?;
        }
        writeln!(f)?;
        let rule = self.violation.property.rule();
        let broken = format!("{}: {rule}", self.violation.property);
        let mut foot = vec![("Broken", broken), ("Bound", self.bound())];
        if !self.place().is_empty() {
            foot.insert(0, ("Case", self.place()));
        }
        if !self.replay.is_empty() {
            // It is for a shell, so it is not broken into lines.
            foot.push(("Replay", on_one_line(&self.replay)));
        }
        if let Some(written) = &self.written {
            foot.push(("History", plain(&written.lines.display().to_string())));
            foot.push(("Page", plain(&written.page.display().to_string())));
        }
        for (name, text) in foot {
            let line = format!("{name:8} {text}");
            match name {
                "Case" | "Broken" | "Bound" => writeln!(f, "{}", wrapped_foot(&line))?,
                _ => writeln!(f, "{line}")?,
            }
        }
        Ok(())
    }
}

/// A line of the foot, broken under its text.
fn wrapped_foot(line: &str) -> String {
    let (name, text) = line.split_at_checked(9).unwrap_or((line, ""));
    let lines = wrapped(text, WIDTH.saturating_sub(9), "");
    format!("{name}{}", lines.replace('\n', "\n         "))
}

#[cfg(test)]
mod tests;
