//! What a careful hand writes on PostgreSQL.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::postgres::{PgConnection, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};

use crate::contestant::{Contestant, Failure, RETRY, TTL};

/// A row with owner and expiry.
pub(crate) struct Floor {
    pool: PgPool,
    owner: AtomicI64,
    take: String,
    give_back: String,
}

/// An advisory lock of the session, with a connection for each lock held: no lease, no expiry, and
/// nothing that is written.
pub(crate) struct Advisory {
    pool: PgPool,
}

/// No lock at all: as many statements as one takes, each the least that the server can be asked.
pub(crate) struct Nothing {
    pool: PgPool,
}

/// The one pool of a process, as large as ours.
pub(crate) async fn pool(url: &str) -> Result<PgPool, Failure> {
    let pool = PgPoolOptions::new().max_connections(4);
    // Else each statement costs one more round trip.
    let pool = pool.test_before_acquire(false).connect(url).await?;
    // Several processes may be the first at once.
    let mut made = pool.begin().await?;
    for statement in [
        "SELECT pg_advisory_xact_lock(4711)",
        "CREATE TABLE IF NOT EXISTS floor_locks (name text PRIMARY KEY, owner bigint, until timestamptz NOT NULL)",
        "CREATE UNLOGGED TABLE IF NOT EXISTS floor_unlogged (name text PRIMARY KEY, owner bigint, until timestamptz NOT NULL)",
        "CREATE TABLE IF NOT EXISTS floor_values (name text PRIMARY KEY, value bigint NOT NULL)",
    ] {
        sqlx::query(statement).execute(&mut *made).await?;
    }
    made.commit().await?;
    Ok(pool)
}

/// Reads and writes a counter beside a lock that has no value of its own.
pub(crate) async fn count(connection: &mut PgConnection, name: &str) -> Result<(), Failure> {
    let value: Option<i64> = sqlx::query_scalar("SELECT value FROM floor_values WHERE name = $1")
        .bind(name)
        .fetch_optional(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO floor_values VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value",
    )
    .bind(name)
    .bind(value.unwrap_or(0) + 1)
    .execute(connection)
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
    pub(crate) async fn new(url: &str, is_logged: bool) -> Result<Self, Failure> {
        let table = if is_logged {
            "floor_locks"
        } else {
            "floor_unlogged"
        };
        Ok(Self {
            pool: pool(url).await?,
            owner: AtomicI64::new(i64::from(std::process::id()) << 32),
            take: format!(
                "INSERT INTO {table} AS l VALUES ($1, $2, clock_timestamp() + $3 * interval '1 millisecond') \
                 ON CONFLICT (name) DO UPDATE SET owner = EXCLUDED.owner, until = EXCLUDED.until \
                 WHERE l.owner IS NULL OR l.until < clock_timestamp()"
            ),
            give_back: format!("UPDATE {table} SET owner = NULL WHERE name = $1 AND owner = $2"),
        })
    }

    async fn lock(&self, name: &str) -> Result<(i64, Duration), Failure> {
        let owner = self.owner.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        loop {
            let taken = sqlx::query(AssertSqlSafe(self.take.as_str()))
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
        let given_back = sqlx::query(AssertSqlSafe(self.give_back.as_str()))
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
        count(&mut *self.pool.acquire().await?, name).await?;
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

impl Advisory {
    pub(crate) async fn new(url: &str) -> Result<Self, Failure> {
        Ok(Self {
            pool: pool(url).await?,
        })
    }

    /// Locks, and unlocks on the same connection.
    async fn locked(&self, name: &str, is_counted: bool) -> Result<Duration, Failure> {
        let began = Instant::now();
        let mut connection = self.pool.acquire().await?;
        sqlx::query("SELECT pg_advisory_lock(hashtextextended($1, 0))")
            .bind(name)
            .execute(&mut *connection)
            .await?;
        let waited = began.elapsed();
        if is_counted {
            count(&mut connection, name).await?;
        }
        let unlocked: bool =
            sqlx::query_scalar("SELECT pg_advisory_unlock(hashtextextended($1, 0))")
                .bind(name)
                .fetch_one(&mut *connection)
                .await?;
        if unlocked {
            Ok(waited)
        } else {
            Err("the lock was lost".into())
        }
    }
}

#[async_trait]
impl Contestant for Advisory {
    async fn plain(&self, name: &str) -> Result<Duration, Failure> {
        self.locked(name, false).await
    }

    async fn counter(&self, name: &str) -> Result<Duration, Failure> {
        self.locked(name, true).await
    }

    async fn total(&self, name: &str) -> Result<u64, Failure> {
        counted(&self.pool, name).await
    }

    async fn ping(&self) -> Result<(), Failure> {
        ping(&self.pool).await
    }
}

impl Nothing {
    pub(crate) async fn new(url: &str) -> Result<Self, Failure> {
        Ok(Self {
            pool: pool(url).await?,
        })
    }
}

#[async_trait]
impl Contestant for Nothing {
    async fn plain(&self, _name: &str) -> Result<Duration, Failure> {
        let began = Instant::now();
        ping(&self.pool).await?;
        let waited = began.elapsed();
        ping(&self.pool).await?;
        Ok(waited)
    }

    async fn counter(&self, name: &str) -> Result<Duration, Failure> {
        self.plain(name).await
    }

    async fn total(&self, name: &str) -> Result<u64, Failure> {
        counted(&self.pool, name).await
    }

    async fn ping(&self) -> Result<(), Failure> {
        ping(&self.pool).await
    }
}

/// How long a commit waits for the log to be flushed: what a statement that writes nothing but a
/// record of the log takes over one that writes nothing, by their medians.
pub(crate) async fn flush(url: &str) -> Result<Duration, Failure> {
    let pool = pool(url).await?;
    let mut connection = pool.acquire().await?;
    let mut medians = Vec::new();
    for statement in [
        "SELECT pg_logical_emit_message(true, 'contest', 'x')",
        "SELECT 1",
    ] {
        let mut lengths = Vec::new();
        for _ in 0..FLUSHES {
            let began = Instant::now();
            sqlx::query(statement).execute(&mut *connection).await?;
            lengths.push(began.elapsed());
        }
        lengths.sort_unstable();
        medians.push(lengths[FLUSHES / 2]);
    }
    Ok(medians[0].saturating_sub(medians[1]))
}

const FLUSHES: usize = 500;
