//! [`Tally`]: what one process did in one play, as a line of text between processes.

use std::time::Duration;

/// Waits are counted in classes of 3 %.
const CLASS: f64 = 0.03;

/// What was done.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    /// How many sections each task had.
    pub(crate) sections: Vec<u64>,
    /// How often a wait was of this class.
    waits: Vec<u64>,
    /// The longest wait, in microseconds.
    worst_us: u64,
    /// The time that the sections took, in microseconds.
    pub(crate) length_us: u64,
    /// Sections that failed.
    pub(crate) failures: u64,
}

impl Tally {
    /// Counts a wait.
    pub(crate) fn wait(&mut self, waited: Duration) {
        let us = waited.as_micros().max(1) as u64;
        let class = ((us as f64).ln() / CLASS) as usize;
        if self.waits.len() <= class {
            self.waits.resize(class + 1, 0);
        }
        self.waits[class] += 1;
        self.worst_us = self.worst_us.max(us);
    }

    /// All sections.
    pub(crate) fn total(&self) -> u64 {
        self.sections.iter().sum()
    }

    /// Sections a second.
    pub(crate) fn rate(&self) -> f64 {
        self.total() as f64 / (self.length_us.max(1) as f64 / 1e6)
    }

    /// The wait, in milliseconds, that this share of the sections did not exceed.
    pub(crate) fn wait_ms(&self, share: f64) -> f64 {
        let all: u64 = self.waits.iter().sum();
        let mut left = (all as f64 * share).ceil() as u64;
        for (class, count) in self.waits.iter().enumerate() {
            left = left.saturating_sub(*count);
            if left == 0 {
                return ((class + 1) as f64 * CLASS).exp() / 1000.0;
            }
        }
        self.worst_ms()
    }

    /// The longest wait in milliseconds.
    pub(crate) fn worst_ms(&self) -> f64 {
        self.worst_us as f64 / 1000.0
    }

    /// By how much the tasks that were served least and most differ from the mean, in parts of it.
    pub(crate) fn shares(&self) -> (f64, f64) {
        let mean = self.total() as f64 / self.sections.len().max(1) as f64;
        let least = self.sections.iter().min().copied().unwrap_or(0) as f64;
        let most = self.sections.iter().max().copied().unwrap_or(0) as f64;
        if mean == 0.0 {
            return (0.0, 0.0);
        }
        (least / mean - 1.0, most / mean - 1.0)
    }

    /// Adds what another process or round did; tasks are those of both, or the same again.
    pub(crate) fn add(&mut self, other: &Self, same_tasks: bool) {
        if same_tasks && self.sections.len() == other.sections.len() {
            for (mine, more) in self.sections.iter_mut().zip(&other.sections) {
                *mine += more;
            }
            self.length_us += other.length_us;
        } else {
            self.sections.extend(&other.sections);
            self.length_us = self.length_us.max(other.length_us);
        }
        if self.waits.len() < other.waits.len() {
            self.waits.resize(other.waits.len(), 0);
        }
        for (mine, more) in self.waits.iter_mut().zip(&other.waits) {
            *mine += more;
        }
        self.worst_us = self.worst_us.max(other.worst_us);
        self.failures += other.failures;
    }

    /// One line.
    pub(crate) fn to_line(&self) -> String {
        let list = |numbers: &[u64]| {
            let words: Vec<String> = numbers.iter().map(u64::to_string).collect();
            words.join(",")
        };
        format!(
            "{};{};{};{};{}",
            list(&self.sections),
            list(&self.waits),
            self.worst_us,
            self.length_us,
            self.failures
        )
    }

    /// What such a line says.
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let list = |text: &str| -> Option<Vec<u64>> {
            let words = text.split(',').filter(|word| !word.is_empty());
            words.map(|word| word.parse().ok()).collect()
        };
        let mut fields = line.trim().split(';');
        let tally = Self {
            sections: list(fields.next()?)?,
            waits: list(fields.next()?)?,
            worst_us: fields.next()?.parse().ok()?,
            length_us: fields.next()?.parse().ok()?,
            failures: fields.next()?.parse().ok()?,
        };
        fields.next().is_none().then_some(tally)
    }
}
