//! The conformance suite of lock-testkit on a PostgreSQL of its own.
#![expect(
    clippy::disallowed_methods,
    reason = "what is done to a real server takes real time"
)]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Error, LockBackend, LockName};
use lock_postgres::PostgresOptions;
use lock_testkit::SetupError;
use lock_testkit::service::{Data, PostgresServer, PostgresServerOptions};
use lock_testkit::subject::{ServedStore, ServerFault, Setup};

fn main() -> ExitCode {
    lock_testkit::conformance::main(Postgres)
}

struct Postgres;

#[async_trait]
impl Setup for Postgres {
    fn name(&self) -> String {
        "postgres".to_owned()
    }

    async fn store(&self) -> Result<Box<dyn ServedStore>, SetupError> {
        // All cases run at once, each with clients of its own.
        let many = PostgresServerOptions::new().config("max_connections = 1000");
        let server = many.start().await?;
        let migrated = async { options(server.url())?.migrate().await };
        migrated
            .await
            .map_err(|e| SetupError::new("the table cannot be made").with_source(e))?;
        Ok(Box::new(Store(server)))
    }
}

/// A server forks a process for each connection, which takes its time on a busy machine.
fn options(url: &str) -> Result<PostgresOptions, Error> {
    let patience = Duration::from_secs(20);
    let options = PostgresOptions::new(url)?;
    Ok(options.connect_timeout(patience).request_timeout(patience))
}

struct Store(PostgresServer);

#[async_trait]
impl ServedStore for Store {
    fn address(&self) -> Option<SocketAddr> {
        Some(self.0.addr())
    }

    async fn connect(&self, by: Option<SocketAddr>) -> Result<Arc<dyn LockBackend>, SetupError> {
        let url = self.0.url_via(by.unwrap_or(self.0.addr()));
        let connecting = async { options(&url)?.connect().await };
        match connecting.await {
            Ok(backend) => Ok(Arc::new(backend)),
            Err(error) => Err(SetupError::new("the backend cannot connect").with_source(error)),
        }
    }

    async fn delete(&self, name: &LockName) -> Result<bool, SetupError> {
        let digits: String = name.as_str().bytes().map(|b| format!("{b:02x}")).collect();
        let name = format!("convert_from(decode('{digits}', 'hex'), 'UTF8')");
        let delete = format!("DELETE FROM lock_records WHERE name = {name}");
        self.0.sql(&delete).await?;
        Ok(true)
    }

    async fn suffer(&self, fault: &ServerFault) -> Result<bool, SetupError> {
        let ms = Duration::from_millis;
        match fault {
            ServerFault::Kill { down_ms } => {
                self.0.kill().await?;
                tokio::time::sleep(ms(*down_ms)).await;
                self.0.restart(Data::Keep).await?;
            }
            ServerFault::Pause { for_ms } => {
                self.0.pause().await?;
                tokio::time::sleep(ms(*for_ms)).await;
                self.0.unpause().await?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}
