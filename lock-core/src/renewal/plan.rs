//! When a lease is renewed and when it is lost: a pure state machine.

use std::time::Duration;

use crate::answer::LossCause;
use crate::clock::Moment;
use crate::options::LockOptions;

/// What the driver is to do about one lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send a renewal now.
    Renew,
    /// Nothing until this moment.
    Sleep { until: Moment },
    /// The holder must stop: tell it.
    Lost { cause: LossCause },
}

/// What became of a renewal that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Renewed,
    Lost {
        cause: LossCause,
    },
    /// No answer, or an error: the lease may still be ours.
    Failed,
}

/// The holder's view of one lease.
///
/// # Invariants
/// 1. `valid_until` is never later than the moment a request was sent, plus the ttl, less the drift
///    allowance (C4).
/// 2. Unknown is never taken for held past `valid_until`, nor for lost before it.
#[derive(Clone, Debug)]
pub(crate) struct RenewalPlan {
    valid_until: Moment,
    validity: Duration,
    interval: Duration,
    next: Moment,
    failures: u32,
    in_flight: bool,
    suspected: Option<Moment>,
}

/// After a failure the next try comes after this share of the renew interval.
const RETRY_SHARE: u32 = 4;

impl RenewalPlan {
    /// A lease granted to a request that was sent at this moment.
    pub(crate) fn new(sent_at: Moment, options: &LockOptions) -> Self {
        let (validity, interval) = (options.validity(), options.renew_interval());
        Self {
            valid_until: sent_at.after(validity),
            validity,
            interval,
            next: sent_at.after(interval),
            failures: 0,
            in_flight: false,
            suspected: None,
        }
    }

    pub(crate) fn valid_until(&self) -> Moment {
        self.valid_until
    }

    pub(crate) fn validity(&self) -> Duration {
        self.validity
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// How many renewals in a row failed.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// The moment at which the driver must look again.
    pub(crate) fn wake_at(&self) -> Moment {
        if self.in_flight {
            self.valid_until
        } else {
            self.next.min(self.valid_until)
        }
    }

    /// Looks at the lease; `slack` is by how much sooner than due a renewal may join a batch.
    pub(crate) fn look(&mut self, now: Moment, slack: Duration) -> Step {
        if now >= self.valid_until {
            return Step::Lost {
                cause: LossCause::Expired,
            };
        }
        if !self.in_flight && now.after(slack) >= self.next {
            self.in_flight = true;
            return Step::Renew;
        }
        Step::Sleep {
            until: self.wake_at(),
        }
    }

    /// Whoever had a renewal under way is gone, and will not hear of it.
    pub(crate) fn restart(&mut self) {
        self.in_flight = false;
    }

    /// Whether something may have happened to the lease, and no renewal has answered that yet.
    pub(crate) fn is_suspected(&self) -> bool {
        self.suspected.is_some()
    }

    /// Makes the next renewal due at once: something may have happened to the lease.
    pub(crate) fn suspect(&mut self, now: Moment) {
        self.next = self.next.min(now);
        self.suspected = Some(now);
    }

    /// A renewal that was sent at `sent_at` came to this.
    pub(crate) fn answered(&mut self, outcome: Outcome, sent_at: Moment, now: Moment) -> Step {
        self.in_flight = false;
        match outcome {
            Outcome::Lost { cause } => return Step::Lost { cause },
            // An answer that comes after the end revives nothing.
            _ if now >= self.valid_until => {
                return Step::Lost {
                    cause: LossCause::Expired,
                };
            }
            Outcome::Renewed => {
                self.failures = 0;
                self.valid_until = self.valid_until.max(sent_at.after(self.validity));
                // A renewal sent before the suspicion arose does not answer it.
                let settled = self.suspected.take_if(|since| *since > sent_at).is_none();
                self.suspected = None;
                self.next = if settled {
                    sent_at.after(self.interval)
                } else {
                    now
                };
            }
            Outcome::Failed => {
                self.failures = self.failures.saturating_add(1);
                self.next = now.after(self.interval / RETRY_SHARE);
            }
        }
        Step::Sleep {
            until: self.wake_at(),
        }
    }
}

#[cfg(test)]
mod tests;
