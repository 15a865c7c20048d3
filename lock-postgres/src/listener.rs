//! The one connection on which notifications come: made anew when it breaks.
//!
//! While it stands it shares the advisory lock of its client, by which a release knows that the
//! client still listens. It is the only session state that this library keeps.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Clock, Entropy, SystemEntropy, Wakeups};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor};
use tokio::sync::watch;

use crate::error::{At, Failure};
use crate::store::within;
use crate::wakeups::take;

/// What it takes to listen.
pub(crate) struct Ears {
    pub(crate) options: PgConnectOptions,
    pub(crate) wakeups: Arc<Wakeups>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) at: At,
    /// The client's own channel.
    pub(crate) channel: String,
    /// The client's advisory lock.
    pub(crate) beacon: i64,
    pub(crate) connect_timeout: Duration,
    /// Whether notifications come.
    pub(crate) standing: watch::Sender<bool>,
}

impl Ears {
    /// Listens for as long as the task lives. `first` is the connection that stands already.
    pub(crate) async fn listen(self, first: PgListener) {
        let mut listener = Some(first);
        let mut failures: u32 = 0;
        loop {
            if let Some(mut listener) = listener.take() {
                let _was: bool = self.standing.send_replace(true);
                // What came while nobody listened is lost.
                self.wakeups.stir();
                failures = 0;
                self.hear(&mut listener).await;
                let _was: bool = self.standing.send_replace(false);
            }
            failures = failures.saturating_add(1);
            let pause = self.clock.now().after(backoff(failures));
            self.clock.sleep_until(pause).await;
            match self.open().await {
                Ok(opened) => listener = Some(opened),
                Err(failure) => {
                    tracing::debug!(error = %lock_core::Error::from(failure), "cannot listen")
                }
            }
        }
    }

    /// Connects, listens and shows that it does.
    pub(crate) async fn open(&self) -> Result<PgListener, Failure> {
        let opening = async {
            let pool = PgPoolOptions::new()
                .max_connections(1)
                .acquire_timeout(self.connect_timeout)
                .idle_timeout(None)
                .max_lifetime(None)
                .connect_lazy_with(self.options.clone());
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.eager_reconnect(false);
            listener.listen(&self.channel).await?;
            let show = format!("SELECT pg_advisory_lock_shared({})", self.beacon);
            listener.execute(AssertSqlSafe(show)).await?;
            Ok(listener)
        };
        let limit = self.connect_timeout.saturating_mul(2);
        match within(&*self.clock, limit, opening).await {
            Some(opened) => opened.map_err(|error| Failure::connecting(error, &self.at)),
            None => Err(Failure::no_connection(&self.at, limit)),
        }
    }

    /// Passes notifications on until the connection breaks.
    async fn hear(&self, listener: &mut PgListener) {
        loop {
            match within(&*self.clock, SILENCE_MAX, listener.try_recv()).await {
                Some(Ok(Some(notification))) => take(&self.wakeups, notification.payload()),
                Some(Ok(None) | Err(_)) => return,
                // A peer that vanished without a word is noticed although nothing is sent.
                None => {
                    let ping = listener.execute("SELECT 1");
                    match within(&*self.clock, self.connect_timeout, ping).await {
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => return,
                    }
                }
            }
        }
    }
}

/// For how long a connection may be silent before it is asked whether it is still there.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// The longest pause before an attempt to connect.
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// 10 ms, 20 ms, … up to the longest, of which a random half, so that clients that lost one server
/// do not come back all at once.
fn backoff(failures_in_a_row: u32) -> Duration {
    let doubled = Duration::from_millis(5)
        .saturating_mul(1 << failures_in_a_row.min(10))
        .min(BACKOFF_MAX);
    let mut byte = [0];
    SystemEntropy.fill(&mut byte);
    let share = f64::from(byte[0]) / f64::from(u8::MAX);
    doubled.mul_f64(0.5 + share * 0.5)
}
