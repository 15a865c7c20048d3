//! [`Limits`]: how long things may take while nothing is at fault.

use crate::plan::Plan;
use crate::subject::{StepClient, Traits};

/// Who is served first come first served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no more to promise")]
pub enum Fifo {
    /// The tasks of one client among themselves: a line in the process.
    Client,
    /// Everybody: a line at the store, in which a client stands with one of its tasks at a time.
    Everybody,
    /// Nobody.
    #[default]
    Off,
}

/// How long things may take while nothing is at fault. A lock that is slower is not alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// One attempt, or any other call: from its invocation to its return, and from being due to
    /// being sent.
    pub attempt_ns: u64,
    /// From the answer to a release to the answer to the grant that it wakes: the push, the attempt
    /// that follows, and for a waiter that has just come, the attempts before. Where the store
    /// reserves the lock for who may be dead, also those claim times.
    pub wake_ns: u64,
    /// The longest that a waiter sleeps between two attempts if nothing wakes it: the ceiling of
    /// its backoff.
    pub poll_ns: u64,
    /// How long after the expiry of a lease the store notices it.
    pub sweep_ns: u64,
    /// How far rates of clocks may differ, in parts per million.
    pub drift_ppm: u32,
    /// What the store rounds a ttl up to, in nanoseconds.
    pub granularity_ns: u64,
    /// Whether a release is told to who waits. Off where it is not, or where that channel is cut.
    pub push: bool,
    /// Who is served first come first served.
    pub fifo: Fifo,
    /// How many grants the tasks of one client may have while another client stands in line. `None`
    /// where nothing bounds them.
    pub overtaken: Option<u32>,
}

impl Limits {
    /// These limits, for a store that notices an expiry at once, rounds ttls to 1 ms and whose
    /// clock differs by at most 500 ppm; without push, and serving in any order.
    #[must_use]
    pub const fn new(attempt_ns: u64, poll_ns: u64) -> Self {
        Self {
            attempt_ns,
            wake_ns: poll_ns,
            poll_ns,
            sweep_ns: 0,
            drift_ppm: 500,
            granularity_ns: 1_000_000,
            push: false,
            fifo: Fifo::Off,
            overtaken: None,
        }
    }

    /// What the players of a plan with this ttl take at most in simulated weather, of a store with
    /// these abilities: an attempt and its repetition, a poll of [`StepClient`], the claim time of
    /// one dead waiter where there is a line.
    ///
    /// [`StepClient`]: crate::subject::StepClient
    #[must_use]
    pub fn simulated(plan: &Plan, traits: &Traits) -> Self {
        let ms = |ms: u64| ms.saturating_mul(1_000_000);
        let round = plan
            .weather
            .latency_ms_max
            .saturating_mul(2)
            .saturating_add(1);
        let claim = if traits.capabilities.line {
            CLAIM_MS
        } else {
            0
        };
        let mut limits = Self::new(ms(round), ms(claim.saturating_add(StepClient::POLL_MS)));
        if traits.capabilities.push {
            // A waiter also asks again when the lease that it was told of would have ended.
            limits.poll_ns = ms(claim.saturating_add(plan.ttl_ms));
            limits = limits.push(ms(claim.saturating_add(round.saturating_mul(3))));
        }
        limits.granularity_ns = limits
            .granularity_ns
            .saturating_add(u64::try_from(traits.granularity.as_nanos()).unwrap_or(u64::MAX));
        limits.overtaken = traits.overtaken;
        limits
    }

    /// A release is told to who waits, within this time.
    #[must_use]
    pub const fn push(mut self, wake_ns: u64) -> Self {
        (self.push, self.wake_ns) = (true, wake_ns);
        self
    }

    /// These are served first come first served.
    #[must_use]
    pub const fn fifo(mut self, fifo: Fifo) -> Self {
        self.fifo = fifo;
        self
    }

    /// The tasks of one client have at most so many grants while another client stands in line. Where
    /// a lease passes on inside a client so many times, it is one more: the grant of the store.
    #[must_use]
    pub const fn overtaken(mut self, most: u32) -> Self {
        self.overtaken = Some(most);
        self
    }

    /// The limits on a machine where a task that is ready runs up to `delay_ns` later, as measured
    /// while the history was recorded. An attempt waits for a processor up to four times: to be
    /// sent, at the store, to be received and to be told.
    #[must_use]
    pub const fn delayed(mut self, delay_ns: u64) -> Self {
        let attempt = delay_ns.saturating_mul(4);
        self.attempt_ns = self.attempt_ns.saturating_add(attempt);
        self.wake_ns = self.wake_ns.saturating_add(attempt.saturating_mul(3));
        self.poll_ns = self.poll_ns.saturating_add(delay_ns);
        self.sweep_ns = self.sweep_ns.saturating_add(delay_ns);
        self
    }

    /// How long after its grant a lease of this ttl is over for certain: the ttl by a slow clock,
    /// rounded up, and noticed. A lease without a ttl never is.
    #[must_use]
    pub fn at_most(&self, ttl_ns: u64) -> u64 {
        if ttl_ns == 0 {
            return u64::MAX;
        }
        let drift = u128::from(ttl_ns).saturating_mul(u128::from(self.drift_ppm)) / 1_000_000;
        let drift = u64::try_from(drift).unwrap_or(u64::MAX);
        ttl_ns
            .saturating_add(drift)
            .saturating_add(self.granularity_ns)
            .saturating_add(self.sweep_ns)
    }

    /// How long a lock may stay free while somebody polls for it: an attempt that came just too
    /// early, the sleep after it, and the attempt that is granted.
    #[must_use]
    pub const fn stall(&self) -> u64 {
        self.poll_ns
            .saturating_add(self.attempt_ns.saturating_mul(2))
    }
}

/// For how long a release may keep the lock for who stands in line and is gone.
const CLAIM_MS: u64 = 500;
