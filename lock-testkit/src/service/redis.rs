//! [`RedisServer`]: one Redis for one test.
#![expect(
    clippy::disallowed_methods,
    reason = "a real server is waited for in real time"
)]

mod options;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::time::Instant;

pub(super) use options::REDIS;
pub use options::RedisServerOptions;

use super::client::Control;
use super::clock::{self, ClockStep};
use super::instance::{Instance, POLL, Place, READY, deadline};
use super::provider::{Data, Provider};
use super::tls::TlsFiles;
use crate::SetupError;
use crate::resp::Reply;

/// A Redis server on a loopback port, gone when it is dropped.
///
/// It keeps nothing on disk unless [configured](RedisServerOptions::config) to. Its address stays
/// the same over a kill and a restart.
#[derive(Debug)]
pub struct RedisServer {
    instance: Instance<Spot>,
}

struct Spot {
    control: Control,
    /// Where clients connect: the TLS port where there is one.
    addr: SocketAddr,
    url: String,
    tls: Option<TlsFiles>,
    /// In the path of the server's configuration file: tells this server from any other.
    marker: Option<String>,
}

impl RedisServer {
    /// Starts a server with default options and waits until it is ready.
    ///
    /// # Errors
    /// If none is to be had, with what to do about it, or if it does not get ready.
    ///
    /// # Cancel safety
    /// Safe to drop: what was started is ended.
    pub async fn start() -> Result<Self, SetupError> {
        RedisServerOptions::new().start().await
    }

    pub(super) async fn start_with(options: &RedisServerOptions) -> Result<Self, SetupError> {
        let provider = options.provider().await?;
        if let Provider::Url(url) = provider {
            return Self::given(url).await;
        }
        let instance = Instance::start(&REDIS, &provider, || options.plan()).await?;
        Ok(Self { instance })
    }

    async fn given(url: String) -> Result<Self, SetupError> {
        let bad = || {
            SetupError::new(format!(
                "{}_URL must be like redis://user:password@host:port",
                REDIS.variable
            ))
        };
        let rest = url.strip_prefix("redis://").ok_or_else(bad)?;
        let rest = rest.split('/').next().unwrap_or_default();
        let (credentials, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let auth = [user, password].into_iter().filter(|word| !word.is_empty());
        let place = match place.contains(':') {
            true => place.to_owned(),
            false => format!("{place}:6379"),
        };
        let addr = tokio::net::lookup_host(place)
            .await
            .map_err(|e| bad().with_source(e))?
            .next()
            .ok_or_else(bad)?;
        let spot = Spot {
            control: Control {
                addr,
                auth: auth.map(str::to_owned).collect(),
            },
            addr,
            url,
            tls: None,
            marker: None,
        };
        let instance = Instance::given(&REDIS, spot).await?;
        Ok(Self { instance })
    }

    /// `redis://user:password@127.0.0.1:port`, or `rediss://` where the server speaks TLS.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.instance.place.url
    }

    /// The same with another address: a proxy's.
    #[must_use]
    pub fn url_via(&self, addr: SocketAddr) -> String {
        self.instance
            .place
            .url
            .replacen(&self.addr().to_string(), &addr.to_string(), 1)
    }

    /// Where clients connect.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.instance.place.addr
    }

    /// The host of [`addr`](Self::addr).
    #[must_use]
    pub fn host(&self) -> String {
        self.addr().ip().to_string()
    }

    /// The port of [`addr`](Self::addr).
    #[must_use]
    pub fn port(&self) -> u16 {
        self.addr().port()
    }

    /// What a client needs to speak TLS, where the server does.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsFiles> {
        self.instance.place.tls.as_ref()
    }

    /// Sends a command to the server as its administrator, past any proxy, and returns the reply.
    ///
    /// # Errors
    /// If the server does not answer within 5 s, or answers with an error.
    ///
    /// # Cancel safety
    /// Safe to drop: the command may be executed or not.
    pub async fn command<W: AsRef<[u8]> + Sync>(&self, words: &[W]) -> Result<Reply, SetupError> {
        self.instance.place.control.ask(words).await
    }

    /// How often each command was called, by the server's own count: `GET`, `CONFIG|SET`, ….
    /// Commands that a script calls are counted too. `CONFIG RESETSTAT` begins anew.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    ///
    /// # Cancel safety
    /// Safe to drop: nothing is left behind.
    pub async fn command_calls(&self) -> Result<BTreeMap<String, u64>, SetupError> {
        let info = self.command(&["INFO", "commandstats"]).await?;
        Ok(parse_command_calls(&info.text().unwrap_or_default()))
    }

    /// One field of `INFO`: `info("role")` is `master`, say.
    ///
    /// # Errors
    /// As [`command`](Self::command), and if there is no such field.
    ///
    /// # Cancel safety
    /// Safe to drop: nothing is left behind.
    pub async fn info(&self, field: &str) -> Result<String, SetupError> {
        let info = self.command(&["INFO", "all"]).await?.text();
        info_field(&info.unwrap_or_default(), field)
            .ok_or_else(|| SetupError::new(format!("INFO has no field {field:?}")))
    }

    /// Waits until a field of `INFO` has this value: `until_info("master_link_status", "up")` is the
    /// wait for a replica that is in step.
    ///
    /// # Errors
    /// If it has not within a minute.
    ///
    /// # Cancel safety
    /// Safe to drop: nothing is left behind.
    pub async fn until_info(&self, field: &str, value: &str) -> Result<(), SetupError> {
        self.until(&["INFO", "all"], field, value).await
    }

    pub(super) async fn until_cluster_serves(&self) -> Result<(), SetupError> {
        let about = ["CLUSTER", "INFO"];
        self.until(&about, "cluster_state", "ok").await?;
        self.until(&about, "cluster_known_nodes", "3").await
    }

    async fn until(&self, about: &[&str], field: &str, value: &str) -> Result<(), SetupError> {
        let bound = deadline();
        loop {
            let text = self.command(about).await?.text().unwrap_or_default();
            let now = info_field(&text, field);
            if now.as_deref() == Some(value) {
                return Ok(());
            }
            if Instant::now() > bound {
                return Err(SetupError::new(format!(
                    "{field} of {} did not become {value:?} within {} s but is {now:?}",
                    self.addr(),
                    READY.as_secs()
                )));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Stops the server in its tracks: it answers nothing, connections stay open.
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

    /// Kills the server without a warning (`SIGKILL`), and returns once it is dead.
    ///
    /// # Errors
    /// If it cannot be killed: it was given by URL, say.
    ///
    /// # Cancel safety
    /// Safe to drop: the server may be killed or not.
    pub async fn kill(&self) -> Result<(), SetupError> {
        self.instance.kill().await
    }

    /// Kills the server if it runs, starts it again under the same address and waits until it is
    /// ready.
    ///
    /// # Errors
    /// If it cannot be restarted or does not get ready: it was given by URL, or something else took
    /// its port meanwhile.
    ///
    /// # Cancel safety
    /// Safe to drop: the server may be dead or starting.
    pub async fn restart(&self, data: Data) -> Result<(), SetupError> {
        self.instance.restart(data).await
    }

    /// Steps the clock by which the server expires keys; the server must have been started with a
    /// [steppable clock](RedisServerOptions::steppable_clock).
    ///
    /// # Errors
    /// If it has no steppable clock, or its clock did not step.
    ///
    /// # Cancel safety
    /// Safe to drop: the clock may have stepped or not.
    pub async fn step_clock(&self, step: ClockStep) -> Result<(), SetupError> {
        clock::step(&self.instance, step).await
    }

    /// Makes the server forget all scripts, as one that was started again has.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    ///
    /// # Cancel safety
    /// Safe to drop: the scripts may be forgotten or not.
    pub async fn flush_scripts(&self) -> Result<(), SetupError> {
        self.command(&["SCRIPT", "FLUSH", "SYNC"]).await.map(drop)
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
        self.addr
    }

    async fn greet(&self) -> Result<(), SetupError> {
        self.control.ask(&["PING"]).await?;
        let Some(marker) = &self.marker else {
            return Ok(());
        };
        let info = self.control.ask(&["INFO", "server"]).await?.text();
        match info_field(&info.unwrap_or_default(), "config_file").unwrap_or_default() {
            path if path.contains(marker) => Ok(()),
            path => Err(SetupError::new(format!(
                "another server took the port: its configuration is {path}"
            ))),
        }
    }
}

impl clock::Steppable for Spot {
    async fn now_us(&self) -> Result<i128, SetupError> {
        let time = self.control.ask(&["TIME"]).await?;
        let number = |index: usize| {
            let text = time.items().get(index).and_then(Reply::text);
            text.and_then(|text| text.parse::<i128>().ok())
        };
        number(0)
            .zip(number(1))
            .and_then(|(s, us)| s.checked_mul(1_000_000)?.checked_add(us))
            .ok_or_else(|| SetupError::new(format!("TIME answered {time:?}")))
    }
}

/// Reads `INFO commandstats`.
fn parse_command_calls(info: &str) -> BTreeMap<String, u64> {
    let entry = |line: &str| {
        let (name, fields) = line.strip_prefix("cmdstat_")?.split_once(':')?;
        let calls = fields.split(',').find_map(|f| f.strip_prefix("calls="))?;
        Some((name.to_ascii_uppercase(), calls.parse().ok()?))
    };
    info.lines().filter_map(entry).collect()
}

fn info_field(info: &str, field: &str) -> Option<String> {
    info.lines().find_map(|line| {
        let value = line.strip_prefix(field)?.strip_prefix(':')?;
        Some(value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests;
