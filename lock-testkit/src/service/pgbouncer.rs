//! [`PgBouncer`]: a connection pool between a test and its PostgreSQL server.

use std::net::SocketAddr;

use super::instance::{Instance, Place, marker};
use super::postgres::{PostgresServer, Wire};
use super::provider::{Data, Kind, Launch};
use crate::SetupError;
use crate::port::{free_port, loopback};

/// What a test asks of its pool.
#[derive(Clone, Debug)]
#[must_use]
pub struct PgBouncerOptions {
    server: SocketAddr,
    server_addr: SocketAddr,
    url: String,
    database: String,
    users: Vec<(String, String)>,
    pool_size: u32,
    lines: Vec<String>,
}

impl PgBouncerOptions {
    /// A pool in transaction mode in front of this server: a connection of the server is a client's
    /// for one transaction. It knows the server's users and asks nobody for a password.
    pub fn new(server: &PostgresServer) -> Self {
        Self {
            server: server.addr(),
            server_addr: server.addr(),
            url: server.url().to_owned(),
            database: server.database().to_owned(),
            users: server.users().to_vec(),
            pool_size: 20,
            lines: Vec::new(),
        }
    }

    /// So many connections to the server at most, for each user and database.
    pub fn pool_size(mut self, count: u32) -> Self {
        self.pool_size = count.max(1);
        self
    }

    /// It reaches the server under this address: a proxy's.
    pub fn via(mut self, addr: SocketAddr) -> Self {
        self.server = addr;
        self
    }

    /// A line of the configuration's section `[pgbouncer]`: `query_wait_timeout = 2`, say.
    pub fn config(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Starts the pool and waits until it is ready.
    ///
    /// # Errors
    /// If none is to be had, with what to do about it, or if it does not get ready.
    ///
    /// # Cancel safety
    /// Safe to drop: what was started is ended.
    pub async fn start(&self) -> Result<PgBouncer, SetupError> {
        let provider = PGBOUNCER.provider(false).await?;
        PGBOUNCER.reaches_others(&provider)?;
        let instance = Instance::start(&PGBOUNCER, &provider, || Ok(self.plan())).await?;
        Ok(PgBouncer { instance })
    }

    fn plan(&self) -> (Launch, Spot) {
        let port = free_port(&[]);
        let marker = marker();
        let mut launch = Launch {
            program: "pgbouncer",
            script: Some("start.sh"),
            arguments: vec!["{files}/pgbouncer.ini".to_owned()],
            ports: vec![port],
            ..Launch::default()
        };
        let start = concat!(
            include_str!("unprivileged.sh"),
            "exec \"$program\" \"$@\"\n"
        );
        launch.file("start.sh", start);
        launch.file("pgbouncer.ini", &self.ini(port, &marker));
        let mut users = self.users.clone();
        users.push((CONSOLE.to_owned(), String::new()));
        let users: String = users
            .iter()
            .map(|(name, password)| format!("\"{name}\" \"{password}\"\n"))
            .collect();
        launch.file(&marker, &users);
        let addr = loopback(port);
        let server = self.server_addr.to_string();
        let spot = Spot {
            console: Wire {
                addr,
                user: CONSOLE.to_owned(),
                password: String::new(),
                database: CONSOLE.to_owned(),
            },
            url: self.url.replacen(&server, &addr.to_string(), 1),
            administrator: self.users.first().cloned().unwrap_or_default(),
            database: self.database.clone(),
            marker,
        };
        (launch, spot)
    }

    fn ini(&self, port: u16, marker: &str) -> String {
        let (host, server_port) = (self.server.ip(), self.server.port());
        let mut ini = format!(
            "[databases]\n* = host={host} port={server_port}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = {{files}}/{marker}\nadmin_users = {CONSOLE}\n\
             pool_mode = transaction\ndefault_pool_size = {}\n\
             ignore_startup_parameters = extra_float_digits\n",
            self.pool_size
        );
        for line in &self.lines {
            ini.push_str(line);
            ini.push('\n');
        }
        ini
    }
}

/// A PgBouncer on a loopback port, gone when it is dropped. Its address stays the same over a kill
/// and a restart.
#[derive(Debug)]
pub struct PgBouncer {
    instance: Instance<Spot>,
}

struct Spot {
    /// The pool's own console.
    console: Wire,
    url: String,
    administrator: (String, String),
    database: String,
    /// The name of the file of its users: tells this pool from any other.
    marker: String,
}

impl PgBouncer {
    /// The server's URL with the pool's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.instance.place.url
    }

    /// Where clients connect.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.instance.place.console.addr
    }

    /// Executes statements through the pool, as
    /// [`PostgresServer::sql`](super::PostgresServer::sql) does past it.
    ///
    /// # Errors
    /// If the pool or the server does not answer within 10 s, or answers with an error.
    ///
    /// # Cancel safety
    /// Safe to drop: the statements may be executed or not.
    pub async fn sql(&self, sql: &str) -> Result<Vec<Vec<String>>, SetupError> {
        let place = &self.instance.place;
        let (user, password) = place.administrator.clone();
        let wire = Wire {
            addr: self.addr(),
            user,
            password,
            database: place.database.clone(),
        };
        wire.ask(sql).await
    }

    /// Asks the pool's console: `SHOW POOLS`, `RECONNECT`, ….
    ///
    /// # Errors
    /// If the pool does not answer within 10 s, or answers with an error.
    ///
    /// # Cancel safety
    /// Safe to drop: the command may be executed or not.
    pub async fn console(&self, command: &str) -> Result<Vec<Vec<String>>, SetupError> {
        self.instance.place.console.ask(command).await
    }

    /// Stops the pool in its tracks: it passes nothing on, connections stay open.
    ///
    /// # Errors
    /// If it cannot be paused: it is killed.
    ///
    /// # Cancel safety
    /// Safe to drop: the pool may be paused or not.
    pub async fn pause(&self) -> Result<(), SetupError> {
        self.instance.pause().await
    }

    /// Lets a paused pool go on as if nothing had happened.
    ///
    /// # Errors
    /// If it cannot be unpaused: it is killed.
    ///
    /// # Cancel safety
    /// Safe to drop: the pool may be unpaused or not.
    pub async fn unpause(&self) -> Result<(), SetupError> {
        self.instance.unpause().await
    }

    /// Kills the pool without a warning (`SIGKILL`), and returns once it is dead.
    ///
    /// # Errors
    /// If it cannot be killed.
    ///
    /// # Cancel safety
    /// Safe to drop: the pool may be killed or not.
    pub async fn kill(&self) -> Result<(), SetupError> {
        self.instance.kill().await
    }

    /// Kills the pool if it runs, starts it again under the same address and waits until it is
    /// ready.
    ///
    /// # Errors
    /// If it cannot be restarted or does not get ready: something else took its port, say.
    ///
    /// # Cancel safety
    /// Safe to drop: the pool may be dead or starting.
    pub async fn restart(&self) -> Result<(), SetupError> {
        self.instance.restart(Data::Keep).await
    }
}

impl Place for Spot {
    fn addr(&self) -> SocketAddr {
        self.console.addr
    }

    async fn greet(&self) -> Result<(), SetupError> {
        let settings = self.console.ask("SHOW CONFIG").await?;
        let is_ours = |line: &Vec<String>| line.iter().any(|word| word.ends_with(&self.marker));
        match settings.iter().any(is_ours) {
            true => Ok(()),
            false => Err(SetupError::new("another pool took the port")),
        }
    }
}

/// The console's user and database.
const CONSOLE: &str = "pgbouncer";

const PGBOUNCER: Kind = Kind {
    name: "PgBouncer",
    variable: "LOCK_TESTKIT_PGBOUNCER",
    programs: &["pgbouncer"],
    folders: &["/usr/sbin"],
    images: &["lock-testkit/servers:bookworm"],
};
