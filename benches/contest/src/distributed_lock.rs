//! The public crate distributed-lock, on Redis and PostgreSQL.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use distributed_lock_core::{DistributedLock, LockHandle, LockProvider};
use distributed_lock_postgres::PostgresLockProvider;
use distributed_lock_redis::RedisLockProvider;
use redis::aio::MultiplexedConnection;
use sqlx::PgPool;

use crate::contestant::{Contestant, Failure, RETRY};
use crate::{floor_postgres, floor_redis};

/// Its provider, and a connection for the counter.
pub(crate) struct OnRedis {
    provider: RedisLockProvider,
    connection: MultiplexedConnection,
}

impl OnRedis {
    pub(crate) async fn new(url: &str) -> Result<Self, Failure> {
        Ok(Self {
            provider: RedisLockProvider::new(url).await?,
            connection: floor_redis::connect(url).await?,
        })
    }
}

/// Its provider, and a pool for the counter.
pub(crate) struct OnPostgres {
    provider: PostgresLockProvider,
    pool: PgPool,
}

impl OnPostgres {
    pub(crate) async fn new(url: &str, is_tuned: bool) -> Result<Self, Failure> {
        let builder = PostgresLockProvider::builder().connection_string(url);
        Ok(Self {
            provider: builder.use_transaction(is_tuned).build().await?,
            pool: floor_postgres::pool(url).await?,
        })
    }
}

/// Takes the lock; where `acquire` gives up at once it is called again.
async fn take<L: DistributedLock>(lock: &L) -> Result<(L::Handle, Duration), Failure> {
    let began = Instant::now();
    loop {
        if let Some(handle) = lock.try_acquire().await? {
            return Ok((handle, began.elapsed()));
        }
        tokio::time::sleep(RETRY).await;
    }
}

#[async_trait]
impl Contestant for OnRedis {
    async fn plain(&self, name: &str) -> Result<Duration, Failure> {
        let (handle, waited) = take(&self.provider.create_lock(name)).await?;
        handle.release().await?;
        Ok(waited)
    }

    async fn counter(&self, name: &str) -> Result<Duration, Failure> {
        let (handle, waited) = take(&self.provider.create_lock(name)).await?;
        floor_redis::count(&mut self.connection.clone(), name).await?;
        handle.release().await?;
        Ok(waited)
    }

    async fn total(&self, name: &str) -> Result<u64, Failure> {
        floor_redis::counted(&mut self.connection.clone(), name).await
    }

    async fn ping(&self) -> Result<(), Failure> {
        Ok(())
    }
}

#[async_trait]
impl Contestant for OnPostgres {
    async fn plain(&self, name: &str) -> Result<Duration, Failure> {
        let began = Instant::now();
        let handle = self.provider.create_lock(name).acquire(None).await?;
        let waited = began.elapsed();
        handle.release().await?;
        Ok(waited)
    }

    async fn counter(&self, name: &str) -> Result<Duration, Failure> {
        let began = Instant::now();
        let handle = self.provider.create_lock(name).acquire(None).await?;
        let waited = began.elapsed();
        floor_postgres::count(&mut *self.pool.acquire().await?, name).await?;
        handle.release().await?;
        Ok(waited)
    }

    async fn total(&self, name: &str) -> Result<u64, Failure> {
        floor_postgres::counted(&self.pool, name).await
    }

    async fn ping(&self) -> Result<(), Failure> {
        Ok(())
    }
}
