//! The public crate rslock, on one Redis.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use rslock::LockManager;

use crate::contestant::{Contestant, Failure, RETRY, TTL};
use crate::floor_redis::{connect, count, counted};

/// Its manager, and a connection for the counter.
pub(crate) struct Rslock {
    manager: LockManager,
    connection: MultiplexedConnection,
}

impl Rslock {
    pub(crate) async fn new(url: &str, is_tuned: bool) -> Result<Self, Failure> {
        let mut manager = LockManager::new(vec![url]);
        if is_tuned {
            manager.set_retry(3, RETRY);
        }
        Ok(Self {
            manager,
            connection: connect(url).await?,
        })
    }
}

#[async_trait]
impl Contestant for Rslock {
    async fn plain(&self, name: &str) -> Result<Duration, Failure> {
        let began = Instant::now();
        let lock = self.manager.acquire_no_guard(name.as_bytes(), TTL).await?;
        let waited = began.elapsed();
        self.manager.unlock(&lock).await;
        Ok(waited)
    }

    async fn counter(&self, name: &str) -> Result<Duration, Failure> {
        let began = Instant::now();
        let lock = self.manager.acquire_no_guard(name.as_bytes(), TTL).await?;
        let waited = began.elapsed();
        count(&mut self.connection.clone(), name).await?;
        self.manager.unlock(&lock).await;
        Ok(waited)
    }

    async fn total(&self, name: &str) -> Result<u64, Failure> {
        counted(&mut self.connection.clone(), name).await
    }

    async fn ping(&self) -> Result<(), Failure> {
        Ok(())
    }
}
