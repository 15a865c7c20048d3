//! The first word with the server: what it is, and whether a pooler stands between.

use std::time::Duration;

use lock_core::{Clock, Durability};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};

use crate::answers::get;
use crate::config::PostgresOptions;
use crate::error::{At, Failure};
use crate::statements::Table;
use crate::store::within;

/// A connection for one errand, and what was found out by it.
pub(crate) struct Greeting {
    pub(crate) connection: PgConnection,
    pub(crate) facts: Facts,
    /// Whether each transaction may get another connection of the server.
    pub(crate) pooler: bool,
}

/// Connects with a mark in the session's settings. A pooler either refuses it or loses it.
pub(crate) async fn greet(
    options: &PostgresOptions,
    clock: &dyn Clock,
    at: &At,
    mark: &str,
) -> Result<Greeting, Failure> {
    let plain = options.connect_options();
    let (asked, known) = match options.transaction_pooler {
        Some(true) => (options.bare_options(), Some(true)),
        Some(false) => (plain, Some(false)),
        None => (plain.options([(MARK, mark)]), None),
    };
    let limit = options.connect_timeout;
    let opened = open(&asked, limit, clock, at).await?;
    let (mut connection, known) = match opened {
        Ok(connection) => (connection, known),
        Err(error) if known.is_none() && minds_startup(&error) => {
            let again = open(&options.bare_options(), limit, clock, at).await?;
            let connection = again.map_err(|error| Failure::connecting(error, at))?;
            (connection, Some(true))
        }
        Err(error) => return Err(Failure::connecting(error, at)),
    };
    let facts = match within(clock, limit, Facts::ask(&mut connection, at)).await {
        Some(facts) => facts?,
        None => return Err(Failure::no_answer(at, limit)),
    };
    let pooler = known.unwrap_or(facts.mark.as_deref() != Some(mark));
    Ok(Greeting {
        connection,
        facts,
        pooler,
    })
}

const MARK: &str = "lock_postgres.client";

async fn open(
    options: &PgConnectOptions,
    limit: Duration,
    clock: &dyn Clock,
    at: &At,
) -> Result<Result<PgConnection, sqlx::Error>, Failure> {
    let opened = within(clock, limit, options.connect()).await;
    opened.ok_or_else(|| Failure::no_connection(at, limit))
}

/// Whether a pooler refused a parameter with which a session begins.
fn minds_startup(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(e) if e.message().contains("startup parameter"))
}

/// What the server says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    version: i64,
    recovering: bool,
    read_only: bool,
    synchronous_commit: String,
    fsync: bool,
    standbys: bool,
    /// What a transaction is that does not say.
    isolation: String,
    /// What the client said of itself when it connected; a pooler loses it.
    mark: Option<String>,
}

impl Greeting {
    /// Ends the errand.
    pub(crate) async fn end(self, clock: &dyn Clock) {
        drop(within(clock, FAREWELL, self.connection.close()).await);
    }
}

/// For how long to wait until the server has heard that a connection ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// PostgreSQL takes READ UNCOMMITTED for the same.
pub(crate) fn is_read_committed(isolation: &str) -> bool {
    matches!(isolation, "read committed" | "read uncommitted")
}

impl Facts {
    pub(crate) async fn ask(connection: &mut PgConnection, at: &At) -> Result<Self, Failure> {
        let sql = "SELECT current_setting('server_version_num')::bigint AS version, \
                   pg_is_in_recovery() AS recovering, \
                   current_setting('transaction_read_only')::boolean AS read_only, \
                   current_setting('synchronous_commit') AS synchronous_commit, \
                   current_setting('fsync')::boolean AS fsync, \
                   current_setting('synchronous_standby_names') <> '' AS standbys, \
                   current_setting('transaction_isolation') AS isolation, \
                   current_setting('lock_postgres.client', true) AS mark";
        let row = sqlx::raw_sql(sql)
            .fetch_one(connection)
            .await
            // Behind a pooler the server itself is reached only now.
            .map_err(|error| Failure::connecting(error, at))?;
        Ok(Self {
            version: get(&row, "version")?,
            recovering: get(&row, "recovering")?,
            read_only: get(&row, "read_only")?,
            synchronous_commit: get(&row, "synchronous_commit")?,
            fsync: get(&row, "fsync")?,
            standbys: get(&row, "standbys")?,
            isolation: get(&row, "isolation")?,
            mark: get(&row, "mark")?,
        })
    }

    /// Refuses a server on which the steps cannot work.
    pub(crate) fn check(&self, at: &At) -> Result<(), Failure> {
        if self.version < 130_000 {
            return Err(Failure::invalid(format!(
                "{} is PostgreSQL {}; locks take 13 or later",
                at.server,
                self.version / 10_000
            )));
        }
        if self.recovering || self.read_only {
            return Err(Failure::unavailable(format!(
                "{} {}",
                at.server,
                crate::error::READ_ONLY
            )));
        }
        Ok(())
    }

    /// Whether a transaction that does not say otherwise is what the steps are written for. In another
    /// they would be right as well, but often undone because of each other.
    pub(crate) fn read_committed(&self) -> bool {
        is_read_committed(&self.isolation)
    }

    /// Refuses connections on which steps would run in another isolation.
    pub(crate) fn check_isolation(&self, at: &At, whose: &str) -> Result<(), Failure> {
        if self.read_committed() {
            return Ok(());
        }
        Err(Failure::invalid(format!(
            "{} begins the transactions of {whose} as {}, and the steps of a lock take READ COMMITTED; \
             set default_transaction_isolation to 'read committed' for this user",
            at.server,
            self.isolation.to_uppercase()
        )))
    }

    /// What survives: what reached the disk, and what a standby confirmed.
    pub(crate) fn durability(&self, table: &Table) -> Durability {
        if table.unlogged {
            return Durability::None;
        }
        let waits_for_standby = matches!(self.synchronous_commit.as_str(), "on" | "remote_apply");
        match (self.fsync, self.synchronous_commit.as_str()) {
            (true, "off") | (false, _) => Durability::None,
            (true, _) if self.standbys && waits_for_standby => Durability::Failover,
            (true, _) => Durability::Restart,
        }
    }
}
