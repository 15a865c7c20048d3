//! [`Clock`]: the holder's own sense of time.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::finding::Finding;

/// A point on a client's own monotonic clock, good to the nanosecond; it means nothing elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// So many nanoseconds after the clock's origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds after the clock's origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment so much later; the last one there is if that is too far.
    #[must_use]
    pub fn after(self, length: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// The moment so much earlier; the origin if that is too far.
    #[must_use]
    pub fn before(self, length: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// How long it is from `earlier` to this moment; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// The client's monotonic clock: it decides for how long a holder may believe in its lease (C4).
///
/// It must not stop while the machine is suspended and must not be set by anybody.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Moment;

    /// Waits until the moment has come.
    ///
    /// # Cancel safety
    /// Safe to drop: it does nothing but wait.
    async fn sleep_until(&self, moment: Moment);
}

/// The clock of the machine: the default.
///
/// It is tokio's clock plus the time that the machine was suspended (`CLOCK_BOOTTIME` less
/// `CLOCK_MONOTONIC`; Linux and Android only), so it goes on there while a laptop or a virtual machine
/// sleeps, and it is virtual under tokio's paused clock. After such a suspension
/// [`now`](Clock::now) is right at once, and what sleeps wakes within [`SystemClock::RESUME_LAG`].
#[derive(Debug)]
pub struct SystemClock {
    origin: tokio::time::Instant,
    /// The largest suspended time seen so far, in nanoseconds.
    suspended: AtomicU64,
}

impl SystemClock {
    /// How late a sleeper may wake after the machine resumed from suspension: 1 s.
    pub const RESUME_LAG: Duration = Duration::from_secs(1);

    /// A clock whose origin is now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the port")]
    pub fn new() -> Self {
        Self {
            origin: tokio::time::Instant::now(),
            suspended: AtomicU64::new(suspended_nanos()),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Moment {
        let sample = suspended_nanos();
        let suspended = self
            .suspended
            .fetch_max(sample, Ordering::Relaxed)
            .max(sample);
        let running = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Moment(running.saturating_add(suspended))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the port")]
    async fn sleep_until(&self, moment: Moment) {
        loop {
            let left = moment.since(self.now());
            if left.is_zero() {
                return;
            }
            // tokio's timers stand still while the machine is suspended: look again now and then.
            tokio::time::sleep(left.min(Self::RESUME_LAG)).await;
        }
    }
}

/// For how long the machine has been suspended since boot. Each sample is a lower bound, because
/// the clock that runs on is read first: a pause of the thread between the two reads can only make
/// it smaller, and the largest of all samples is kept.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn suspended_nanos() -> u64 {
    use rustix::time::{ClockId, clock_gettime};

    let boot = nanos(clock_gettime(ClockId::Boottime));
    let running = nanos(clock_gettime(ClockId::Monotonic));
    // Whole milliseconds, so that the noise between the two reads does not move the clock.
    (boot.saturating_sub(running) / 1_000_000).saturating_mul(1_000_000)
}

/// Elsewhere tokio's clock is taken as it is, whether or not it goes on during suspension.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn suspended_nanos() -> u64 {
    0
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn nanos(time: rustix::time::Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// Compares a store's wall clock with this machine's: for an examination and nothing else, since no
/// wall clock of a client decides anything (C4).
#[derive(Debug)]
pub struct Comparison {
    began: std::time::SystemTime,
}

impl Comparison {
    /// Reads our clock: before the store is asked for its own.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "it is shown, and decides nothing"
    )]
    pub fn begin() -> Self {
        Self {
            began: std::time::SystemTime::now(),
        }
    }

    /// Reads our clock again: when the store has answered how long it is since 1970 by its clock.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "it is shown, and decides nothing"
    )]
    pub fn end(self, store: Duration) -> Finding {
        let since_1970 = |time: std::time::SystemTime| {
            let since = time.duration_since(std::time::UNIX_EPOCH);
            since.unwrap_or_default()
        };
        let (from, until) = (
            since_1970(self.began),
            since_1970(std::time::SystemTime::now()),
        );
        let unsure = until.saturating_sub(from) / 2;
        Finding::of_clocks(store, from.saturating_add(unsure), unsure)
    }
}

/// How long it is until an instant of tokio's clock; zero if it has passed.
#[expect(clippy::disallowed_methods, reason = "this is the port")]
pub(crate) fn until(instant: tokio::time::Instant) -> Duration {
    instant.saturating_duration_since(tokio::time::Instant::now())
}
