//! What a careful hand writes on PostgreSQL.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::contestant::{Contestant, Failure, RETRY, TTL};

/// A row with owner and expiry.
pub(crate) struct Floor {
    pool: PgPool,
    owner: AtomicI64,
}

/// The one pool of a process, as large as ours.
pub(crate) async fn pool(url: &str) -> Result<PgPool, Failure> {
    let pool = PgPoolOptions::new().max_connections(4).connect(url).await?;
    // Several processes may be the first at once.
    let mut made = pool.begin().await?;
    for statement in [
        "SELECT pg_advisory_xact_lock(4711)",
        "CREATE TABLE IF NOT EXISTS floor_locks (name text PRIMARY KEY, owner bigint, until timestamptz NOT NULL)",
        "CREATE TABLE IF NOT EXISTS floor_values (name text PRIMARY KEY, value bigint NOT NULL)",
    ] {
        sqlx::query(statement).execute(&mut *made).await?;
    }
    made.commit().await?;
    Ok(pool)
}

/// Reads and writes a counter beside a lock that has no value of its own.
pub(crate) async fn count(pool: &PgPool, name: &str) -> Result<(), Failure> {
    let value: Option<i64> = sqlx::query_scalar("SELECT value FROM floor_values WHERE name = $1")
        .bind(name)
        .fetch_optional(pool)
        .await?;
    sqlx::query(
        "INSERT INTO floor_values VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value",
    )
    .bind(name)
    .bind(value.unwrap_or(0) + 1)
    .execute(pool)
    .await?;
    Ok(())
}

/// What such a counter stands at.
pub(crate) async fn counted(pool: &PgPool, name: &str) -> Result<u64, Failure> {
    let value: Option<i64> = sqlx::query_scalar("SELECT value FROM floor_values WHERE name = $1")
        .bind(name)
        .fetch_optional(pool)
        .await?;
    Ok(value.unwrap_or(0).try_into()?)
}

/// The least that the server can be asked.
pub(crate) async fn ping(pool: &PgPool) -> Result<(), Failure> {
    sqlx::query("SELECT 1").execute(pool).await?;
    Ok(())
}

impl Floor {
    pub(crate) async fn new(url: &str) -> Result<Self, Failure> {
        Ok(Self {
            pool: pool(url).await?,
            owner: AtomicI64::new(i64::from(std::process::id()) << 32),
        })
    }

    async fn lock(&self, name: &str) -> Result<(i64, Duration), Failure> {
        let owner = self.owner.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        loop {
            let taken = sqlx::query(
                "INSERT INTO floor_locks AS l VALUES ($1, $2, clock_timestamp() + $3 * interval '1 millisecond') \
                 ON CONFLICT (name) DO UPDATE SET owner = EXCLUDED.owner, until = EXCLUDED.until \
                 WHERE l.owner IS NULL OR l.until < clock_timestamp()",
            )
            .bind(name)
            .bind(owner)
            .bind(TTL.as_millis() as i64)
            .execute(&self.pool)
            .await?;
            if taken.rows_affected() == 1 {
                return Ok((owner, began.elapsed()));
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn unlock(&self, name: &str, owner: i64) -> Result<(), Failure> {
        let given_back =
            sqlx::query("UPDATE floor_locks SET owner = NULL WHERE name = $1 AND owner = $2")
                .bind(name)
                .bind(owner)
                .execute(&self.pool)
                .await?;
        if given_back.rows_affected() == 1 {
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
        count(&self.pool, name).await?;
        self.unlock(name, owner).await?;
        Ok(waited)
    }

    async fn total(&self, name: &str) -> Result<u64, Failure> {
        counted(&self.pool, name).await
    }

    async fn ping(&self) -> Result<(), Failure> {
        ping(&self.pool).await
    }
}
