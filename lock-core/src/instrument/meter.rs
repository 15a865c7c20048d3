//! The figures of a client, by the facade `metrics`; nothing without the feature.
//!
//! No figure has a lock's name as a label: names are many, and a label of many values is what brings
//! a store of metrics down.

#[cfg(not(feature = "metrics"))]
use std::time::Duration;

#[cfg(feature = "metrics")]
mod on {
    use std::time::Duration;

    pub(crate) fn acquired(outcome: &'static str, waited: Duration, attempts: u32) {
        metrics::counter!("lock_acquires_total", "outcome" => outcome).increment(1);
        metrics::counter!("lock_attempts_total").increment(u64::from(attempts));
        metrics::histogram!("lock_wait_seconds", "outcome" => outcome).record(waited.as_secs_f64());
    }

    pub(crate) fn count(name: &'static str) {
        metrics::counter!(name).increment(1);
    }

    pub(crate) fn lost(cause: &'static str) {
        metrics::counter!("lock_losses_total", "cause" => cause).increment(1);
    }

    pub(crate) fn renewal_late(late: Duration) {
        metrics::histogram!("lock_renewal_delay_seconds").record(late.as_secs_f64());
    }
}

#[cfg(feature = "metrics")]
pub(crate) use on::{acquired, count, lost, renewal_late};

#[cfg(not(feature = "metrics"))]
pub(crate) fn acquired(_: &'static str, _: Duration, _: u32) {}

#[cfg(not(feature = "metrics"))]
pub(crate) fn count(_: &'static str) {}

#[cfg(not(feature = "metrics"))]
pub(crate) fn lost(_: &'static str) {}

#[cfg(not(feature = "metrics"))]
pub(crate) fn renewal_late(_: Duration) {}
