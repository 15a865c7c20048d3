//! [`VirtualClock`]: the paused clock of a runtime, and nothing of the machine's.

use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Clock, Moment};

/// The clock of a runtime whose time is paused. The machine's own clock also asks for how long the
/// machine was suspended, which takes time and would not repeat itself.
#[derive(Debug)]
pub(super) struct VirtualClock {
    origin: tokio::time::Instant,
}

impl VirtualClock {
    #[expect(clippy::disallowed_methods, reason = "this is a clock")]
    pub(super) fn new() -> Self {
        Self {
            origin: tokio::time::Instant::now(),
        }
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Moment {
        let running = u64::try_from(self.origin.elapsed().as_nanos());
        Moment::from_nanos(running.unwrap_or(u64::MAX))
    }

    #[expect(clippy::disallowed_methods, reason = "this is a clock")]
    async fn sleep_until(&self, moment: Moment) {
        let until = self.origin + Duration::from_nanos(moment.as_nanos());
        tokio::time::sleep_until(until).await;
    }
}
