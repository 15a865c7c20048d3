//! [`PostgresOptions`]: where the server is and how to treat it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{Error, SystemClock};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPool, PgSslMode};

use crate::backend::PostgresBackend;
use crate::error::{At, Failure};
use crate::greeting::greet;
use crate::migration;
use crate::statements::Table;

/// Where the PostgreSQL server is, and how this client treats it.
///
/// The URL is `postgres://[user[:password]@]host[:port][/database]`, with `sslmode`, `sslrootcert`,
/// `sslcert`, `sslkey` and `options` as parameters if need be; other parameters are refused rather
/// than ignored. A [pool](Self::from_pool) of the user's own may take the place of a URL. `Debug`
/// shows no password.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use lock_postgres::PostgresOptions;
///
/// let options = PostgresOptions::new("postgres://app:secret@127.0.0.1/shop")?
///     .schema("infra")
///     .request_timeout(Duration::from_secs(1));
/// assert!(!format!("{options:?}").contains("secret"));
/// assert!(PostgresOptions::new("postgres://127.0.0.1/?tabel=locks").is_err());
/// # Ok::<(), lock_core::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct PostgresOptions {
    pub(crate) source: Source,
    pub(crate) table: Table,
    pub(crate) claim_time: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) max_connections: u32,
    pub(crate) transaction_pooler: Option<bool>,
    pub(crate) migrate_on_connect: bool,
}

#[derive(Clone)]
pub(crate) enum Source {
    /// Connections of our own.
    Options(Box<PgConnectOptions>),
    /// The user's.
    Pool(PgPool),
}

impl PostgresOptions {
    /// Options for the server at this URL; nothing is sent yet.
    ///
    /// # Errors
    /// `Invalid` if the URL is no PostgreSQL URL or has parts that this library does not know;
    /// `Unsupported` if it needs a feature that this build does not have.
    pub fn new(url: &str) -> Result<Self, Error> {
        // No message here quotes the URL: it may hold a password.
        check_url(url)?;
        let options = PgConnectOptions::from_str(url).map_err(|_url| Failure::invalid(SHAPE))?;
        let tls = !matches!(
            options.get_ssl_mode(),
            PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer
        );
        if tls && !cfg!(feature = "rustls") {
            return Err(Failure::unsupported(
                "this sslmode takes the feature `rustls` of lock-postgres",
            )
            .into());
        }
        Ok(Self::with(Source::Options(Box::new(options))))
    }

    /// Takes the steps by a pool of the user's own. Renewals and notifications have connections
    /// of their own beside it, three at most, made with the options of the pool, so that nobody's
    /// use of the pool costs a lease.
    ///
    /// A pool with `test_before_acquire`, which is sqlx's default, costs each step one more round
    /// trip. Text logging of statements is the pool's own matter, too.
    pub fn from_pool(pool: PgPool) -> Self {
        Self::with(Source::Pool(pool))
    }

    fn with(source: Source) -> Self {
        Self {
            source,
            table: Table {
                schema: None,
                name: "lock_records".to_owned(),
                unlogged: false,
            },
            claim_time: Duration::from_millis(500),
            request_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(2),
            max_connections: 4,
            transaction_pooler: None,
            migrate_on_connect: false,
        }
    }

    /// The schema of the table, taken as it is, also with capitals. By default the server's
    /// `search_path` decides; say it where that may differ between the processes.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.table.schema = Some(schema.into());
        self
    }

    /// The table, taken as it is: `lock_records` by default, and at most 48 bytes. Locks exclude each
    /// other within one table. A second table, with `_migrations` after its name, keeps its version.
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.table.name = table.into();
        self
    }

    /// Whether the table is, and is made, `UNLOGGED`: no step waits for the disk then, and **a crash of
    /// the server empties the table**. Every lock and every value is forgotten by it, so that two
    /// holders may coexist until the first one's lease ends or its client has connected again, and a
    /// failover finds no table content either. Tokens still increase, as they come from the server's
    /// clock. [`Capabilities::durability`](lock_core::Capabilities::durability) is `None`.
    ///
    /// For locks whose turns are many and cheap to repeat, with no value, or with one that can be made
    /// anew. A table of the other kind under this name is refused at connect, either way.
    pub fn unlogged(mut self, unlogged: bool) -> Self {
        self.table.unlogged = unlogged;
        self
    }

    /// For how long a release keeps the lock for the first in line: 10 ms to 60 s, and 500 ms by
    /// default, some hundred times what a waiter takes to answer a push. A waiter that died costs the
    /// next one this time.
    pub fn claim_time(mut self, length: Duration) -> Self {
        self.claim_time = length;
        self
    }

    /// For how long to wait for a free connection, and then for an answer: 1 ms to 60 s, and 2 s by
    /// default. After it the connection is closed and the outcome of the request is unknown. For a
    /// lock with a short ttl set it below a third of that, so that a renewal on a new connection
    /// still comes in time. Half of it, and 1 s at most, is what a commit or a release waits at the
    /// server for a row that another transaction keeps; an attempt waits 50 ms at most.
    pub fn request_timeout(mut self, length: Duration) -> Self {
        self.request_timeout = length;
        self
    }

    /// For how long to try to connect: 1 ms to 60 s, and 2 s by default. Each step of
    /// [`connect`](Self::connect) takes as long at most, and a migration ten times as long.
    pub fn connect_timeout(mut self, length: Duration) -> Self {
        self.connect_timeout = length;
        self
    }

    /// How many connections the steps share: 1 to 1000, and 4 by default, which a step keeps for a
    /// round trip and no lock keeps at all. A pool that is handed in has its own bound.
    pub fn max_connections(mut self, count: u32) -> Self {
        self.max_connections = count;
        self
    }

    /// Whether a pooler stands between that gives each transaction another connection, such as
    /// PgBouncer in transaction mode. Without this the client finds out by itself, and takes any
    /// pooler for one of this kind.
    ///
    /// Behind one, statements are written out whole in place of prepared ones, and as nothing can
    /// listen there, waiters ask again and again, without a line.
    pub fn transaction_pooler(mut self, stands_between: bool) -> Self {
        self.transaction_pooler = Some(stands_between);
        self
    }

    /// Makes the table when connecting, if it is not there. It takes the right to create tables, so
    /// by default it is left to a deployment.
    pub fn migrate_on_connect(mut self, migrate: bool) -> Self {
        self.migrate_on_connect = migrate;
        self
    }

    /// Connects, looks at the server and the table, and refuses those on which the guarantees would
    /// not hold.
    ///
    /// # Errors
    /// - `Invalid` if an option is out of bounds, the server is older than 13, the table is not there,
    ///   of another version or not [logged or unlogged](Self::unlogged) as was said, or a pooler or the pool begins transactions in another isolation than
    ///   READ COMMITTED.
    /// - `Denied` if the server refuses the user name, the password or the table.
    /// - `Unavailable` if it cannot be reached within the connect timeout, is read-only, or the pool
    ///   that was handed in has no connection free in this time.
    ///
    /// # Cancel safety
    /// Safe to drop: the connections are closed, nothing is left behind.
    pub async fn connect(self) -> Result<PostgresBackend, Error> {
        PostgresBackend::with_options(self).await
    }

    /// Makes the table or brings it to the version of this library. Processes that do so at once
    /// take turns.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); `Denied` if the user may not create tables, and `Unavailable` if
    /// another session kept it waiting for longer than the connect timeout.
    ///
    /// # Cancel safety
    /// Safe to drop: it happens as a whole or not at all.
    pub async fn migrate(&self) -> Result<(), Error> {
        self.check()?;
        let at = self.at();
        let clock = SystemClock::new();
        let mut greeting = greet(self, &clock, &at, "migration").await?;
        greeting.facts.check(&at)?;
        let (connection, patience) = (&mut greeting.connection, self.connect_timeout);
        migration::apply(connection, &self.table, &at, &clock, patience).await?;
        migration::check(connection, &self.table, &at, &clock, patience).await?;
        greeting.end(&clock).await;
        Ok(())
    }

    /// The statements by which [`migrate`](Self::migrate) makes the table, for a tool of your own.
    #[must_use]
    pub fn migration_sql(&self) -> String {
        migration::script(&self.table)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let bounds = [
            ("claim time", self.claim_time, 10),
            ("request timeout", self.request_timeout, 1),
            ("connect timeout", self.connect_timeout, 1),
        ];
        for (what, length, least_ms) in bounds {
            if !(least_ms..=60_000).contains(&length.as_millis()) {
                return Err(Failure::invalid(format!(
                    "the {what} lies between {least_ms} ms and 60 s, and this one is {length:?}"
                ))
                .into());
            }
        }
        if !(1..=1000).contains(&self.max_connections) {
            return Err(Failure::invalid(format!(
                "the steps share 1 to 1000 connections, not {}",
                self.max_connections
            ))
            .into());
        }
        let names = [
            ("table", Some(&self.table.name), Table::TABLE_BYTES_MAX),
            (
                "schema",
                self.table.schema.as_ref(),
                Table::SCHEMA_BYTES_MAX,
            ),
        ];
        // A dollar sign begins a parameter of a statement.
        let unfit = |c: char| c == '$' || c.is_control();
        for (what, name, most) in names {
            if let Some(name) = name
                && (name.is_empty() || name.len() > most || name.contains(unfit))
            {
                return Err(Failure::invalid(format!(
                    "the name of the {what} has 1 to {most} bytes, no '$' and no control characters"
                ))
                .into());
            }
        }
        Ok(())
    }

    /// How a connection of our own is made.
    pub(crate) fn connect_options(&self) -> PgConnectOptions {
        let options = match &self.source {
            Source::Options(options) => (**options).clone(),
            Source::Pool(pool) => PgConnectOptions::clone(&Arc::clone(&pool.connect_options())),
        };
        // Values must not get into logs.
        options.disable_statement_logging()
    }

    /// The same without what a pooler would mind.
    pub(crate) fn bare_options(&self) -> PgConnectOptions {
        self.connect_options()
            .extra_float_digits(None)
            .statement_cache_capacity(0)
    }

    pub(crate) fn at(&self) -> At {
        let options = self.connect_options();
        let host = match options.get_socket() {
            Some(path) => path.display().to_string(),
            None => options.get_host().to_owned(),
        };
        let database = options.get_database().unwrap_or(options.get_username());
        At {
            server: format!("postgres://{host}:{}/{database}", options.get_port()),
            records: self.table.records(),
            migrations: self.table.migrations(),
        }
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("server", &self.at().server)
            .field("table", &self.table.records())
            .field("unlogged", &self.table.unlogged)
            .field("claim_time", &self.claim_time)
            .field("request_timeout", &self.request_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("max_connections", &self.max_connections)
            .field("transaction_pooler", &self.transaction_pooler)
            .finish_non_exhaustive()
    }
}

/// Refuses a URL that is none, or of which a part of the password may be taken for another part.
fn check_url(url: &str) -> Result<(), Failure> {
    let rest = ["postgres://", "postgresql://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme))
        .ok_or_else(|| Failure::invalid(SHAPE))?;
    // The parser drops or keeps these as it likes.
    if url.contains(char::is_control) || url.contains("%00") || url.contains('#') {
        return Err(Failure::invalid(SPELLING));
    }
    // What stands behind the host and has an '@' is the rest of a password with a '/' or '?' in it.
    let behind = rest.split_once(['/', '?']).map_or("", |(_, behind)| behind);
    if behind.contains('@') {
        return Err(Failure::invalid(SPELLING));
    }
    let query = url.split_once('?').map_or("", |(_, query)| query);
    for key in query
        .split('&')
        .map(|pair| pair.split('=').next().unwrap_or(pair))
    {
        if !key.is_empty() && !PARAMETERS.contains(&key) {
            return Err(Failure::invalid(format!(
                "a PostgreSQL URL has no parameter '{}' here; use the methods of PostgresOptions",
                key.escape_default()
            )));
        }
    }
    Ok(())
}

const SHAPE: &str = "not a PostgreSQL URL; it looks like \
                     postgres://[user[:password]@]host[:port][/database]";

const SPELLING: &str = "a PostgreSQL URL has no '@' behind its host, no '#', no control character and \
                        no NUL; in a password '/' is written %2F, '?' %3F, '#' %23, '@' %40 and '%' \
                        %25, and in a parameter an '@' is written %40";

/// What a URL may say after its question mark.
const PARAMETERS: &[&str] = &[
    "application_name",
    "dbname",
    "host",
    "options",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];
