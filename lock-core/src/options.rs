//! [`LockOptions`]: how locks are taken and kept; the one place where relations are checked.

use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::label::Label;
use crate::ttl::Ttl;

/// How a lock is taken and kept. Made by [`LockOptions::builder`], checked once, never changed.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use lock_core::LockOptions;
///
/// let options = LockOptions::builder().ttl(Duration::from_secs(5)).build()?;
/// assert_eq!(options.renew_interval(), Duration::from_secs(5) / 3);
///
/// let wrong = LockOptions::builder()
///     .ttl(Duration::from_secs(5))
///     .renew_interval(Duration::from_secs(6))
///     .build();
/// assert!(wrong.is_err());
/// # Ok::<(), lock_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockOptions {
    ttl: Ttl,
    renew_interval: Duration,
    drift_allowance: Duration,
    request_timeout: Duration,
    patience: Duration,
    poll_min: Duration,
    poll_max: Duration,
    max_state_bytes: usize,
    forget_after: Option<Forget>,
    label: Label,
    handover_max: u32,
    handover_time: Duration,
}

/// For how long the record of an idle name is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forget {
    After(Duration),
    Never,
}

impl LockOptions {
    /// The bound on a value's encoded size that is used unless another is given: 1 MiB.
    pub const MAX_STATE_BYTES_DEFAULT: usize = 1024 * 1024;
    /// The largest bound on a value's encoded size: 64 MiB.
    pub const MAX_STATE_BYTES_LIMIT: usize = 64 * 1024 * 1024;
    /// The most times that a lease may be handed on inside a process: 4096.
    pub const HANDOVER_MAX_LIMIT: u32 = 4096;
    /// The shortest time after which an idle name may be forgotten: 1 minute.
    pub const FORGET_AFTER_MIN: Duration = Duration::from_secs(60);
    /// After which the idle record of a lock without a value is forgotten unless said otherwise:
    /// one day, so that a nightly job still learns how the run before it ended.
    pub const FORGET_PLAIN_AFTER_DEFAULT: Duration = Duration::from_secs(24 * 60 * 60);

    /// Starts with the defaults.
    pub fn builder() -> LockOptionsBuilder {
        LockOptionsBuilder::default()
    }

    /// See [`LockOptionsBuilder::ttl`].
    #[must_use]
    pub const fn ttl(&self) -> Ttl {
        self.ttl
    }

    /// See [`LockOptionsBuilder::renew_interval`].
    #[must_use]
    pub const fn renew_interval(&self) -> Duration {
        self.renew_interval
    }

    /// See [`LockOptionsBuilder::drift_allowance`].
    #[must_use]
    pub const fn drift_allowance(&self) -> Duration {
        self.drift_allowance
    }

    /// See [`LockOptionsBuilder::request_timeout`].
    #[must_use]
    pub const fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// See [`LockOptionsBuilder::patience`].
    #[must_use]
    pub const fn patience(&self) -> Duration {
        self.patience
    }

    /// See [`LockOptionsBuilder::poll`].
    #[must_use]
    pub const fn poll(&self) -> (Duration, Duration) {
        (self.poll_min, self.poll_max)
    }

    /// See [`LockOptionsBuilder::max_state_bytes`].
    #[must_use]
    pub const fn max_state_bytes(&self) -> usize {
        self.max_state_bytes
    }

    /// See [`LockOptionsBuilder::label`].
    #[must_use]
    pub const fn label(&self) -> &Label {
        &self.label
    }

    /// See [`LockOptionsBuilder::handover`].
    #[must_use]
    pub const fn handover(&self) -> (u32, Duration) {
        (self.handover_max, self.handover_time)
    }

    /// For how long the holder believes in its lease from the moment the request was sent.
    pub(crate) fn validity(&self) -> Duration {
        self.ttl.as_duration().saturating_sub(self.drift_allowance)
    }

    /// What to ask of the store for a lock with or without a value.
    pub(crate) fn forget_after(&self, plain: bool) -> Option<Duration> {
        match self.forget_after {
            Some(Forget::After(length)) => Some(length),
            Some(Forget::Never) => None,
            None if plain => Some(Self::FORGET_PLAIN_AFTER_DEFAULT),
            None => None,
        }
    }
}

/// The defaults, each with its reason at the builder's method.
impl Default for LockOptions {
    fn default() -> Self {
        let ttl = Ttl::DEFAULT;
        Self {
            ttl,
            renew_interval: renew_interval_default(ttl),
            drift_allowance: drift_allowance_default(ttl),
            request_timeout: Duration::from_secs(2),
            patience: Duration::from_secs(10),
            poll_min: Duration::from_millis(10),
            poll_max: Duration::from_secs(1),
            max_state_bytes: Self::MAX_STATE_BYTES_DEFAULT,
            forget_after: None,
            label: Label::of_this_process(),
            handover_max: HANDOVER_MAX_DEFAULT,
            handover_time: handover_time_default(ttl),
        }
    }
}

/// Enough for the cost of a grant not to show between many sections.
const HANDOVER_MAX_DEFAULT: u32 = 255;

fn handover_time_default(ttl: Ttl) -> Duration {
    ttl.as_duration() / 100
}

fn renew_interval_default(ttl: Ttl) -> Duration {
    ttl.as_duration() / 3
}

fn drift_allowance_default(ttl: Ttl) -> Duration {
    (ttl.as_duration() / 50).saturating_add(Duration::from_millis(5))
}

/// Collects options; [`build`](Self::build) checks them.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct LockOptionsBuilder {
    ttl: Option<Duration>,
    renew_interval: Option<Duration>,
    drift_allowance: Option<Duration>,
    request_timeout: Option<Duration>,
    patience: Option<Duration>,
    poll: Option<(Duration, Duration)>,
    max_state_bytes: Option<usize>,
    forget_after: Option<Forget>,
    label: Option<String>,
    handover: Option<(u32, Duration)>,
}

impl LockOptionsBuilder {
    /// How long the others wait after this process crashed. Default 10 s: a few missed renewals
    /// cost nothing, and nobody waits long for a dead holder. Below about a second a busy machine or
    /// network can lose leases that are in use.
    pub fn ttl(mut self, length: Duration) -> Self {
        self.ttl = Some(length);
        self
    }

    /// How long after one renewal the next is sent. Default a third of the ttl, so that two may
    /// fail before the lease does.
    pub fn renew_interval(mut self, length: Duration) -> Self {
        self.renew_interval = Some(length);
        self
    }

    /// By how much sooner than the store the holder takes its lease for over. Default a fiftieth of
    /// the ttl (clocks of different rate) and 5 ms (timers that fire late).
    pub fn drift_allowance(mut self, length: Duration) -> Self {
        self.drift_allowance = Some(length);
        self
    }

    /// How long one request to the store may take before it counts as unanswered. Default 2 s; a
    /// renewal is given no longer than the renew interval.
    pub fn request_timeout(mut self, length: Duration) -> Self {
        self.request_timeout = Some(length);
        self
    }

    /// For how long a store that does not answer is asked again, before the call fails with
    /// `Unavailable`. Default 10 s. A store that answers "held by another" is not unavailable.
    pub fn patience(mut self, length: Duration) -> Self {
        self.patience = Some(length);
        self
    }

    /// The shortest and the longest pause between two attempts where the store cannot push, and
    /// after failures. Default 10 ms and 1 s. Where the store pushes, the longest wait between two
    /// looks is ten times the second, whatever gets lost.
    pub fn poll(mut self, shortest: Duration, longest: Duration) -> Self {
        self.poll = Some((shortest, longest));
        self
    }

    /// The largest encoded value that is written. Default 1 MiB: it travels with every grant.
    pub fn max_state_bytes(mut self, bytes: usize) -> Self {
        self.max_state_bytes = Some(bytes);
        self
    }

    /// After which time without use the name's record, value included, is forgotten. Default never
    /// for a lock with a value, one day for a lock without. A lock without a value never makes the
    /// store forget sooner a value that it finds.
    pub fn forget_after(mut self, idle: Duration) -> Self {
        self.forget_after = Some(Forget::After(idle));
        self
    }

    /// Keeps the record of an idle name for ever.
    pub fn forget_never(mut self) -> Self {
        self.forget_after = Some(Forget::Never);
        self
    }

    /// Who holds the lock, for the humans who ask. Default the host's name, the process id and the
    /// program ([`Label::of_this_process`]).
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = Some(text.into());
        self
    }

    /// How many times, and for how long after its grant, a lease may pass from one waiter of this
    /// process to the next without going back to the store. Default 255 times, so that the cost of
    /// a grant does not show, and a hundredth of the ttl, so that nobody elsewhere waits for much
    /// longer than for one holder that needs its time. Zero of either turns it off: every release
    /// then goes to the store, and processes take strict turns where it keeps a line.
    pub fn handover(mut self, times: u32, longest: Duration) -> Self {
        self.handover = Some((times, longest));
        self
    }

    /// Checks the options and their relations.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] unless drift allowance + renew interval < ttl, the ttl is within its
    /// bounds, the pauses are in order, hand-over lasts no longer than half the ttl and is no more
    /// than [`LockOptions::HANDOVER_MAX_LIMIT`] times, and every other length is above zero.
    pub fn build(self) -> Result<LockOptions, Error> {
        let ttl = match self.ttl {
            Some(length) => Ttl::new(length)?,
            None => Ttl::DEFAULT,
        };
        let default = LockOptions::default();
        let renew_interval = self
            .renew_interval
            .unwrap_or_else(|| renew_interval_default(ttl));
        let drift_allowance = self
            .drift_allowance
            .unwrap_or_else(|| drift_allowance_default(ttl));
        let request_timeout = self.request_timeout.unwrap_or(default.request_timeout);
        let (poll_min, poll_max) = self.poll.unwrap_or(default.poll());
        let max_state_bytes = self.max_state_bytes.unwrap_or(default.max_state_bytes);

        above_zero("renew interval", renew_interval)?;
        above_zero("request timeout", request_timeout)?;
        above_zero("shortest pause between attempts", poll_min)?;
        if drift_allowance.saturating_add(renew_interval) >= ttl.as_duration() {
            return Err(invalid(format!(
                "a lease must be renewed before it may be over, so renew interval ({renew_interval:?}) \
                 + drift allowance ({drift_allowance:?}) must be less than the ttl ({ttl})"
            )));
        }
        if poll_min > poll_max {
            return Err(invalid(format!(
                "the shortest pause between attempts ({poll_min:?}) is longer than the longest \
                 ({poll_max:?})"
            )));
        }
        if max_state_bytes > LockOptions::MAX_STATE_BYTES_LIMIT {
            return Err(invalid(format!(
                "a value may have at most {} bytes, not {max_state_bytes}",
                LockOptions::MAX_STATE_BYTES_LIMIT
            )));
        }
        if let Some(Forget::After(length)) = self.forget_after
            && length < LockOptions::FORGET_AFTER_MIN
        {
            return Err(invalid(format!(
                "an idle name is forgotten after {:?} or later, not {length:?}",
                LockOptions::FORGET_AFTER_MIN
            )));
        }
        let (handover_max, handover_time) = checked_handover(self.handover, ttl)?;
        Ok(LockOptions {
            handover_max,
            handover_time,
            ttl,
            renew_interval,
            drift_allowance,
            request_timeout,
            patience: self.patience.unwrap_or(default.patience),
            poll_min,
            poll_max,
            max_state_bytes,
            forget_after: self.forget_after,
            label: match self.label {
                Some(text) => Label::new(text)?,
                None => default.label,
            },
        })
    }
}

fn checked_handover(given: Option<(u32, Duration)>, ttl: Ttl) -> Result<(u32, Duration), Error> {
    let (times, longest) =
        given.unwrap_or_else(|| (HANDOVER_MAX_DEFAULT, handover_time_default(ttl)));
    if times > LockOptions::HANDOVER_MAX_LIMIT {
        return Err(invalid(format!(
            "a lease may be handed on at most {} times, not {times}: each reserves a token",
            LockOptions::HANDOVER_MAX_LIMIT
        )));
    }
    if longest > ttl.as_duration() / 2 {
        return Err(invalid(format!(
            "a lease may be handed on for at most half the ttl ({ttl}), not {longest:?}"
        )));
    }
    Ok((times, longest))
}

fn above_zero(what: &str, length: Duration) -> Result<(), Error> {
    if length.is_zero() {
        return Err(invalid(format!("the {what} must be longer than zero")));
    }
    Ok(())
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests;
