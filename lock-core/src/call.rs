//! One call to the store, bounded in time.

use std::future::Future;
use std::time::Duration;

use crate::clock::{Clock, Moment};
use crate::error::{Effect, Error, ErrorKind};

/// Waits for a call, but no longer than `limit`.
///
/// A call that is cut off may still take effect: its error says `Effect::Unknown`.
///
/// # Cancel safety
/// That of the call.
pub(crate) async fn bounded<T>(
    clock: &dyn Clock,
    limit: Duration,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let until = clock.now().after(limit);
    tokio::select! {
        biased;
        answer = call => answer,
        () = clock.sleep_until(until) => Err(no_answer(limit)),
    }
}

/// Waits until the moment has come; for ever if there is none.
///
/// # Cancel safety
/// Safe to drop: it only waits.
pub(crate) async fn sleep_until(clock: &dyn Clock, moment: Option<Moment>) {
    match moment {
        Some(moment) => clock.sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

pub(crate) fn no_answer(limit: Duration) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("the store did not answer within {} ms", limit.as_millis()),
    )
    .with_effect(Effect::Unknown)
}
