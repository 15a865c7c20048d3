//! The conformance suite of lock-testkit on a Redis of its own.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use lock_core::{LockBackend, LockName};
use lock_redis::RedisOptions;
use lock_testkit::SetupError;
use lock_testkit::service::RedisServer;
use lock_testkit::subject::{ServedStore, ServerFault, Setup};

fn main() -> ExitCode {
    lock_testkit::conformance::main(Redis)
}

struct Redis;

#[async_trait]
impl Setup for Redis {
    fn name(&self) -> String {
        "redis".to_owned()
    }

    async fn store(&self) -> Result<Box<dyn ServedStore>, SetupError> {
        Ok(Box::new(Server(RedisServer::start().await?)))
    }
}

struct Server(RedisServer);

#[async_trait]
impl ServedStore for Server {
    fn address(&self) -> Option<SocketAddr> {
        Some(self.0.addr())
    }

    async fn connect(&self, by: Option<SocketAddr>) -> Result<Arc<dyn LockBackend>, SetupError> {
        let url = self.0.url_via(by.unwrap_or(self.0.addr()));
        let backend = match RedisOptions::new(&url) {
            Ok(options) => options.connect().await,
            Err(error) => Err(error),
        };
        let backend = backend.map_err(|e| SetupError::new("cannot connect").with_source(e))?;
        Ok(Arc::new(backend))
    }

    async fn delete(&self, name: &LockName) -> Result<bool, SetupError> {
        self.0.command(&["DEL", name.as_str()]).await?;
        Ok(true)
    }

    async fn suffer(&self, fault: &ServerFault) -> Result<bool, SetupError> {
        self.0.suffer(fault).await
    }
}
