//! [`RedisStore`]: a Redis as the store of a conformance run.
#![expect(
    clippy::disallowed_methods,
    reason = "what is done to a real server takes real time"
)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use lock_core::{BoxError, LockBackend, LockName};

use super::{ClockStep, Data, RedisServer, RedisServerOptions};
use crate::SetupError;
use crate::proxy::Proxy;
use crate::subject::{ServedStore, ServerFault};

/// A Redis of its own as the store of backends that keep their locks there: knows how to be paused,
/// killed, robbed of its scripts and replaced by a replica, so that a backend's author only says how
/// to connect to a URL.
///
/// [`delete`](ServedStore::delete) deletes the key that is called as the lock.
pub struct RedisStore {
    /// The server that serves now.
    server: Mutex<Arc<RedisServer>>,
    options: RedisServerOptions,
    clock_steps: bool,
    connect: Box<Connect>,
}

type Connect =
    dyn Fn(String) -> BoxFuture<'static, Result<Arc<dyn LockBackend>, BoxError>> + Send + Sync;

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore")
            .field("addr", &self.server().addr())
            .finish_non_exhaustive()
    }
}

impl RedisStore {
    /// A store on a server with these options, whose clients are made of a URL.
    ///
    /// # Errors
    /// If the server does not start.
    pub async fn start<F, B, E>(
        options: &RedisServerOptions,
        connect: impl Fn(String) -> F + Send + Sync + 'static,
    ) -> Result<Self, SetupError>
    where
        F: Future<Output = Result<B, E>> + Send + 'static,
        B: LockBackend,
        E: Into<BoxError>,
    {
        Ok(Self {
            server: Mutex::new(Arc::new(options.start().await?)),
            options: options.clone(),
            clock_steps: false,
            connect: Box::new(move |url| {
                let connecting = connect(url);
                Box::pin(async move {
                    let backend: Arc<dyn LockBackend> =
                        Arc::new(connecting.await.map_err(Into::into)?);
                    Ok(backend)
                })
            }),
        })
    }

    /// Its clock is to step too: the options have a
    /// [steppable clock](RedisServerOptions::steppable_clock).
    #[must_use]
    pub const fn clock_steps(mut self) -> Self {
        self.clock_steps = true;
        self
    }

    fn server(&self) -> Arc<RedisServer> {
        Arc::clone(&self.server.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A replica gets in step, falls behind, and takes the place of the primary, which is killed.
    async fn fail_over(&self) -> Result<(), SetupError> {
        let primary = self.server();
        let link = Proxy::start_opaque(primary.addr()).await?;
        let options = self.options.clone().replica_of(link.addr());
        let replica = options.start().await?;
        replica.until_info("master_link_status", "up").await?;
        link.refuse().await;
        link.reset_all();
        tokio::time::sleep(LAG).await;
        primary.kill().await?;
        let _done = replica.command(&["REPLICAOF", "NO", "ONE"]).await?;
        replica.until_info("role", "master").await?;
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(replica);
        Ok(())
    }
}

#[async_trait]
impl ServedStore for RedisStore {
    fn address(&self) -> Option<SocketAddr> {
        Some(self.server().addr())
    }

    async fn connect(&self, by: Option<SocketAddr>) -> Result<Arc<dyn LockBackend>, SetupError> {
        let server = self.server();
        let url = match by {
            Some(proxy) => server.url_via(proxy),
            None => server.url().to_owned(),
        };
        (self.connect)(url)
            .await
            .map_err(|e| SetupError::new("the backend cannot connect").with_source(e))
    }

    async fn delete(&self, name: &LockName) -> Result<bool, SetupError> {
        let _count = self.server().command(&["DEL", name.as_str()]).await?;
        Ok(true)
    }

    async fn suffer(&self, fault: &ServerFault) -> Result<bool, SetupError> {
        let ms = Duration::from_millis;
        let server = self.server();
        match fault {
            ServerFault::ClockStep { .. } if !self.clock_steps => return Ok(false),
            ServerFault::ClockStep { by_ms } => {
                let length = ms(by_ms.unsigned_abs());
                let step = match by_ms.is_negative() {
                    true => ClockStep::Back(length),
                    false => ClockStep::Forward(length),
                };
                server.step_clock(step).await?;
            }
            ServerFault::FailOver => self.fail_over().await?,
            ServerFault::FlushScripts => server.flush_scripts().await?,
            ServerFault::Kill { down_ms } => {
                server.kill().await?;
                tokio::time::sleep(ms(*down_ms)).await;
                server.restart(Data::Keep).await?;
            }
            ServerFault::Pause { for_ms } => {
                server.pause().await?;
                tokio::time::sleep(ms(*for_ms)).await;
                server.unpause().await?;
            }
        }
        Ok(true)
    }
}

/// For so long the primary goes on when its replica does not hear of it any more.
const LAG: Duration = Duration::from_millis(100);
