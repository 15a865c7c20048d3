//! Lengths of time, sorted.

use std::time::Duration;

/// What was measured again and again.
#[derive(Debug)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn new(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        Self(samples)
    }

    /// The value that this share of the samples does not exceed (nearest rank).
    pub(crate) fn quantile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1) - 1;
        self.0.get(rank).copied().unwrap_or_default()
    }

    pub(crate) fn all(&self) -> &[Duration] {
        &self.0
    }

    pub(crate) fn summary(&self) -> String {
        format!(
            "p50 {}, p99 {}, worst {} (n = {})",
            ms(self.quantile(50)),
            ms(self.quantile(99)),
            ms(self.quantile(100)),
            self.0.len()
        )
    }
}

pub(crate) fn ms(length: Duration) -> String {
    format!("{:.2} ms", length.as_secs_f64() * 1000.0)
}
