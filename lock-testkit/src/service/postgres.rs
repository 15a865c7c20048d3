//! [`PostgresServer`]: one PostgreSQL for one test.

mod options;
mod wire;

use std::net::SocketAddr;

pub use options::PostgresServerOptions;

pub(super) use wire::Wire;

use options::POSTGRES;

use super::clock::{self, ClockStep};
use super::instance::{Instance, Place};
use super::provider::{Data, Provider};
use crate::SetupError;

/// A PostgreSQL server on a loopback port, gone when it is dropped.
///
/// Its address stays the same over a kill and a restart. It runs as the user of the test, or as
/// `postgres` where root runs the test.
#[derive(Debug)]
pub struct PostgresServer {
    instance: Instance<Spot>,
    options: PostgresServerOptions,
}

struct Spot {
    /// The administrator's.
    wire: Wire,
    /// The database of the URL.
    database: String,
    url: String,
    /// Everybody who may log in, and their passwords.
    users: Vec<(String, String)>,
    /// The name that this server has for itself.
    marker: Option<String>,
}

impl PostgresServer {
    /// Starts a server with default options and waits until it is ready.
    ///
    /// # Errors
    /// If none is to be had, with what to do about it, or if it does not get ready.
    ///
    /// # Cancel safety
    /// Safe to drop: what was started is ended.
    pub async fn start() -> Result<Self, SetupError> {
        PostgresServerOptions::new().start().await
    }

    async fn start_with(options: &PostgresServerOptions) -> Result<Self, SetupError> {
        let provider = options.provider().await?;
        let options = options.clone();
        if let Provider::Url(url) = provider {
            let instance = Instance::given(&POSTGRES, given(&url).await?).await?;
            return Ok(Self { instance, options });
        }
        let instance = Instance::start(&POSTGRES, &provider, || options.plan()).await?;
        let server = Self { instance, options };
        server.set_up().await?;
        Ok(server)
    }

    /// Makes the users and what else the test wants to find.
    async fn set_up(&self) -> Result<(), SetupError> {
        let (first, then) = self.options.statements();
        for sql in first {
            self.instance.place.wire.ask(&sql).await?;
        }
        for sql in then {
            self.sql(&sql).await?;
        }
        Ok(())
    }

    /// `postgres://user:password@127.0.0.1:port/database`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.instance.place.url
    }

    /// The same with another address: a proxy's or a pooler's.
    #[must_use]
    pub fn url_via(&self, addr: SocketAddr) -> String {
        self.url()
            .replacen(&self.addr().to_string(), &addr.to_string(), 1)
    }

    /// Where clients connect.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.instance.place.wire.addr
    }

    /// The database of [`url`](Self::url).
    #[must_use]
    pub fn database(&self) -> &str {
        &self.instance.place.database
    }

    /// Everybody who may log in, with their passwords; the administrator comes first.
    pub(super) fn users(&self) -> &[(String, String)] {
        &self.instance.place.users
    }

    /// Executes statements in the database of [`url`](Self::url) as the administrator, past any
    /// proxy, on a connection of their own. Returns the rows of all of them as text, where null is
    /// empty.
    ///
    /// # Errors
    /// If the server does not answer within 10 s, or answers with an error; and if a server given
    /// by URL wants a password otherwise than as plain text.
    ///
    /// # Cancel safety
    /// Safe to drop: the statements may be executed or not.
    pub async fn sql(&self, sql: &str) -> Result<Vec<Vec<String>>, SetupError> {
        let wire = Wire {
            database: self.database().to_owned(),
            ..self.instance.place.wire.clone()
        };
        wire.ask(sql).await
    }

    /// Stops the server and all its processes in their tracks: it answers nothing, connections stay
    /// open.
    ///
    /// # Errors
    /// If it cannot be paused: it is killed, or was given by URL.
    ///
    /// # Cancel safety
    /// Safe to drop: the server may be paused or not.
    pub async fn pause(&self) -> Result<(), SetupError> {
        self.instance.pause().await
    }

    /// Lets a paused server go on as if nothing had happened.
    ///
    /// # Errors
    /// If it cannot be unpaused: it is killed, or was given by URL.
    ///
    /// # Cancel safety
    /// Safe to drop: the server may be unpaused or not.
    pub async fn unpause(&self) -> Result<(), SetupError> {
        self.instance.unpause().await
    }

    /// Crashes the server: kills all its processes without a warning (`SIGKILL`), and returns once
    /// they are dead.
    ///
    /// # Errors
    /// If it cannot be killed: it was given by URL, say.
    ///
    /// # Cancel safety
    /// Safe to drop: the server may be killed or not.
    pub async fn kill(&self) -> Result<(), SetupError> {
        self.instance.kill().await
    }

    /// Crashes the server if it runs, starts it again under the same address and waits until it is
    /// ready. Without its data it is as it was at first, with its users.
    ///
    /// # Errors
    /// If it cannot be restarted or does not get ready: it was given by URL, or something else took
    /// its port meanwhile.
    ///
    /// # Cancel safety
    /// Safe to drop: the server may be dead or starting, or without its users.
    pub async fn restart(&self, data: Data) -> Result<(), SetupError> {
        self.instance.restart(data).await?;
        match data {
            Data::Discard => self.set_up().await,
            Data::Keep => Ok(()),
        }
    }

    /// Steps the clock that the server tells; the server must have been started with a
    /// [steppable clock](PostgresServerOptions::steppable_clock).
    ///
    /// # Errors
    /// If it has no steppable clock, or its clock did not step.
    ///
    /// # Cancel safety
    /// Safe to drop: the clock may have stepped or not.
    pub async fn step_clock(&self, step: ClockStep) -> Result<(), SetupError> {
        clock::step(&self.instance, step).await
    }

    /// What the server has logged so far.
    ///
    /// # Cancel safety
    /// Safe to drop: nothing is left behind.
    pub async fn log(&self) -> String {
        self.instance.log().await
    }
}

impl Place for Spot {
    fn addr(&self) -> SocketAddr {
        self.wire.addr
    }

    async fn greet(&self) -> Result<(), SetupError> {
        let Some(marker) = &self.marker else {
            return self.wire.speaks().await;
        };
        let name = self.wire.ask("SHOW cluster_name").await?.concat().concat();
        match name == *marker {
            true => Ok(()),
            false => Err(SetupError::new(format!(
                "another server took the port: its name is {name:?}"
            ))),
        }
    }
}

impl clock::Steppable for Spot {
    async fn now_us(&self) -> Result<i128, SetupError> {
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
        let text = self.wire.ask(sql).await?.concat().concat();
        text.parse()
            .map_err(|e| SetupError::new(format!("the time is {text:?}")).with_source(e))
    }
}

/// Reads the URL of a server that runs already.
async fn given(url: &str) -> Result<Spot, SetupError> {
    let bad = || {
        SetupError::new(format!(
            "{}_URL must be like postgres://user:password@host:port/database",
            POSTGRES.variable
        ))
    };
    let rest = url
        .strip_prefix("postgres://")
        .or_else(|| url.strip_prefix("postgresql://"))
        .ok_or_else(bad)?;
    let (credentials, rest) = rest.rsplit_once('@').ok_or_else(bad)?;
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let (place, database) = rest.split_once('/').unwrap_or((rest, user));
    let database = database.split('?').next().unwrap_or(database);
    let host_and_port = match place.contains(':') {
        true => place.to_owned(),
        false => format!("{place}:5432"),
    };
    let addr = tokio::net::lookup_host(host_and_port)
        .await
        .map_err(|e| bad().with_source(e))?
        .next()
        .ok_or_else(bad)?;
    Ok(Spot {
        wire: Wire {
            addr,
            user: user.to_owned(),
            password: password.to_owned(),
            database: database.to_owned(),
        },
        database: database.to_owned(),
        // So that a proxy's address can stand for the server's.
        url: url.replacen(&format!("@{place}"), &format!("@{addr}"), 1),
        users: vec![(user.to_owned(), password.to_owned())],
        marker: None,
    })
}
