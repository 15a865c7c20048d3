//! What a careful hand writes on Redis.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Script};

use crate::contestant::{Contestant, Failure, RETRY, TTL};

/// `SET NX PX` and a compare-and-delete script.
pub(crate) struct Floor {
    connection: MultiplexedConnection,
    delete: Script,
    owner: AtomicU64,
}

/// Reads and writes a counter beside a lock that has no value of its own.
pub(crate) async fn count(
    connection: &mut MultiplexedConnection,
    name: &str,
) -> Result<(), Failure> {
    let key = format!("value/{name}");
    let value: Option<u64> = connection.get(&key).await?;
    let () = connection.set(&key, value.unwrap_or(0) + 1).await?;
    Ok(())
}

/// What such a counter stands at.
pub(crate) async fn counted(
    connection: &mut MultiplexedConnection,
    name: &str,
) -> Result<u64, Failure> {
    let value: Option<u64> = connection.get(format!("value/{name}")).await?;
    Ok(value.unwrap_or(0))
}

/// The one connection of a process.
pub(crate) async fn connect(url: &str) -> Result<MultiplexedConnection, Failure> {
    Ok(redis::Client::open(url)?
        .get_multiplexed_async_connection()
        .await?)
}

/// A connection whose answers may take for ever.
pub(crate) async fn connect_patiently(url: &str) -> Result<MultiplexedConnection, Failure> {
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    Ok(redis::Client::open(url)?
        .get_multiplexed_async_connection_with_config(&config)
        .await?)
}

impl Floor {
    pub(crate) async fn new(url: &str) -> Result<Self, Failure> {
        Ok(Self {
            connection: connect(url).await?,
            delete: Script::new(
                "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0",
            ),
            // Owners of different processes differ.
            owner: AtomicU64::new(u64::from(std::process::id()) << 32),
        })
    }

    async fn lock(&self, name: &str) -> Result<(u64, Duration), Failure> {
        let owner = self.owner.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        loop {
            let taken: Option<String> = redis::cmd("SET")
                .arg(name)
                .arg(owner)
                .arg("NX")
                .arg("PX")
                .arg(TTL.as_millis() as u64)
                .query_async(&mut self.connection.clone())
                .await?;
            if taken.is_some() {
                return Ok((owner, began.elapsed()));
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn unlock(&self, name: &str, owner: u64) -> Result<(), Failure> {
        let mut connection = self.connection.clone();
        let deleted: u64 = self
            .delete
            .key(name)
            .arg(owner)
            .invoke_async(&mut connection)
            .await?;
        if deleted == 1 {
            Ok(())
        } else {
            Err("the lock was lost".into())
        }
    }
}

#[async_trait]
impl Contestant for Floor {
    async fn plain(&self, name: &str) -> Result<Duration, Failure> {
        let (owner, waited) = self.lock(name).await?;
        self.unlock(name, owner).await?;
        Ok(waited)
    }

    async fn counter(&self, name: &str) -> Result<Duration, Failure> {
        let (owner, waited) = self.lock(name).await?;
        count(&mut self.connection.clone(), name).await?;
        self.unlock(name, owner).await?;
        Ok(waited)
    }

    async fn total(&self, name: &str) -> Result<u64, Failure> {
        counted(&mut self.connection.clone(), name).await
    }

    async fn ping(&self) -> Result<(), Failure> {
        let () = redis::cmd("PING")
            .query_async(&mut self.connection.clone())
            .await?;
        Ok(())
    }
}
