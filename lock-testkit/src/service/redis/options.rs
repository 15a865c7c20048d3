//! [`RedisServerOptions`]: what a test asks of its server, and the configuration file it becomes.

use std::fmt::Write;
use std::net::SocketAddr;

use super::{RedisServer, Spot};
use crate::SetupError;
use crate::port::{free_port, loopback};
use crate::service::client::Control;
use crate::service::clock;
use crate::service::instance::marker;
use crate::service::provider::{Kind, Launch, Provider};
use crate::service::tls::{self, Tls};

/// What a test asks of its server.
///
/// # Examples
/// ```no_run
/// # async fn example() -> Result<(), lock_testkit::SetupError> {
/// use lock_testkit::service::RedisServerOptions;
///
/// let server = RedisServerOptions::new()
///     .password("secret")
///     .config("appendonly yes")
///     .config("appendfsync always")
///     .start()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct RedisServerOptions {
    shared: bool,
    cluster: bool,
    password: Option<String>,
    user: Option<(String, String)>,
    primary: Option<SocketAddr>,
    tls: Option<Tls>,
    steppable_clock: bool,
    lines: Vec<String>,
}

impl RedisServerOptions {
    /// A server of its own, open to everybody on this machine, that keeps nothing on disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// The test leaves the server as it finds it, so that one given by
    /// `LOCK_TESTKIT_REDIS_URL` will do. Its other options are then not applied.
    pub fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// Clients must give this password.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// There is a user of this name who may do what the rules say (`~* &* +@all`, say); the URL is
    /// this user's.
    pub fn user(mut self, name: &str, password: &str, rules: &str) -> Self {
        self.lines
            .push(format!("user {name} on >{password} {rules}"));
        self.user = Some((name.to_owned(), password.to_owned()));
        self
    }

    /// A line of the configuration file: `maxmemory-policy allkeys-lru`, say.
    pub fn config(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// It replicates the server at this address, which may be a proxy's. A primary's password must
    /// be the same as [`password`](Self::password).
    pub fn replica_of(mut self, primary: SocketAddr) -> Self {
        self.primary = Some(primary);
        self
    }

    /// Clients speak TLS; the certificates are in [`RedisServer::tls`].
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The server's wall clock can be [stepped](RedisServer::step_clock). It takes Linux and a C
    /// compiler.
    pub fn steppable_clock(mut self) -> Self {
        self.steppable_clock = true;
        self
    }

    pub(in crate::service) fn cluster(mut self) -> Self {
        self.cluster = true;
        self
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Errors
    /// If none is to be had, with what to do about it, or if it does not get ready.
    ///
    /// # Cancel safety
    /// Safe to drop: what was started is ended.
    pub async fn start(&self) -> Result<RedisServer, SetupError> {
        RedisServer::start_with(self).await
    }

    pub(super) async fn provider(&self) -> Result<Provider, SetupError> {
        let provider = REDIS.provider(self.shared).await?;
        if self.cluster || self.primary.is_some() {
            REDIS.reaches_others(&provider)?;
        }
        Ok(provider)
    }

    /// The arguments of `AUTH` for the administrator.
    fn control_auth(&self) -> Vec<String> {
        self.password.iter().cloned().collect()
    }

    fn url(&self, port: u16) -> String {
        let scheme = if self.tls.is_some() {
            "rediss"
        } else {
            "redis"
        };
        let credentials = match (&self.user, &self.password) {
            (Some((user, password)), _) => format!("{user}:{password}@"),
            (None, Some(password)) => format!(":{password}@"),
            (None, None) => String::new(),
        };
        format!("{scheme}://{credentials}127.0.0.1:{port}")
    }

    /// Draws ports and writes the files.
    pub(super) fn plan(&self) -> Result<(Launch, Spot), SetupError> {
        let bus: &[u16] = if self.cluster { &[BUS_OFFSET] } else { &[] };
        let port = free_port(bus);
        let marker = format!("{}.conf", marker());
        let mut launch = Launch {
            program: "redis-server",
            arguments: vec![format!("{{files}}/{marker}")],
            ports: vec![port],
            ..Launch::default()
        };
        let shifted = bus.iter().map(|offset| port.saturating_add(*offset));
        launch.ports.extend(shifted);
        let mut conf = self.conf(port);
        let mut client_port = port;
        let mut client_files = None;
        if let Some(tls) = self.tls {
            let (server, client) = tls::make()?;
            client_port = free_port(&[]);
            conf.push_str(&tls_conf(tls, client_port));
            launch.file("ca.pem", &client.ca_pem);
            launch.file("server.pem", &server.cert_pem);
            launch.file("server.key", &server.key_pem);
            launch.ports.push(client_port);
            client_files = Some(client);
        }
        for line in &self.lines {
            conf.push_str(line);
            conf.push('\n');
        }
        launch.file(&marker, &conf);
        if self.steppable_clock {
            clock::equip(&mut launch)?;
        }
        let spot = Spot {
            control: Control {
                addr: loopback(port),
                auth: self.control_auth(),
            },
            addr: loopback(client_port),
            url: self.url(client_port),
            tls: client_files,
            marker: Some(marker),
        };
        Ok((launch, spot))
    }

    fn conf(&self, port: u16) -> String {
        // A container with a network of its own is reached from outside its loopback interface.
        let bind = if cfg!(target_os = "linux") {
            "127.0.0.1"
        } else {
            "* -::*"
        };
        let mut conf = format!(
            "port {port}\nbind {bind}\nprotected-mode no\ndir {{data}}\nsave \"\"\n\
             repl-diskless-sync yes\nrepl-diskless-sync-delay 0\n"
        );
        let mut line = |text: std::fmt::Arguments<'_>| {
            // Writing to a string does not fail.
            let _ = writeln!(conf, "{text}");
        };
        if let Some(password) = &self.password {
            line(format_args!("requirepass {password}"));
            line(format_args!("masterauth {password}"));
        }
        if let Some(primary) = self.primary {
            line(format_args!(
                "replicaof {} {}",
                primary.ip(),
                primary.port()
            ));
        }
        if self.cluster {
            line(format_args!("cluster-enabled yes"));
            line(format_args!("cluster-config-file nodes.conf"));
            line(format_args!("cluster-node-timeout 2000"));
            line(format_args!("cluster-announce-ip 127.0.0.1"));
        }
        conf
    }
}

fn tls_conf(tls: Tls, port: u16) -> String {
    let clients = match tls {
        Tls::Mutual => "yes",
        Tls::Server => "no",
    };
    format!(
        "tls-port {port}\ntls-cert-file {{files}}/server.pem\ntls-key-file {{files}}/server.key\n\
         tls-ca-cert-file {{files}}/ca.pem\ntls-auth-clients {clients}\n"
    )
}

pub(in crate::service) const REDIS: Kind = Kind {
    name: "Redis",
    variable: "LOCK_TESTKIT_REDIS",
    programs: &["redis-server", "valkey-server"],
    folders: &[],
    images: &[
        "redis:7-bookworm",
        "redis:7",
        "lock-testkit/servers:bookworm",
        "lock-testkit/redis:bookworm",
    ],
};

/// A node's bus listens so much higher than the node.
const BUS_OFFSET: u16 = 10_000;
