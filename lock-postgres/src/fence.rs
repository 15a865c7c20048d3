//! Locks inside the user's own transaction: a lease that is pinned until it ends, and a lock that
//! lives and ends with it.
//!
//! # Invariants
//! 1. A fence shares the key of the row. A step that ends a lease or grants another takes the row as
//!    a whole and waits for it; a renewal does not touch the key and passes.
//! 2. Nothing that is set for a statement outlasts it in the user's transaction.
//! 3. Each try to lock in a transaction is made in a savepoint. One that is not granted is rolled
//!    back, and leaves no row locked and no error behind.

use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{
    Acquire, Acquisition, DistributedMutex, Entropy, Error, ErrorKind, FencingToken, LockBackend,
    LockGuard, LockName, OwnerId, Previous, SystemEntropy,
};
use sqlx::postgres::{PgConnection, PgRow, Postgres};
use sqlx::{AssertSqlSafe, Transaction};

use crate::PostgresBackend;
use crate::answers::{self, Judged, get};
use crate::backend::{name_arg, number, owner_arg};
use crate::error::Failure;
use crate::greeting::is_read_committed;
use crate::statements::{Arg, bound, written_out};
use crate::store::{SHORT_WAIT, row_wait};

/// The fence of a [`LockGuard`] inside a transaction of the user's own.
#[async_trait]
pub trait FenceExt {
    /// Checks the lease at the server and pins it until the transaction ends: what the transaction
    /// then writes, to whatever tables, is committed only while the lock is this guard's.
    ///
    /// Until the transaction ends, nobody else is granted the lock, even if the lease runs out
    /// meanwhile, and no operator can force it; renewals go on. So keep the transaction short, and end it
    /// before the guard is committed or released, which would wait for it otherwise. Whoever asks
    /// for the lock after its lease ran out waits for the transaction. For the same reason the lease
    /// goes back to the server when the guard ends, also where others of this process wait for it.
    ///
    /// The transaction must be one on the database that keeps the lock. It may have done something
    /// before: what counts is that the fence is asked before it commits.
    ///
    /// # Errors
    /// - [`ErrorKind::LeaseLost`] if the lease is over: roll back.
    /// - `Unsupported` if the lock is not kept by a [`PostgresBackend`].
    /// - `Unavailable` if the server did not answer within the request timeout, or another
    ///   transaction kept the lock's row for half of it; the transaction is then of no use.
    ///
    /// # Cancel safety
    /// The transaction must be dropped with it.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(
    /// #     guard: lock_core::LockGuard<()>, pool: sqlx::PgPool
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// use lock_postgres::FenceExt;
    ///
    /// let mut tx = pool.begin().await?;
    /// guard.fence(&mut tx).await?;
    /// sqlx::query("UPDATE accounts SET balance = balance - 10 WHERE id = 1").execute(&mut *tx).await?;
    /// sqlx::query("UPDATE accounts SET balance = balance + 10 WHERE id = 2").execute(&mut *tx).await?;
    /// tx.commit().await?;
    /// guard.release().await?;
    /// # Ok(())
    /// # }
    /// ```
    async fn fence(&self, transaction: &mut Transaction<'_, Postgres>) -> Result<(), Error>;
}

#[async_trait]
impl<T: Send + Sync + 'static> FenceExt for LockGuard<T> {
    async fn fence(&self, transaction: &mut Transaction<'_, Postgres>) -> Result<(), Error> {
        let backend = postgres(&**self.backend(), self.name(), "fence")?;
        let name = self.name();
        // Only a release at the server waits for the transaction, which may outlive the guard.
        self.return_to_store();
        let pinned = backend.pin(transaction, name, self.owner(), self.token());
        match pinned.await {
            Ok(None) => Ok(()),
            Ok(Some(cause)) => Err(Error::lease_lost(cause).in_operation("fence", name)),
            Err(failure) => Err(Error::from(failure).in_operation("fence", name)),
        }
    }
}

/// A [`DistributedMutex`] that is locked inside a transaction of the user's own.
#[async_trait]
pub trait LockInExt {
    /// Takes the lock for as long as the transaction lives, waiting for it no longer than this. It
    /// ends with the transaction, committed or rolled back or cut off: there is no ttl and nothing to
    /// renew.
    ///
    /// It is for work on tables of the same database, which is where its data belongs: the value in
    /// the mutex is neither read nor written. Others exclude it and are excluded by it, whichever way
    /// they lock. While they wait for the transaction they ask again and again.
    ///
    /// The lock borrows the transaction and stands for it:
    /// ```no_run
    /// # async fn example(
    /// #     mutex: lock_core::DistributedMutex<()>, pool: sqlx::PgPool
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use lock_postgres::LockInExt;
    ///
    /// let mut tx = pool.begin().await?;
    /// let mut lock = mutex.lock_in(&mut tx, Duration::from_secs(1)).await?;
    /// for (id, change) in [(1, -10), (2, 10)] {
    ///     sqlx::query("UPDATE accounts SET balance = balance + $2 WHERE id = $1")
    ///         .bind(id).bind(change).execute(&mut *lock).await?;
    /// }
    /// tx.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    /// So it cannot outlive it:
    /// ```compile_fail,E0505
    /// # async fn example(
    /// #     mutex: lock_core::DistributedMutex<()>, pool: sqlx::PgPool
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// use lock_postgres::LockInExt;
    ///
    /// let mut tx = pool.begin().await?;
    /// let lock = mutex.lock_in(&mut tx, std::time::Duration::from_secs(1)).await?;
    /// tx.commit().await?;
    /// println!("still locked with token {}", lock.token());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The transaction's isolation is to be READ COMMITTED, the server's default. If it is rolled
    /// back, the server forgets the token that was granted in it. What it set for itself, such as
    /// `lock_timeout`, is as before.
    ///
    /// # Errors
    /// - [`ErrorKind::Timeout`] if it was not free in time; the transaction is as good as before.
    /// - `Unsupported` if the lock is not kept by a [`PostgresBackend`].
    /// - `Invalid` if the transaction is REPEATABLE READ or SERIALIZABLE, in which it would never see
    ///   that the lock became free.
    /// - `Unavailable` if the server did not answer within the request timeout; the transaction is
    ///   then of no use.
    ///
    /// # Cancel safety
    /// The transaction must be dropped with it.
    async fn lock_in<'t, 'c>(
        &self,
        transaction: &'t mut Transaction<'c, Postgres>,
        within: Duration,
    ) -> Result<TransactionLock<'t, 'c>, Error>;
}

#[async_trait]
impl<T: Send + Sync + 'static> LockInExt for DistributedMutex<T> {
    async fn lock_in<'t, 'c>(
        &self,
        transaction: &'t mut Transaction<'c, Postgres>,
        within: Duration,
    ) -> Result<TransactionLock<'t, 'c>, Error> {
        let name = self.name();
        let backend = postgres(&**self.backend(), name, "lock")?;
        let owner = OwnerId::draw(&SystemEntropy as &dyn Entropy);
        let options = self.options();
        let mut request = Acquire::new(name.clone(), owner, options.ttl(), options.label().clone());
        // It guards no value, so it must not make the server forget the one that it finds.
        request.spare_state = true;
        request.forget_after = Some(FORGET_AFTER);
        let taken = backend.take(transaction, &request, within).await;
        let (token, previous) = taken.map_err(|error| error.in_operation("lock", name))?;
        Ok(TransactionLock {
            transaction,
            name: name.clone(),
            token,
            previous,
        })
    }
}

/// A lock that ends with the transaction that it borrows and stands for: statements are executed
/// on `&mut *lock`.
#[must_use = "the lock ends with its transaction"]
pub struct TransactionLock<'t, 'c> {
    transaction: &'t mut Transaction<'c, Postgres>,
    name: LockName,
    token: FencingToken,
    previous: Previous,
}

impl TransactionLock<'_, '_> {
    /// The fencing token, as that of any other grant.
    #[must_use]
    pub const fn token(&self) -> FencingToken {
        self.token
    }

    /// The name of the lock.
    #[must_use]
    pub const fn name(&self) -> &LockName {
        &self.name
    }

    /// How the lease before this one ended.
    #[must_use]
    pub const fn previous(&self) -> Previous {
        self.previous
    }
}

impl Deref for TransactionLock<'_, '_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.transaction
    }
}

impl DerefMut for TransactionLock<'_, '_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.transaction
    }
}

impl fmt::Debug for TransactionLock<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionLock")
            .field("name", &self.name)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

impl PostgresBackend {
    async fn pin(
        &self,
        transaction: &mut PgConnection,
        name: &LockName,
        owner: OwnerId,
        token: FencingToken,
    ) -> Result<Option<lock_core::LossCause>, Failure> {
        let args = [
            name_arg(name),
            owner_arg(owner),
            Arg::Int(number(token.get())),
            row_wait(self.store.long_wait()),
        ];
        let statement = &self.store.statements.pin;
        let rows = self.ask_in(transaction, statement, &args).await?;
        answers::pinned(&rows)
    }

    /// Takes the lock and gives it up again: until the transaction ends, nobody else sees either.
    async fn take(
        &self,
        transaction: &mut PgConnection,
        request: &Acquire,
        within: Duration,
    ) -> Result<(FencingToken, Previous), Error> {
        let clock = &self.store.clock;
        let end = clock.now().after(within);
        loop {
            let wait = end.since(clock.now()).min(SHORT_WAIT);
            let found = self.save(transaction, wait).await?;
            let tried = match is_read_committed(&found.isolation) {
                true => self.try_take(transaction, request, wait).await,
                false => Err(isolated(&found.isolation)),
            };
            if let Ok(Tried::Taken(token, previous)) = tried {
                self.keep(transaction, &found).await?;
                return Ok((token, previous));
            }
            let undone = self.undo(transaction).await;
            let pause = match tried? {
                Tried::Refused(pause) => pause,
                Tried::Taken(..) => Duration::ZERO,
            };
            undone?;
            let now = clock.now();
            if now >= end {
                let message = "it was not free before the caller's time was up";
                return Err(Error::new(ErrorKind::Timeout, message));
            }
            clock.sleep_until(now.after(pause).min(end)).await;
        }
    }

    async fn try_take(
        &self,
        transaction: &mut PgConnection,
        request: &Acquire,
        wait: Duration,
    ) -> Result<Tried, Failure> {
        let statements = &self.store.statements;
        let mut args = self.acquire_args(request);
        args.push(row_wait(wait));
        let asked = self.ask_in(transaction, &statements.acquire_in, &args);
        let rows = match asked.await {
            // It has waited.
            Err(failure) if failure.pinned => return Ok(Tried::Refused(Duration::ZERO)),
            rows => rows?,
        };
        match answers::acquisition(&rows, request.ttl)? {
            Judged::Again => Ok(Tried::Refused(Duration::ZERO)),
            Judged::Answer(Acquisition::Granted(grant)) => {
                let mut args = self.release_args(&request.name, request.owner);
                args.push(row_wait(wait));
                let rows = self
                    .ask_in(transaction, &statements.release_in, &args)
                    .await?;
                answers::release(&rows)?;
                Ok(Tried::Taken(grant.token, grant.previous))
            }
            Judged::Answer(Acquisition::Refused(refusal)) => {
                let left = refusal.holder_expires_in.unwrap_or(PAUSE_MAX);
                Ok(Tried::Refused(left.min(PAUSE_MAX)))
            }
            Judged::Answer(_) => Err(Failure::unexpected("an acquire")),
        }
    }

    /// Begins a try: what it waits for a row is bounded until it ends.
    async fn save(&self, transaction: &mut PgConnection, wait: Duration) -> Result<Found, Failure> {
        let sql = format!(
            "SELECT current_setting('transaction_isolation') AS isolation, \
             current_setting('lock_timeout') AS lock_timeout; \
             SAVEPOINT {SAVEPOINT}; SELECT set_config('lock_timeout', '{}', true)",
            wait.as_millis().max(1)
        );
        let rows = self.say_in(transaction, sql).await?;
        let row = rows.first();
        let row = row.ok_or_else(|| Failure::unexpected("the settings of a transaction"))?;
        Ok(Found {
            isolation: get(row, "isolation")?,
            lock_timeout: get(row, "lock_timeout")?,
        })
    }

    /// Ends a try and keeps what it did. What was set in a savepoint outlasts its release.
    async fn keep(&self, transaction: &mut PgConnection, found: &Found) -> Result<(), Failure> {
        let setting = found.lock_timeout.replace('\'', "''");
        let sql = format!(
            "SELECT set_config('lock_timeout', '{setting}', true); RELEASE SAVEPOINT {SAVEPOINT}"
        );
        self.say_in(transaction, sql).await.map(drop)
    }

    /// Ends a try as if it had not been made.
    async fn undo(&self, transaction: &mut PgConnection) -> Result<(), Failure> {
        let sql = format!("ROLLBACK TO SAVEPOINT {SAVEPOINT}; RELEASE SAVEPOINT {SAVEPOINT}");
        self.say_in(transaction, sql).await.map(drop)
    }

    /// Says in the user's transaction what has no parameters.
    async fn say_in(
        &self,
        transaction: &mut PgConnection,
        sql: String,
    ) -> Result<Vec<PgRow>, Failure> {
        let said = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(transaction);
        self.in_time(said).await
    }

    /// Runs a statement in the user's transaction.
    async fn ask_in(
        &self,
        transaction: &mut PgConnection,
        statement: &Arc<str>,
        args: &[Arg],
    ) -> Result<Vec<PgRow>, Failure> {
        if self.store.written_out {
            return self.say_in(transaction, written_out(statement, args)).await;
        }
        let sql = AssertSqlSafe(Arc::clone(statement));
        let asked = sqlx::query_with(sql, bound(args)?).fetch_all(transaction);
        self.in_time(asked).await
    }

    async fn in_time(
        &self,
        asked: impl Future<Output = Result<Vec<PgRow>, sqlx::Error>> + Send,
    ) -> Result<Vec<PgRow>, Failure> {
        let limit = self.store.request_timeout;
        match self.store.within(limit, asked).await {
            Some(answer) => answer.map_err(|error| Failure::sending(error, &self.store.at)),
            None => Err(Failure::no_answer(&self.store.at, limit)),
        }
    }
}

/// What a try to lock in a transaction came to.
enum Tried {
    /// When to try again.
    Refused(Duration),
    Taken(FencingToken, Previous),
}

/// What the user's transaction is set to.
struct Found {
    isolation: String,
    lock_timeout: String,
}

fn isolated(isolation: &str) -> Failure {
    Failure::invalid(format!(
        "the transaction is {}, in which it would never see that the lock became free; begin it as \
         READ COMMITTED",
        isolation.to_uppercase()
    ))
}

const SAVEPOINT: &str = "lock_postgres_try";

/// For how long the record of a name without a value is kept: as for any plain lock.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a lock inside a transaction waits from one look to the next.
const PAUSE_MAX: Duration = Duration::from_millis(50);

fn postgres<'b>(
    backend: &'b dyn LockBackend,
    name: &LockName,
    operation: &'static str,
) -> Result<&'b PostgresBackend, Error> {
    let found = backend.as_any().and_then(|any| any.downcast_ref());
    found.ok_or_else(|| {
        let kind = backend.kind();
        Error::from(Failure::unsupported(format!(
            "the lock is kept by {kind}, and only a lock in PostgreSQL has a place in a transaction \
             of PostgreSQL"
        )))
        .in_operation(operation, name)
    })
}
