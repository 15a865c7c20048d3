//! `distributed-mutex`, with its default options.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use distributed_mutex::{DistributedMutex, LockClient};

use crate::contestant::{Contestant, Failure};

/// A client, and the mutexes that a service would keep.
pub(crate) struct Ours {
    locks: LockClient,
    plain: Mutex<HashMap<String, DistributedMutex<()>>>,
    counters: Mutex<HashMap<String, DistributedMutex<u64>>>,
}

impl Ours {
    pub(crate) async fn new(url: &str) -> Result<Self, Failure> {
        let options = if url.starts_with("postgres") {
            "?ttl=30s&migrate=true"
        } else {
            "?ttl=30s"
        };
        Self::with(url, options).await
    }

    /// On a table that a crash of the server empties.
    pub(crate) async fn unlogged(url: &str) -> Result<Self, Failure> {
        let options = "?ttl=30s&migrate=true&unlogged=true&table=unlogged_records";
        Self::with(url, options).await
    }

    async fn with(url: &str, options: &str) -> Result<Self, Failure> {
        Ok(Self {
            locks: distributed_mutex::connect(&format!("{url}{options}")).await?,
            plain: Mutex::default(),
            counters: Mutex::default(),
        })
    }

    /// The client, for what is measured of it alone.
    pub(crate) fn locks(&self) -> &LockClient {
        &self.locks
    }

    fn plain_mutex(&self, name: &str) -> Result<DistributedMutex<()>, Failure> {
        let mut plain = self.plain.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mutex) = plain.get(name) {
            return Ok(mutex.clone());
        }
        let mutex = self.locks.mutex(name)?;
        plain.insert(name.to_owned(), mutex.clone());
        Ok(mutex)
    }

    fn counter_mutex(&self, name: &str) -> Result<DistributedMutex<u64>, Failure> {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mutex) = counters.get(name) {
            return Ok(mutex.clone());
        }
        let mutex = self.locks.mutex(name)?;
        counters.insert(name.to_owned(), mutex.clone());
        Ok(mutex)
    }
}

#[async_trait]
impl Contestant for Ours {
    async fn plain(&self, name: &str) -> Result<Duration, Failure> {
        let mutex = self.plain_mutex(name)?;
        let began = Instant::now();
        let guard = mutex.lock().await?;
        let waited = began.elapsed();
        guard.release().await?;
        Ok(waited)
    }

    async fn counter(&self, name: &str) -> Result<Duration, Failure> {
        let mutex = self.counter_mutex(name)?;
        let began = Instant::now();
        let mut guard = mutex.lock().await?;
        let waited = began.elapsed();
        *guard += 1;
        guard.commit().await?;
        Ok(waited)
    }

    async fn update(&self, name: &str) -> Result<Duration, Failure> {
        let mutex = self.counter_mutex(name)?;
        let began = Instant::now();
        mutex
            .update(|value| {
                *value += 1;
                Ok(())
            })
            .await?;
        Ok(began.elapsed())
    }

    async fn total(&self, name: &str) -> Result<u64, Failure> {
        Ok(self.counter_mutex(name)?.peek().await?.value)
    }

    async fn ping(&self) -> Result<(), Failure> {
        let _info = self.locks.inspect("nobody/locks/this").await?;
        Ok(())
    }
}
