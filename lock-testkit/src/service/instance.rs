//! [`Instance`]: a server of whatever kind, from its start on a free port to its end.
#![expect(
    clippy::disallowed_methods,
    reason = "a real server is waited for in real time"
)]

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use lock_core::{Entropy, SystemEntropy};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::provider::{Data, Kind, Launch, Provider, Running};
use crate::SetupError;
use crate::subject::ServerFault;

/// Where a server is, and how to tell that it is the one that was started.
pub(super) trait Place: Send + Sync {
    fn addr(&self) -> SocketAddr;

    /// Succeeds once this very server answers (invariant 3 of the module).
    fn greet(&self) -> impl Future<Output = Result<(), SetupError>> + Send;
}

/// A server that was started, or given, and where it is.
pub(super) struct Instance<P> {
    kind: &'static Kind,
    running: Mutex<Running>,
    /// By how much its clock was stepped.
    pub(super) ahead_ns: Mutex<i64>,
    pub(super) place: P,
}

impl<P: Place> Instance<P> {
    /// Starts a server as planned and waits until it is ready; plans again if its port is taken.
    pub(super) async fn start(
        kind: &'static Kind,
        provider: &Provider,
        plan: impl Fn() -> Result<(Launch, P), SetupError> + Send + Sync,
    ) -> Result<Self, SetupError> {
        let mut failure = None;
        for _ in 0..PORT_TRIES_MAX {
            let (launch, place) = plan()?;
            let running = Running::launch(provider.clone(), launch).await?;
            let instance = Self {
                kind,
                running: Mutex::new(running),
                ahead_ns: Mutex::new(0),
                place,
            };
            match instance.ready().await {
                Ok(()) => return Ok(instance),
                Err(e) => {
                    let log = instance.log().await;
                    let message = format!("{e:?}; its log:\n{}", tail(&log));
                    failure = Some(SetupError::new(message));
                    if !log.to_ascii_lowercase().contains("address already in use") {
                        break;
                    }
                }
            }
        }
        Err(failure.unwrap_or_else(|| SetupError::new("no server was tried")))
    }

    /// A server that runs already.
    pub(super) async fn given(kind: &'static Kind, place: P) -> Result<Self, SetupError> {
        let instance = Self {
            kind,
            running: Mutex::new(Running::Given),
            ahead_ns: Mutex::new(0),
            place,
        };
        instance.ready().await?;
        Ok(instance)
    }

    pub(super) async fn pause(&self) -> Result<(), SetupError> {
        self.running.lock().await.pause().await
    }

    pub(super) async fn unpause(&self) -> Result<(), SetupError> {
        self.running.lock().await.unpause().await
    }

    pub(super) async fn kill(&self) -> Result<(), SetupError> {
        self.running.lock().await.kill().await
    }

    pub(super) async fn restart(&self, data: Data) -> Result<(), SetupError> {
        {
            let mut running = self.running.lock().await;
            running.kill().await?;
            running.start(data).await?;
        }
        self.ready().await
    }

    /// Does to the server what a plan says, and comes back when it serves again; `false` if that is
    /// more than to stop it for a while.
    pub(super) async fn suffer(&self, fault: &ServerFault) -> Result<bool, SetupError> {
        match fault {
            ServerFault::Kill { down_ms } => {
                self.kill().await?;
                tokio::time::sleep(Duration::from_millis(*down_ms)).await;
                self.restart(Data::Keep).await?;
            }
            ServerFault::Pause { for_ms } => {
                self.pause().await?;
                tokio::time::sleep(Duration::from_millis(*for_ms)).await;
                self.unpause().await?;
            }
            ServerFault::ClockStep { .. } | ServerFault::FailOver | ServerFault::FlushScripts => {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) async fn rewrite(&self, file: &str, content: &[u8]) -> Result<(), SetupError> {
        self.running.lock().await.rewrite(file, content).await
    }

    pub(super) async fn log(&self) -> String {
        self.running.lock().await.log().await
    }

    async fn ready(&self) -> Result<(), SetupError> {
        let bound = deadline();
        loop {
            let failure = match self.place.greet().await {
                Ok(()) => return Ok(()),
                Err(e) => e,
            };
            let what = if self.running.lock().await.has_exited().await {
                "ended by itself".to_owned()
            } else if Instant::now() > bound {
                format!("was not ready within {} s", READY.as_secs())
            } else {
                tokio::time::sleep(POLL).await;
                continue;
            };
            let (name, addr) = (self.kind.name, self.place.addr());
            return Err(
                SetupError::new(format!("the {name} server on {addr} {what}")).with_source(failure),
            );
        }
    }
}

impl<P: Place> fmt::Debug for Instance<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.kind.name)
            .field("addr", &self.place.addr())
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

/// A word that tells a server from any other.
pub(super) fn marker() -> String {
    let mut random = [0; 8];
    SystemEntropy.fill(&mut random);
    format!("lock-testkit-{:016x}", u64::from_le_bytes(random))
}

pub(super) fn deadline() -> Instant {
    let now = Instant::now();
    now.checked_add(READY).unwrap_or(now)
}

/// The end of a log, which is where the reason stands.
fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    let from = lines.len().saturating_sub(15);
    lines.get(from..).unwrap_or_default().join("\n")
}

/// For how long a server may take to get ready: one that makes its data first has been seen to take
/// ten seconds on a busy machine.
pub(super) const READY: Duration = Duration::from_secs(60);
pub(super) const POLL: Duration = Duration::from_millis(5);
const PORT_TRIES_MAX: u32 = 5;

#[cfg(test)]
mod tests;
