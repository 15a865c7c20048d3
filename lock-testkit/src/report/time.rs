//! Moments and lengths in milliseconds.

use crate::history::{History, NEVER, Operation};

/// Writes moments in milliseconds from the start of a history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    start: u64,
    decimals: u32,
}

impl Times {
    /// With as many decimals as it takes to tell the moments of these operations apart, as far as
    /// that is of use over the time that they span.
    pub(super) fn new(history: &History, core: &[usize]) -> Self {
        let start = start_of(history);
        let core = core.iter().filter_map(|at| history.operations().get(*at));
        let mut moments: Vec<u64> = core.flat_map(moments_of).collect();
        moments.sort_unstable();
        moments.dedup();
        let span = match (moments.first(), moments.last()) {
            (Some(first), Some(last)) => last.saturating_sub(*first),
            _ => 0,
        };
        let mut times = Self { start, decimals: 1 };
        while times.decimals < DECIMALS_MAX {
            let mut texts: Vec<String> = moments.iter().map(|at| times.at(*at)).collect();
            texts.dedup();
            let is_fine = times.unit() <= span / 1000;
            if texts.len() == moments.len() || is_fine {
                break;
            }
            times.decimals = times.decimals.saturating_add(1);
        }
        times
    }

    /// The start of the history.
    pub(super) const fn start(self) -> u64 {
        self.start
    }

    /// A moment, without its unit.
    pub(super) fn at(self, moment: u64) -> String {
        self.number(moment.saturating_sub(self.start))
    }

    /// A length of time, with its unit.
    pub(super) fn length(self, ns: u64) -> String {
        let mut finer = self;
        // A length that is not nothing is not shown as nothing.
        while ns != 0 && finer.decimals < DECIMALS_MAX && ns < finer.unit() {
            finer.decimals = finer.decimals.saturating_add(1);
        }
        let mut text = finer.number(ns);
        if let Some(whole) = text.trim_end_matches('0').strip_suffix('.') {
            text.truncate(whole.len());
        }
        text + " ms"
    }

    /// A length of time of which no less will do: to the microsecond, rounded up.
    pub(super) fn at_least(ns: u64) -> String {
        let micros = Self {
            start: 0,
            decimals: 3,
        };
        let ns = ns.checked_next_multiple_of(micros.unit()).unwrap_or(ns);
        let text = micros.number(ns);
        format!("{} ms", text.trim_end_matches('0').trim_end_matches('.'))
    }

    /// Nanoseconds in the last decimal.
    fn unit(self) -> u64 {
        10_u64.pow(DECIMALS_MAX.saturating_sub(self.decimals))
    }

    fn number(self, ns: u64) -> String {
        let rounded = ns.saturating_add(self.unit() / 2);
        let units = rounded.checked_div(self.unit()).unwrap_or_default();
        let decimals = usize::try_from(self.decimals).unwrap_or_default();
        let mut digits = format!("{units:0>width$}", width = decimals.saturating_add(1));
        digits.insert(digits.len().saturating_sub(decimals), '.');
        digits
    }
}

/// A nanosecond is the sixth decimal of a millisecond.
const DECIMALS_MAX: u32 = 6;

/// When an operation was invoked, and when it returned if it did.
pub(super) fn moments_of(operation: &Operation) -> impl Iterator<Item = u64> {
    let returned = Some(operation.returned).filter(|returned| *returned != NEVER);
    [operation.invoked].into_iter().chain(returned)
}

/// The first moment of which a history tells.
pub(super) fn start_of(history: &History) -> u64 {
    let operations = history.operations().iter().map(|o| o.invoked);
    let marks = history.marks().iter().map(|mark| mark.from);
    operations.chain(marks).min().unwrap_or_default()
}
