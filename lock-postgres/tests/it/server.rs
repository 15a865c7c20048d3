//! A server of its own for a test, and the ways to talk to it.

use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use lock_postgres::{PostgresBackend, PostgresOptions};
use lock_testkit::service::{PostgresServer, PostgresServerOptions};

pub(crate) struct Server(PostgresServer);

impl Server {
    /// With the table made.
    pub(crate) async fn start() -> Self {
        Self::with(&PostgresServerOptions::new()).await
    }

    pub(crate) async fn with(options: &PostgresServerOptions) -> Self {
        let server = Self::bare(options).await;
        server.options().migrate().await.unwrap();
        server
    }

    /// Without a table.
    pub(crate) async fn bare(options: &PostgresServerOptions) -> Self {
        Self(options.start().await.unwrap())
    }

    /// Asks as the administrator; the answer is rows of text.
    pub(crate) async fn say(&self, sql: &str) -> Vec<Vec<String>> {
        self.sql(sql).await.unwrap()
    }

    /// The one value that a statement returns.
    pub(crate) async fn value(&self, sql: &str) -> String {
        self.say(sql).await.concat().concat()
    }

    /// A backend whose requests have time on a busy machine.
    pub(crate) async fn backend(&self) -> PostgresBackend {
        self.options().connect().await.unwrap()
    }

    pub(crate) fn options(&self) -> PostgresOptions {
        options(self.url())
    }

    /// The same with another address: a proxy's.
    pub(crate) fn options_via(&self, addr: SocketAddr) -> PostgresOptions {
        options(&self.url_via(addr))
    }
}

pub(crate) fn options(url: &str) -> PostgresOptions {
    PostgresOptions::new(url)
        .unwrap()
        .request_timeout(Duration::from_secs(10))
        .connect_timeout(Duration::from_secs(10))
}

impl Deref for Server {
    type Target = PostgresServer;

    fn deref(&self) -> &PostgresServer {
        &self.0
    }
}
