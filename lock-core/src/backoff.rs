//! Pauses between attempts: decorrelated jitter.

use std::time::Duration;

use crate::entropy::Entropy;

/// Draws pauses between a shortest and a longest: each is random between the shortest and three
/// times the one before ("Exponential backoff and jitter", AWS Architecture Blog, 2015), so that
/// clients that failed together do not come back together.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    shortest: Duration,
    longest: Duration,
    last: Duration,
}

impl Backoff {
    pub(crate) fn new(shortest: Duration, longest: Duration) -> Self {
        Self {
            shortest,
            longest: longest.max(shortest),
            last: shortest,
        }
    }

    /// The next pause: never shorter than the shortest nor longer than the longest.
    pub(crate) fn next(&mut self, entropy: &dyn Entropy) -> Duration {
        let ceiling = self.last.saturating_mul(3).min(self.longest);
        let span = ceiling.saturating_sub(self.shortest);
        self.last = self.shortest.saturating_add(fraction(span, entropy));
        self.last
    }

    /// Starts again from the shortest, after something went well.
    pub(crate) fn reset(&mut self) {
        self.last = self.shortest;
    }
}

/// A random part of a length of time, up to all of it.
fn fraction(length: Duration, entropy: &dyn Entropy) -> Duration {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    let nanos = length
        .as_nanos()
        .saturating_mul(u128::from(u64::from_le_bytes(bytes)))
        >> 64;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
