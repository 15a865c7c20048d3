//! PostgreSQL servers for broken locks, and locks on them, as they are found in public.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Effect, Error, ErrorKind};
use lock_testkit::service::{
    Data, PgBouncer, PgBouncerOptions, PostgresServer, PostgresServerOptions,
};
use lock_testkit::subject::{Ask, ServerFault};
use lock_testkit::{Link, SetupError, StepKind};
use sqlx::postgres::{PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, Row};
use tokio::sync::Mutex;

use super::stand::{Ground, Lease, Lock};

/// Makes the lock of one process from the URL that it was given.
pub(super) type Make = fn(&str, Link) -> Result<Box<dyn Lock>, sqlx::Error>;

/// PostgreSQL, perhaps with a pooler before it, and a lock on it.
pub(super) struct PostgresGround {
    server: PostgresServer,
    pooler: Option<PgBouncer>,
    make: Make,
}

impl PostgresGround {
    /// A server that clients connect to, with these lines in its configuration.
    pub(super) async fn direct(make: Make, lines: &[&str]) -> Result<Arc<dyn Ground>, SetupError> {
        let server = start(lines).await?;
        Ok(Arc::new(Self {
            server,
            pooler: None,
            make,
        }))
    }

    /// A pooler in transaction mode, with one session, that clients connect to.
    pub(super) async fn pooled(make: Make) -> Result<Arc<dyn Ground>, SetupError> {
        let server = start(&[]).await?;
        let pooler = PgBouncerOptions::new(&server).pool_size(1).start().await?;
        Ok(Arc::new(Self {
            server,
            pooler: Some(pooler),
            make,
        }))
    }
}

async fn start(lines: &[&str]) -> Result<PostgresServer, SetupError> {
    let options = PostgresServerOptions::new().setup(TABLE);
    let options = lines
        .iter()
        .fold(options, |options, line| options.config(line));
    options.start().await
}

#[async_trait]
impl Ground for PostgresGround {
    async fn lock(&self, link: Link) -> Result<Box<dyn Lock>, SetupError> {
        let url = match &self.pooler {
            Some(pooler) => pooler.url(),
            None => self.server.url(),
        };
        (self.make)(url, link).map_err(|e| SetupError::new("this is no URL").with_source(e))
    }

    async fn suffer(&self, fault: &ServerFault) -> Result<bool, SetupError> {
        match fault {
            ServerFault::Kill { .. } => self.server.restart(Data::Keep).await.map(|()| true),
            _ => Ok(false),
        }
    }
}

/// A session's advisory lock, taken and released by whatever connection the pool hands out. Whether
/// the release released anything is not looked at, as nearly everywhere.
pub(super) struct AdvisoryOnPool {
    pool: PgPool,
    link: Link,
}

impl AdvisoryOnPool {
    pub(super) fn make(url: &str, link: Link) -> Result<Box<dyn Lock>, sqlx::Error> {
        let pool = pool(url)?;
        Ok(Box::new(Self { pool, link }))
    }

    async fn ask(&self, step: StepKind, function: &str, key: &str) -> Result<bool, Error> {
        let pool = self.pool.clone();
        let sql = format!("SELECT {function}({})", number_of(key));
        carry(&self.link, step, async move {
            let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(&pool).await?;
            row.try_get(0)
        })
        .await
    }
}

#[async_trait]
impl Lock for AdvisoryOnPool {
    async fn attempt(&self, ask: &Ask) -> Result<Option<Lease>, Error> {
        let is_taken = self.ask(StepKind::Acquire, TRY_LOCK, &ask.key).await?;
        Ok(is_taken.then(of_session))
    }

    async fn release(&self, key: &str, _: &Lease) -> Result<bool, Error> {
        self.ask(StepKind::Release, UNLOCK, key).await?;
        Ok(true)
    }
}

/// A session's advisory lock on a connection of its own for each lease: right, if that is one.
pub(super) struct AdvisoryOnConnection {
    url: String,
    link: Link,
    /// The leases' connections, by name.
    held: Arc<Mutex<Vec<(String, PgConnection)>>>,
}

impl AdvisoryOnConnection {
    #[expect(clippy::unnecessary_wraps, reason = "as the others, which may fail")]
    pub(super) fn make(url: &str, link: Link) -> Result<Box<dyn Lock>, sqlx::Error> {
        Ok(Box::new(Self {
            url: url.to_owned(),
            link,
            held: Arc::default(),
        }))
    }
}

#[async_trait]
impl Lock for AdvisoryOnConnection {
    async fn attempt(&self, ask: &Ask) -> Result<Option<Lease>, Error> {
        let (url, held, key) = (self.url.clone(), Arc::clone(&self.held), ask.key.clone());
        let is_taken = carry(&self.link, StepKind::Acquire, async move {
            let mut connection = PgConnection::connect(&url).await?;
            let is_taken = advisory(&mut connection, TRY_LOCK, &key).await?;
            if is_taken {
                held.lock().await.push((key, connection));
            }
            Ok(is_taken)
        });
        Ok(is_taken.await?.then(of_session))
    }

    async fn release(&self, key: &str, _: &Lease) -> Result<bool, Error> {
        let (held, key) = (Arc::clone(&self.held), key.to_owned());
        carry(&self.link, StepKind::Release, async move {
            let mut held = held.lock().await;
            let Some(at) = held.iter().position(|(of, _)| *of == key) else {
                return Ok(false);
            };
            let (_, mut connection) = held.swap_remove(at);
            advisory(&mut connection, UNLOCK, &key).await
        })
        .await
    }
}

async fn advisory(
    connection: &mut PgConnection,
    function: &str,
    key: &str,
) -> Result<bool, sqlx::Error> {
    let sql = format!("SELECT {function}({})", number_of(key));
    let row = sqlx::raw_sql(AssertSqlSafe(sql))
        .fetch_one(connection)
        .await?;
    row.try_get(0)
}

/// A row for each lock, with the moment at which its lease ends by the server's clock.
pub(super) struct LeaseRow {
    pool: PgPool,
    link: Link,
}

impl LeaseRow {
    pub(super) fn make(url: &str, link: Link) -> Result<Box<dyn Lock>, sqlx::Error> {
        let pool = pool(url)?;
        Ok(Box::new(Self { pool, link }))
    }
}

#[async_trait]
impl Lock for LeaseRow {
    async fn attempt(&self, ask: &Ask) -> Result<Option<Lease>, Error> {
        let (pool, ask) = (self.pool.clone(), ask.clone());
        carry(&self.link, StepKind::Acquire, async move {
            let taking = sqlx::query(AssertSqlSafe(take("clock_timestamp()")))
                .bind(&ask.key)
                .bind(ask.ttl.as_secs_f64());
            lease(taking.fetch_optional(&pool).await?)
        })
        .await
    }

    async fn release(&self, key: &str, lease: &Lease) -> Result<bool, Error> {
        let (pool, key, token) = (self.pool.clone(), key.to_owned(), lease.token.to_string());
        carry(&self.link, StepKind::Release, async move {
            let done = sqlx::query(GIVE_BACK).bind(key).bind(token).execute(&pool);
            Ok(done.await?.rows_affected() == 1)
        })
        .await
    }
}

/// The same row in a transaction that stays open between the steps: the driver begins the next one
/// when one is over, as where nothing is committed by itself.
pub(super) struct LeaseRowInTransaction {
    url: String,
    link: Link,
    /// What tells the time.
    now: &'static str,
    open: Arc<Mutex<Option<PgConnection>>>,
}

impl LeaseRowInTransaction {
    /// Judges by `now()`, which is when the transaction began.
    pub(super) fn by_now(url: &str, link: Link) -> Result<Box<dyn Lock>, sqlx::Error> {
        Self::make(url, link, "now()")
    }

    /// Judges by the time that it is.
    pub(super) fn by_clock(url: &str, link: Link) -> Result<Box<dyn Lock>, sqlx::Error> {
        Self::make(url, link, "clock_timestamp()")
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the others, which may fail")]
    fn make(url: &str, link: Link, now: &'static str) -> Result<Box<dyn Lock>, sqlx::Error> {
        Ok(Box::new(Self {
            url: url.to_owned(),
            link,
            now,
            open: Arc::default(),
        }))
    }
}

/// The connection, with a transaction begun.
async fn begun<'a>(
    url: &str,
    open: &'a mut Option<PgConnection>,
) -> Result<&'a mut PgConnection, sqlx::Error> {
    if open.is_none() {
        let mut connection = PgConnection::connect(url).await?;
        sqlx::raw_sql("BEGIN").execute(&mut connection).await?;
        *open = Some(connection);
    }
    open.as_mut().ok_or(sqlx::Error::PoolClosed)
}

/// Commits, and begins the next transaction.
async fn commit(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("COMMIT; BEGIN").execute(connection).await?;
    Ok(())
}

#[async_trait]
impl Lock for LeaseRowInTransaction {
    async fn start(&self) -> Result<(), Error> {
        let (url, open) = (self.url.clone(), Arc::clone(&self.open));
        let begun = async move { begun(&url, &mut *open.lock().await).await.map(drop) };
        begun.await.map_err(failed)
    }

    async fn attempt(&self, ask: &Ask) -> Result<Option<Lease>, Error> {
        let (url, open) = (self.url.clone(), Arc::clone(&self.open));
        let (ask, sql) = (ask.clone(), take(self.now));
        carry(&self.link, StepKind::Acquire, async move {
            let mut open = open.lock().await;
            let connection = begun(&url, &mut open).await?;
            let taking = sqlx::query(AssertSqlSafe(sql))
                .bind(&ask.key)
                .bind(ask.ttl.as_secs_f64());
            let row = taking.fetch_optional(&mut *connection).await?;
            commit(connection).await?;
            lease(row)
        })
        .await
    }

    async fn release(&self, key: &str, lease: &Lease) -> Result<bool, Error> {
        let (url, open) = (self.url.clone(), Arc::clone(&self.open));
        let (key, token) = (key.to_owned(), lease.token.to_string());
        carry(&self.link, StepKind::Release, async move {
            let mut open = open.lock().await;
            let connection = begun(&url, &mut open).await?;
            let giving = sqlx::query(GIVE_BACK).bind(key).bind(token);
            let done = giving.execute(&mut *connection).await?;
            commit(connection).await?;
            Ok(done.rows_affected() == 1)
        })
        .await
    }
}

fn take(now: &str) -> String {
    format!(
        "INSERT INTO lease (name, token, expires_at) \
         VALUES ($1, 1, {now} + $2 * interval '1 second') \
         ON CONFLICT (name) DO UPDATE \
         SET token = lease.token + 1, expires_at = {now} + $2 * interval '1 second' \
         WHERE lease.expires_at <= {now} RETURNING token::text"
    )
}

fn lease(row: Option<PgRow>) -> Result<Option<Lease>, sqlx::Error> {
    let Some(row) = row else {
        return Ok(None);
    };
    let token: String = row.try_get(0)?;
    let token = token
        .parse()
        .map_err(|e| sqlx::Error::Decode(Box::new(e)))?;
    Ok(Some(Lease {
        token,
        ..Lease::default()
    }))
}

fn of_session() -> Lease {
    Lease {
        is_of_session: true,
        ..Lease::default()
    }
}

fn pool(url: &str) -> Result<PgPool, sqlx::Error> {
    PgPoolOptions::new()
        .max_connections(5)
        .acquire_timeout(Duration::from_secs(5))
        .connect_lazy(url)
}

async fn carry<T: Send + 'static>(
    link: &Link,
    step: StepKind,
    call: impl Future<Output = Result<T, sqlx::Error>> + Send + 'static,
) -> Result<T, Error> {
    let call = Box::pin(async move { call.await.map_err(failed) });
    link.carry(step, call).await
}

fn failed(e: sqlx::Error) -> Error {
    // What the server itself answers with was not done.
    let effect = match e {
        sqlx::Error::Database(_) => Effect::NotApplied,
        _ => Effect::Unknown,
    };
    Error::new(ErrorKind::Unavailable, "PostgreSQL does not answer")
        .with_effect(effect)
        .with_source(e)
}

/// A name as the number that advisory locks have for it (FNV-1a).
fn number_of(key: &str) -> i64 {
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash.cast_signed()
}

const TABLE: &str = "SET synchronous_commit = on; CREATE TABLE lease (\
    name text PRIMARY KEY, token bigint NOT NULL, expires_at timestamptz NOT NULL)";

const GIVE_BACK: &str = "UPDATE lease SET expires_at = '-infinity' \
    WHERE name = $1 AND token::text = $2 AND expires_at > clock_timestamp()";

const TRY_LOCK: &str = "pg_try_advisory_lock";

const UNLOCK: &str = "pg_advisory_unlock";
