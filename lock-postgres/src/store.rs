//! The connections of one client, and how a statement is run on them.
//!
//! # Invariants
//! 1. A connection on which a statement has not ended is never used again: it is closed.
//! 2. Nothing is kept on a connection between two statements.
//! 3. Renewals have connections of their own, so that no other use of the pool holds them up.
//! 4. Of each kind of connections at most one waits long for a row that another transaction keeps, so
//!    that many such rows do not take all of them.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use lock_core::Clock;
use sqlx::AssertSqlSafe;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPool, PgRow, Postgres};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::answers::{Judged, kept};
use crate::error::{At, Failure, leaves_the_session};
use crate::statements::{Arg, Statements, Step, bound, written_out};

/// Runs statements.
pub(crate) struct Store {
    pub(crate) pool: PgPool,
    /// For renewals alone.
    pub(crate) care: PgPool,
    pub(crate) statements: Statements,
    /// A crash of the server empties the table.
    pub(crate) unlogged: bool,
    pub(crate) at: At,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) request_timeout: Duration,
    /// The turn to wait long for a row on one of the shared connections.
    pub(crate) shared_wait: Semaphore,
    /// The same on one of those for renewals.
    pub(crate) care_wait: Semaphore,
    /// Statements are written out whole, because a pooler gives each another connection.
    pub(crate) written_out: bool,
    /// A connection that is given up wants a runtime, also where it is dropped outside of one.
    pub(crate) runtime: Handle,
}

/// Which connections a statement goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Care,
    Shared,
}

/// How long a step waits for a row that another transaction keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Shortly, and longer when its turn to do so has come.
    Long,
    /// Shortly where another transaction has the row: it can be asked again.
    Short,
}

impl Store {
    /// Runs one statement.
    ///
    /// # Cancel safety
    /// Safe to drop: the statement either happens or does not, and its connection is closed.
    pub(crate) async fn ask(
        &self,
        lane: Lane,
        statement: &Arc<str>,
        args: &[Arg],
    ) -> Result<Vec<PgRow>, Failure> {
        let pool = match lane {
            Lane::Care => &self.care,
            Lane::Shared => &self.pool,
        };
        let limit = self.request_timeout;
        let connection = match self.within(limit, pool.acquire()).await {
            Some(connection) => connection.map_err(|e| Failure::connecting(e, &self.at))?,
            None => return Err(Failure::no_connection(&self.at, limit)),
        };
        let mut busy = Busy {
            connection: Some(connection),
            ended: false,
            runtime: self.runtime.clone(),
        };
        // CANCEL: `busy` closes the connection, so that no later statement reads this one's answer.
        let answer = self
            .within(limit, self.run(&mut busy, statement, args))
            .await;
        match answer {
            Some(answer) => answer,
            None => Err(Failure::no_answer(&self.at, limit)),
        }
    }

    async fn run(
        &self,
        busy: &mut Busy,
        statement: &Arc<str>,
        args: &[Arg],
    ) -> Result<Vec<PgRow>, Failure> {
        let Some(connection) = busy.connection.as_mut() else {
            return Err(Failure::unexpected("no connection"));
        };
        let answer = if self.written_out {
            let sql = AssertSqlSafe(written_out(statement, args));
            sqlx::raw_sql(sql).fetch_all(&mut **connection).await
        } else {
            let sql = AssertSqlSafe(Arc::clone(statement));
            sqlx::query_with(sql, bound(args)?)
                .fetch_all(&mut **connection)
                .await
        };
        busy.ended = answer.as_ref().err().is_none_or(leaves_the_session);
        answer.map_err(|error| Failure::sending(error, &self.at))
    }

    /// Runs a step until the row that it judged is the row that it changed. The wait for the row
    /// follows as the last of its parameters.
    pub(crate) async fn step<T>(
        &self,
        step: &Step,
        mut args: Vec<Arg>,
        patience: Patience,
        read: impl Fn(&[PgRow]) -> Result<Judged<T>, Failure> + Send + Sync,
    ) -> Result<T, Failure> {
        args.push(row_wait(self.short_wait()));
        match self.step_first(step, &args, &read).await {
            Err(failure) if failure.pinned => {
                if patience == Patience::Short && self.is_kept(&args).await? {
                    return Err(failure);
                }
            }
            answer => return answer,
        }
        let limit = self.long_wait();
        let Some(Ok(_turn)) = self.within(limit, self.shared_wait.acquire()).await else {
            return Err(Failure::pinned());
        };
        args.pop();
        args.push(row_wait(self.long_wait()));
        self.step_once(&step.full, &args, &read).await
    }

    async fn step_first<T>(
        &self,
        step: &Step,
        args: &[Arg],
        read: &(impl Fn(&[PgRow]) -> Result<Judged<T>, Failure> + Send + Sync),
    ) -> Result<T, Failure> {
        if let Some(quick) = &step.quick {
            let rows = self.ask(Lane::Shared, quick, args).await?;
            if !rows.is_empty()
                && let Judged::Answer(answer) = read(&rows)?
            {
                return Ok(answer);
            }
        }
        self.step_once(&step.full, args, read).await
    }

    /// Whether another transaction has the row of the name, which is the first parameter. What was
    /// waited for may have been something else: the end of the table, or a row that is just being made.
    async fn is_kept(&self, args: &[Arg]) -> Result<bool, Failure> {
        let name = args.get(..1).unwrap_or_default();
        let rows = self.ask(Lane::Shared, &self.statements.kept, name).await?;
        kept(&rows)
    }

    async fn step_once<T>(
        &self,
        statement: &Arc<str>,
        args: &[Arg],
        read: &(impl Fn(&[PgRow]) -> Result<Judged<T>, Failure> + Send + Sync),
    ) -> Result<T, Failure> {
        for _ in 0..AGAIN_MAX {
            let rows = self.ask(Lane::Shared, statement, args).await?;
            if let Judged::Answer(answer) = read(&rows)? {
                return Ok(answer);
            }
        }
        Err(Failure::unavailable(
            "others changed its row again and again while it was judged",
        ))
    }

    /// How long a statement waits at the server for a row that another transaction has, at first.
    pub(crate) fn short_wait(&self) -> Duration {
        self.long_wait().min(SHORT_WAIT)
    }

    /// How long it waits there when its turn to do so has come. A statement whose client is gone ends
    /// with it, too.
    pub(crate) fn long_wait(&self) -> Duration {
        let half = self.request_timeout / 2;
        half.clamp(Duration::from_millis(1), LONG_WAIT)
    }

    pub(crate) async fn within<F: Future + Send>(
        &self,
        length: Duration,
        future: F,
    ) -> Option<F::Output> {
        within(&*self.clock, length, future).await
    }
}

/// Waits for a future, but no longer than this.
pub(crate) async fn within<F: Future + Send>(
    clock: &dyn Clock,
    length: Duration,
    future: F,
) -> Option<F::Output> {
    let end = clock.now().after(length);
    tokio::select! {
        biased;
        output = future => Some(output),
        () = clock.sleep_until(end) => None,
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("at", &self.at)
            .field("written_out", &self.written_out)
            .finish_non_exhaustive()
    }
}

/// A connection that is in use.
struct Busy {
    /// `None` only while it is dropped.
    connection: Option<PoolConnection<Postgres>>,
    ended: bool,
    runtime: Handle,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _inside = self.runtime.enter();
        if let Some(connection) = self.connection.take()
            && !self.ended
        {
            // Closes the socket without a word and makes room in the pool.
            drop(connection.detach());
        }
    }
}

/// The wait for a row as a parameter: whole milliseconds, and not 0, which would be for ever.
pub(crate) fn row_wait(length: Duration) -> Arg {
    Arg::Text(length.as_millis().max(1).to_string())
}

/// What a step waits for a row at first: many times what a step keeps one.
pub(crate) const SHORT_WAIT: Duration = Duration::from_millis(50);

const LONG_WAIT: Duration = Duration::from_secs(1);

/// How often a step is sent when its row changes under it. Only the first grants of a name that
/// many ask for at once meet this at all.
const AGAIN_MAX: u32 = 10;
