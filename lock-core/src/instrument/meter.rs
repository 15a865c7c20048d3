//! The figures of a client, by the facade `metrics`; nothing without the feature.
//!
//! No figure has a lock's name as a label: names are many, and a label of many values is what brings
//! a store of metrics down.

#[cfg(feature = "metrics")]
mod on {
    use std::time::Duration;

    use metrics::{counter, histogram};

    use crate::clock::{Clock, Moment};

    /// When a lease came into use.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Since(Moment);

    impl Since {
        pub(crate) const fn at(moment: Moment) -> Self {
            Self(moment)
        }

        pub(crate) fn now(clock: &dyn Clock) -> Self {
            Self(clock.now())
        }
    }

    pub(crate) fn acquired(outcome: &'static str, waited: Duration, attempts: u32) {
        counter!("lock_acquires_total", "outcome" => outcome).increment(1);
        counter!("lock_attempts_total").increment(u64::from(attempts));
        histogram!("lock_wait_seconds", "outcome" => outcome).record(waited.as_secs_f64());
    }

    pub(crate) fn count(name: &'static str) {
        counter!(name).increment(1);
    }

    /// Counts under a name with one label.
    pub(crate) fn count_as(name: &'static str, label: &'static str, value: &'static str) {
        counter!(name, label => value).increment(1);
    }

    /// Records a number of things.
    pub(crate) fn number(name: &'static str, number: impl TryInto<u32>) {
        let number = number.try_into().unwrap_or(u32::MAX);
        histogram!(name).record(f64::from(number));
    }

    pub(crate) fn hold_ended(end: &'static str, since: Since, clock: &dyn Clock) {
        let held = clock.now().since(since.0);
        histogram!("lock_hold_seconds", "end" => end).record(held.as_secs_f64());
    }

    pub(crate) fn renewal_late(late: Duration) {
        histogram!("lock_renewal_delay_seconds").record(late.as_secs_f64());
    }
}

#[cfg(not(feature = "metrics"))]
mod off {
    use std::time::Duration;

    use crate::clock::{Clock, Moment};

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Since;

    impl Since {
        pub(crate) const fn at(_: Moment) -> Self {
            Self
        }

        pub(crate) fn now(_: &dyn Clock) -> Self {
            Self
        }
    }

    pub(crate) fn acquired(_: &'static str, _: Duration, _: u32) {}

    pub(crate) fn count(_: &'static str) {}

    pub(crate) fn count_as(_: &'static str, _: &'static str, _: &'static str) {}

    pub(crate) fn number(_: &'static str, _: impl TryInto<u32>) {}

    pub(crate) fn hold_ended(_: &'static str, _: Since, _: &dyn Clock) {}

    pub(crate) fn renewal_late(_: Duration) {}
}

#[cfg(not(feature = "metrics"))]
pub(crate) use off::{Since, acquired, count, count_as, hold_ended, number, renewal_late};
#[cfg(feature = "metrics")]
pub(crate) use on::{Since, acquired, count, count_as, hold_ended, number, renewal_late};
