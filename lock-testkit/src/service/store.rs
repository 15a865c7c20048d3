//! [`RedisStore`]: a Redis as the store of a conformance run.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use lock_core::{BoxError, LockBackend, LockName};

use super::RedisServer;
use crate::SetupError;
use crate::subject::{ServedStore, ServerFault};

/// A Redis of its own as the store of backends that keep their locks there: knows how to be paused,
/// killed and robbed of its scripts, so that a backend's author only says how to connect to a URL.
///
/// [`delete`](ServedStore::delete) deletes the key that is called as the lock.
pub struct RedisStore {
    server: RedisServer,
    connect: Box<Connect>,
}

type Connect =
    dyn Fn(String) -> BoxFuture<'static, Result<Arc<dyn LockBackend>, BoxError>> + Send + Sync;

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore")
            .field("addr", &self.server.addr())
            .finish_non_exhaustive()
    }
}

impl RedisStore {
    /// A store on this server, whose clients are made of a URL.
    pub fn new<F, B, E>(
        server: RedisServer,
        connect: impl Fn(String) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<B, E>> + Send + 'static,
        B: LockBackend,
        E: Into<BoxError>,
    {
        Self {
            server,
            connect: Box::new(move |url| {
                let connecting = connect(url);
                Box::pin(async move {
                    let backend: Arc<dyn LockBackend> =
                        Arc::new(connecting.await.map_err(Into::into)?);
                    Ok(backend)
                })
            }),
        }
    }
}

#[async_trait]
impl ServedStore for RedisStore {
    fn address(&self) -> Option<SocketAddr> {
        Some(self.server.addr())
    }

    async fn connect(&self, by: Option<SocketAddr>) -> Result<Arc<dyn LockBackend>, SetupError> {
        let url = match by {
            Some(proxy) => self.server.url_via(proxy),
            None => self.server.url().to_owned(),
        };
        (self.connect)(url)
            .await
            .map_err(|e| SetupError::new("the backend cannot connect").with_source(e))
    }

    async fn delete(&self, name: &LockName) -> Result<bool, SetupError> {
        let _count = self.server.command(&["DEL", name.as_str()]).await?;
        Ok(true)
    }

    async fn suffer(&self, fault: &ServerFault) -> Result<bool, SetupError> {
        self.server.suffer(fault).await
    }
}
