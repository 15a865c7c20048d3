//! [`RedisFailover`]: a primary and a replica that takes over.
#![expect(
    clippy::disallowed_methods,
    reason = "a real server is waited for in real time"
)]

use tokio::time::Instant;

use super::instance::{POLL, READY, deadline};
use super::redis::{RedisServer, RedisServerOptions};
use crate::SetupError;
use crate::proxy::Proxy;

/// A primary and its replica, whose link can be cut: what the primary was told after that is lost
/// when the replica takes over.
#[derive(Debug)]
pub struct RedisFailover {
    primary: RedisServer,
    replica: RedisServer,
    link: Proxy,
}

impl RedisFailover {
    /// Starts both with default options and waits until the replica is in step.
    ///
    /// # Errors
    /// If one does not start, or if they do not come together.
    ///
    /// # Cancel safety
    /// Safe to drop: what was started is ended.
    pub async fn start() -> Result<Self, SetupError> {
        Self::start_with(&RedisServerOptions::new()).await
    }

    /// Starts both with these options and waits until the replica is in step.
    ///
    /// # Errors
    /// If one does not start, or if they do not come together.
    ///
    /// # Cancel safety
    /// Safe to drop: what was started is ended.
    pub async fn start_with(options: &RedisServerOptions) -> Result<Self, SetupError> {
        let primary = options.start().await?;
        let link = Proxy::start_opaque(primary.addr()).await?;
        let options = options.clone().replica_of(link.addr());
        let replica = options.start().await?;
        replica.until_info("master_link_status", "up").await?;
        let pair = Self {
            primary,
            replica,
            link,
        };
        pair.until_in_step().await?;
        Ok(pair)
    }

    /// The server that is the primary at first.
    #[must_use]
    pub fn primary(&self) -> &RedisServer {
        &self.primary
    }

    /// The server that is the replica at first, and the primary after
    /// [`fail_over`](Self::fail_over).
    #[must_use]
    pub fn replica(&self) -> &RedisServer {
        &self.replica
    }

    /// Waits until the replica has got all that the primary has executed by now.
    ///
    /// # Errors
    /// If it has not within a minute: the link is cut, say.
    ///
    /// # Cancel safety
    /// Safe to drop: nothing is left behind.
    pub async fn until_in_step(&self) -> Result<(), SetupError> {
        let sent = offset(&self.primary, "master_repl_offset").await?;
        let bound = deadline();
        loop {
            let got = offset(&self.replica, "slave_repl_offset").await?;
            if got >= sent {
                return Ok(());
            }
            if Instant::now() > bound {
                return Err(SetupError::new(format!(
                    "the replica has {got} of {sent} bytes after {} s",
                    READY.as_secs()
                )));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Cuts the link: the replica gets nothing from now on. Both servers go on answering.
    ///
    /// # Errors
    /// If the primary keeps the replica nevertheless.
    ///
    /// # Cancel safety
    /// Safe to drop: the link may be cut or not.
    pub async fn cut_link(&self) -> Result<(), SetupError> {
        self.link.refuse().await;
        self.link.reset_all();
        self.replica
            .until_info("master_link_status", "down")
            .await?;
        self.primary.until_info("connected_slaves", "0").await
    }

    /// Kills the primary and makes the replica the primary, as a supervisor does that is told of
    /// nothing else.
    ///
    /// # Errors
    /// If the primary cannot be killed, or the replica does not take over.
    ///
    /// # Cancel safety
    /// Safe to drop: the primary may be dead, and the replica may have taken over.
    pub async fn fail_over(&self) -> Result<(), SetupError> {
        self.primary.kill().await?;
        self.replica.command(&["REPLICAOF", "NO", "ONE"]).await?;
        self.replica.until_info("role", "master").await
    }
}

async fn offset(server: &RedisServer, field: &str) -> Result<u64, SetupError> {
    let text = server.info(field).await?;
    text.parse()
        .map_err(|e| SetupError::new(format!("{field} is {text:?}")).with_source(e))
}
