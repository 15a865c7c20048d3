//! A server of its own for a test, and the ways to talk to it.

use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use lock_redis::{RedisBackend, RedisOptions};
use lock_testkit::service::{RedisServer, RedisServerOptions};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue, cmd};

use crate::PATIENCE;

/// A bare connection that waits for its answers: its default bound of half a second is less than
/// a busy machine, or a process that is stopped on purpose, may take.
pub(crate) async fn raw(url: &str) -> MultiplexedConnection {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let client = redis::Client::open(url).unwrap();
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .unwrap()
}

pub(crate) struct Server(RedisServer);

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(&RedisServerOptions::new()).await
    }

    pub(crate) async fn with(options: &RedisServerOptions) -> Self {
        Self(options.start().await.unwrap())
    }

    /// Another client than the backend's.
    pub(crate) async fn raw(&self) -> MultiplexedConnection {
        raw(self.url()).await
    }

    /// Sends a command as another client would.
    pub(crate) async fn say<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut self.raw().await).await.unwrap()
    }

    /// A backend whose requests have time on a busy machine.
    pub(crate) async fn backend(&self) -> RedisBackend {
        self.options().connect().await.unwrap()
    }

    pub(crate) fn options(&self) -> RedisOptions {
        self.options_via(self.addr())
    }

    /// The same with another address: a proxy's.
    pub(crate) fn options_via(&self, addr: SocketAddr) -> RedisOptions {
        RedisOptions::new(&self.url_via(addr))
            .unwrap()
            .request_timeout(Duration::from_secs(10))
            .connect_timeout(Duration::from_secs(10))
    }
}

impl Deref for Server {
    type Target = RedisServer;

    fn deref(&self) -> &RedisServer {
        &self.0
    }
}
