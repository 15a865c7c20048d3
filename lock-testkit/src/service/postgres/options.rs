//! [`PostgresServerOptions`]: what a test asks of its server, and the files it becomes.

use super::{PostgresServer, Spot, Wire};
use crate::SetupError;
use crate::port::{free_port, loopback};
use crate::service::clock;
use crate::service::instance::marker;
use crate::service::provider::{Kind, Launch, Provider};

/// What a test asks of its PostgreSQL server.
///
/// # Examples
/// ```no_run
/// # async fn example() -> Result<(), lock_testkit::SetupError> {
/// use lock_testkit::service::PostgresServerOptions;
///
/// let server = PostgresServerOptions::new()
///     .user("ann", "secret")
///     .config("synchronous_commit = off")
///     .start()
///     .await?;
/// assert!(server.url().starts_with("postgres://ann:secret@127.0.0.1:"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct PostgresServerOptions {
    shared: bool,
    durable: bool,
    steppable_clock: bool,
    user: Option<(String, String)>,
    roles: Vec<(String, String)>,
    setup: Vec<String>,
    lines: Vec<String>,
}

impl PostgresServerOptions {
    /// A server of its own, that lets everybody on this machine in as its administrator
    /// `postgres`.
    pub fn new() -> Self {
        Self::default()
    }

    /// The test leaves the server as it finds it, so that one given by
    /// `LOCK_TESTKIT_POSTGRES_URL` will do. Its other options are then not applied.
    pub fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// There is a user of this name who owns a database of the same name and must give this
    /// password; the URL is this user's. Name and password are plain words.
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.user = Some((name.to_owned(), password.to_owned()));
        self.role(name, password)
    }

    /// There is a role of this name that may log in with this password, and owns nothing.
    pub fn role(mut self, name: &str, password: &str) -> Self {
        self.roles.push((name.to_owned(), password.to_owned()));
        self
    }

    /// A statement that the administrator executes, in the database of the URL, whenever the server
    /// starts without data.
    pub fn setup(mut self, sql: &str) -> Self {
        self.setup.push(sql.to_owned());
        self
    }

    /// A line of `postgresql.conf`: `wal_writer_delay = 10s`, say.
    pub fn config(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// A commit waits for the disk (`fsync = on`), for tests of how long that takes. Without it a
    /// killed server still finds what it wrote, as the machine goes on.
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// The server's wall clock can be [stepped](PostgresServer::step_clock). It takes Linux and a C
    /// compiler.
    pub fn steppable_clock(mut self) -> Self {
        self.steppable_clock = true;
        self
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Errors
    /// If none is to be had, with what to do about it, or if it does not get ready.
    ///
    /// # Cancel safety
    /// Safe to drop: what was started is ended.
    pub async fn start(&self) -> Result<PostgresServer, SetupError> {
        PostgresServer::start_with(self).await
    }

    pub(super) async fn provider(&self) -> Result<Provider, SetupError> {
        POSTGRES.provider(self.shared).await
    }

    /// The database of the URL.
    fn database(&self) -> &str {
        self.user.as_ref().map_or(ADMIN, |(name, _)| name)
    }

    /// What makes the users, and what then makes their world, each in its own transaction.
    pub(super) fn statements(&self) -> (Vec<String>, Vec<String>) {
        let mut first: Vec<_> = self
            .roles
            .iter()
            .map(|(name, password)| format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'"))
            .collect();
        if let Some((name, _)) = &self.user {
            first.push(format!("CREATE DATABASE {name} OWNER {name}"));
        }
        (first, self.setup.clone())
    }

    pub(super) fn plan(&self) -> Result<(Launch, Spot), SetupError> {
        let port = free_port(&[]);
        let marker = marker();
        let mut launch = Launch {
            program: "postgres",
            script: Some("start.sh"),
            arguments: [
                "-D",
                "{data}/postgres",
                "-c",
                "config_file={files}/postgresql.conf",
                "-c",
                "hba_file={files}/pg_hba.conf",
            ]
            .map(str::to_owned)
            .to_vec(),
            ports: vec![port],
            // The one thing that a server keeps outside its folder, to find another that uses it.
            sweep: r#"for file in "{data}"/*/postmaster.pid; do
  ipcrm -m "$(sed -n '7s/.* //p' "$file")"
done"#,
            ..Launch::default()
        };
        let start = [include_str!("../unprivileged.sh"), include_str!("start.sh")].concat();
        launch.file("start.sh", &start);
        launch.file("postgresql.conf", &self.conf(port, &marker));
        launch.file(
            "pg_hba.conf",
            &format!("host all {ADMIN} all trust\nhost all all all scram-sha-256\n"),
        );
        if self.steppable_clock {
            clock::equip(&mut launch)?;
        }
        let addr = loopback(port);
        let (user, password) = self.user.clone().unwrap_or_default();
        let credentials = match user.is_empty() {
            true => ADMIN.to_owned(),
            false => format!("{user}:{password}"),
        };
        let mut users = vec![(ADMIN.to_owned(), String::new())];
        users.extend(self.roles.iter().cloned());
        let spot = Spot {
            wire: Wire {
                addr,
                user: ADMIN.to_owned(),
                password: String::new(),
                database: ADMIN.to_owned(),
            },
            database: self.database().to_owned(),
            url: format!("postgres://{credentials}@{addr}/{}", self.database()),
            users,
            marker: Some(marker),
        };
        Ok((launch, spot))
    }

    fn conf(&self, port: u16, marker: &str) -> String {
        let fsync = if self.durable { "on" } else { "off" };
        // A container with a network of its own is reached from outside its loopback interface.
        let listen = if cfg!(target_os = "linux") {
            "127.0.0.1"
        } else {
            "*"
        };
        let mut conf = format!(
            "port = {port}\nlisten_addresses = '{listen}'\nunix_socket_directories = ''\n\
             cluster_name = '{marker}'\ndynamic_shared_memory_type = mmap\nfsync = {fsync}\n"
        );
        for line in &self.lines {
            conf.push_str(line);
            conf.push('\n');
        }
        conf
    }
}

/// The administrator, and the database that is always there.
const ADMIN: &str = "postgres";

pub(in crate::service) const POSTGRES: Kind = Kind {
    name: "PostgreSQL",
    variable: "LOCK_TESTKIT_POSTGRES",
    programs: &["postgres"],
    folders: &["/usr/lib/postgresql/*/bin"],
    images: &[
        "postgres:15-bookworm",
        "postgres:15",
        "lock-testkit/servers:bookworm",
    ],
};
