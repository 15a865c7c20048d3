//! What to do next while a lock is being taken: a pure state machine.

use std::time::Duration;

use crate::answer::Refusal;
use crate::backoff::Backoff;
use crate::clock::Moment;
use crate::entropy::Entropy;
use crate::options::LockOptions;

/// For how long the caller is ready to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// As long as it takes.
    None,
    /// Not at all: a refusal is the answer.
    Try,
    /// Until this moment.
    Until(Moment),
}

/// What the driver is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask the store for the lock.
    Attempt,
    /// Register for wake-ups and then ask once more: what was released in between would be lost
    /// otherwise.
    WatchThenAttempt,
    /// Wait for a wake-up, but no longer than this, then ask again.
    Wait { until: Moment },
    /// Tell the caller that another holds the lock.
    Refused,
    /// Tell the caller that its time is up.
    TimedOut,
    /// Tell the caller of the last failure.
    GiveUp,
}

/// The state of one `lock()` call between two attempts.
#[derive(Debug)]
pub(crate) struct AcquirePlan {
    limit: Limit,
    patience: Duration,
    /// The longest wait between two looks while pushes are expected.
    ceiling: Duration,
    backoff: Backoff,
    push: bool,
    watching: bool,
    failing_since: Option<Moment>,
}

/// How much later than the reported expiry a waiter looks: stores keep milliseconds.
const EXPIRY_MARGIN: Duration = Duration::from_millis(2);

impl AcquirePlan {
    pub(crate) fn new(limit: Limit, options: &LockOptions, push: bool) -> Self {
        let (shortest, longest) = options.poll();
        Self {
            limit,
            patience: options.patience(),
            ceiling: longest.saturating_mul(10),
            backoff: Backoff::new(shortest, longest),
            push,
            watching: false,
            failing_since: None,
        }
    }

    /// The moment after which the caller does not wait.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        match self.limit {
            Limit::Until(deadline) => Some(deadline),
            Limit::None | Limit::Try => None,
        }
    }

    /// The store answered that another holds the lock.
    pub(crate) fn refused(&mut self, refusal: Refusal, now: Moment, entropy: &dyn Entropy) -> Step {
        self.failing_since = None;
        if self.limit == Limit::Try {
            return Step::Refused;
        }
        if self.is_over(now) {
            return Step::TimedOut;
        }
        if self.push && !self.watching {
            return Step::WatchThenAttempt;
        }
        let longest = if self.watching {
            self.ceiling
        } else {
            self.backoff.next(entropy)
        };
        let expiry = refusal
            .holder_expires_in
            .map(|left| left.saturating_add(EXPIRY_MARGIN));
        self.wait(now, expiry.map_or(longest, |expiry| expiry.min(longest)))
    }

    /// The owner that asked has ended; another is drawn. Pauses, so that a store that goes on saying
    /// so is not flooded.
    pub(crate) fn ended(&mut self, now: Moment, entropy: &dyn Entropy) -> Step {
        if self.is_over(now) {
            return Step::TimedOut;
        }
        let pause = self.backoff.next(entropy);
        self.wait(now, pause)
    }

    /// The request that was sent at `sent_at` failed, or its reply did not come.
    pub(crate) fn failed(
        &mut self,
        retryable: bool,
        sent_at: Moment,
        now: Moment,
        entropy: &dyn Entropy,
    ) -> Step {
        if !retryable {
            return Step::GiveUp;
        }
        let since = *self.failing_since.get_or_insert(sent_at);
        if now.since(since) >= self.patience {
            return Step::GiveUp;
        }
        if self.is_over(now) {
            return Step::TimedOut;
        }
        let pause = self.backoff.next(entropy);
        self.wait(
            now,
            pause.min(self.patience.saturating_sub(now.since(since))),
        )
    }

    /// The driver is registered for wake-ups now.
    pub(crate) fn watching(&mut self) -> Step {
        self.watching = true;
        self.backoff.reset();
        Step::Attempt
    }

    /// The wake-ups ended: from now on it must poll.
    pub(crate) fn watch_ended(&mut self) {
        self.push = false;
        self.watching = false;
    }

    /// A wake-up came, or the wait is over.
    pub(crate) fn woken(&self, now: Moment) -> Step {
        if self.is_over(now) {
            Step::TimedOut
        } else {
            Step::Attempt
        }
    }

    fn is_over(&self, now: Moment) -> bool {
        self.deadline().is_some_and(|deadline| now >= deadline)
    }

    fn wait(&self, now: Moment, length: Duration) -> Step {
        let until = now.after(length);
        Step::Wait {
            until: self
                .deadline()
                .map_or(until, |deadline| until.min(deadline)),
        }
    }
}

#[cfg(test)]
mod tests;
