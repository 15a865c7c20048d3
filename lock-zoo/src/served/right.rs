//! This project's lock on a Redis of its own, to be driven by the plans of broken ones.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use lock_core::LockBackend;
use lock_redis::RedisBackend;
use lock_testkit::SetupError;
use lock_testkit::service::RedisServer;
use lock_testkit::subject::{Served, ServedStore, ServerFault, Setup};

pub(super) async fn start() -> Result<Served, SetupError> {
    Served::start(&Redis).await
}

struct Redis;

#[async_trait]
impl Setup for Redis {
    fn name(&self) -> String {
        "redis".to_owned()
    }

    async fn store(&self) -> Result<Box<dyn ServedStore>, SetupError> {
        Ok(Box::new(Store(RedisServer::start().await?)))
    }
}

struct Store(RedisServer);

#[async_trait]
impl ServedStore for Store {
    fn address(&self) -> Option<SocketAddr> {
        Some(self.0.addr())
    }

    async fn connect(&self, by: Option<SocketAddr>) -> Result<Arc<dyn LockBackend>, SetupError> {
        let url = by.map_or(self.0.url().to_owned(), |by| self.0.url_via(by));
        let backend = RedisBackend::connect(&url).await;
        let backend = backend.map_err(|e| SetupError::new("cannot connect").with_source(e))?;
        Ok(Arc::new(backend))
    }

    async fn suffer(&self, fault: &ServerFault) -> Result<bool, SetupError> {
        match fault {
            ServerFault::FlushScripts => self.0.flush_scripts().await.map(|()| true),
            _ => Ok(false),
        }
    }
}
