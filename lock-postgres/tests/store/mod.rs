//! A PostgreSQL of its own as the store of a conformance run, reached directly or by a pooler.
#![expect(
    clippy::disallowed_methods,
    dead_code,
    reason = "what is done to a real server takes real time; each target takes one of the stores"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Error, LockBackend, LockName};
use lock_postgres::PostgresOptions;
use lock_testkit::SetupError;
use lock_testkit::service::{
    Data, PgBouncer, PgBouncerOptions, PostgresServer, PostgresServerOptions,
};
use lock_testkit::subject::{ServedStore, ServerFault};

/// A server whose clients come directly.
pub(crate) async fn direct() -> Result<Box<dyn ServedStore>, SetupError> {
    on_table(false).await
}

/// The same with a table that a crash of the server empties.
pub(crate) async fn unlogged() -> Result<Box<dyn ServedStore>, SetupError> {
    on_table(true).await
}

async fn on_table(unlogged: bool) -> Result<Box<dyn ServedStore>, SetupError> {
    let server = server(unlogged).await?;
    Ok(Box::new(Store {
        server,
        pooler: None,
        unlogged,
    }))
}

/// A server behind PgBouncer in transaction mode.
pub(crate) async fn pooled() -> Result<Box<dyn ServedStore>, SetupError> {
    let server = server(false).await?;
    let pooler = PgBouncerOptions::new(&server)
        .config("max_client_conn = 2000")
        // After a failed login it would refuse all clients for 15 s.
        .config("server_login_retry = 1")
        .start()
        .await?;
    Ok(Box::new(Store {
        server,
        pooler: Some(pooler),
        unlogged: false,
    }))
}

async fn server(unlogged: bool) -> Result<PostgresServer, SetupError> {
    // All cases run at once, each with clients of its own.
    let many = PostgresServerOptions::new().config("max_connections = 1000");
    let server = many.start().await?;
    let migrated = async { options(server.url())?.unlogged(unlogged).migrate().await };
    migrated
        .await
        .map_err(|e| SetupError::new("the table cannot be made").with_source(e))?;
    Ok(server)
}

/// A server forks a process for each connection, which takes its time on a busy machine.
fn options(url: &str) -> Result<PostgresOptions, Error> {
    let patience = Duration::from_secs(20);
    let options = PostgresOptions::new(url)?;
    Ok(options.connect_timeout(patience).request_timeout(patience))
}

struct Store {
    server: PostgresServer,
    pooler: Option<PgBouncer>,
    unlogged: bool,
}

impl Store {
    /// A pooler that could not log in refuses its clients for a while, though the server is back.
    async fn until_clients_come_in(&self) -> Result<(), SetupError> {
        for _ in 0..200 {
            if self.connect(None).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.connect(None).await.map(drop)
    }
}

#[async_trait]
impl ServedStore for Store {
    fn address(&self) -> Option<SocketAddr> {
        let pooler = self.pooler.as_ref().map(PgBouncer::addr);
        Some(pooler.unwrap_or(self.server.addr()))
    }

    async fn connect(&self, by: Option<SocketAddr>) -> Result<Arc<dyn LockBackend>, SetupError> {
        let by = by.or(self.address());
        let url = self.server.url_via(by.unwrap_or(self.server.addr()));
        let connecting = async { options(&url)?.unlogged(self.unlogged).connect().await };
        match connecting.await {
            Ok(backend) => Ok(Arc::new(backend)),
            Err(error) => Err(SetupError::new("the backend cannot connect").with_source(error)),
        }
    }

    async fn delete(&self, name: &LockName) -> Result<bool, SetupError> {
        let digits: String = name.as_str().bytes().map(|b| format!("{b:02x}")).collect();
        let name = format!("convert_from(decode('{digits}', 'hex'), 'UTF8')");
        let delete = format!("DELETE FROM lock_records WHERE name = {name}");
        self.server.sql(&delete).await?;
        Ok(true)
    }

    async fn suffer(&self, fault: &ServerFault) -> Result<bool, SetupError> {
        let ms = Duration::from_millis;
        match fault {
            ServerFault::Kill { down_ms } => {
                self.server.kill().await?;
                tokio::time::sleep(ms(*down_ms)).await;
                self.server.restart(Data::Keep).await?;
                self.until_clients_come_in().await?;
            }
            ServerFault::Pause { for_ms } => {
                self.server.pause().await?;
                tokio::time::sleep(ms(*for_ms)).await;
                self.server.unpause().await?;
            }
            // And whatever other stores suffer.
            ServerFault::ClockStep { .. }
            | ServerFault::FailOver
            | ServerFault::FlushScripts
            | _ => {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
