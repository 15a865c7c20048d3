//! Judges of histories. Each says which property was broken and by which operations, and each fast
//! one is held against a slow and simple one on random histories.
//!
//! - [`belief`]: what clients believed that they hold; near linear.
//! - [`liveness`]: whether somebody who waits is granted once nothing is at fault; O(n log n).
//! - [`token`]: locks with fencing tokens, expiry and unknown outcomes; near linear.
//! - [`mutex`]: locks without tokens and without unknown outcomes; O(n log n).
//! - [`linear`]: linearizability of any sequential model, within a budget.

pub mod belief;
pub mod linear;
pub mod liveness;
pub mod mutex;
pub mod token;

use std::error::Error;
use std::fmt;

/// A line of a history file is not of the form that its reader knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatError {
    line: u64,
}

impl FormatError {
    pub(crate) const fn new(line: u64) -> Self {
        Self { line }
    }

    /// The line, from 1.
    #[must_use]
    pub const fn line(self) -> u64 {
        self.line
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a line of such a history: line {}", self.line)
    }
}

impl Error for FormatError {}

#[cfg(test)]
pub(crate) mod cases;
