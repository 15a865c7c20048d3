//! The conformance suite of lock-testkit on a file.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::LockBackend;
use lock_sqlite::SqliteOptions;
use lock_testkit::SetupError;
use lock_testkit::subject::{ServedStore, ServerFault, Setup};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

fn main() -> ExitCode {
    lock_testkit::conformance::main(Sqlite)
}

struct Sqlite;

#[async_trait]
impl Setup for Sqlite {
    fn name(&self) -> String {
        "sqlite".to_owned()
    }

    async fn store(&self) -> Result<Box<dyn ServedStore>, SetupError> {
        let folder = TempDir::new().map_err(|e| failed("make a folder", e))?;
        Ok(Box::new(File(folder)))
    }
}

/// A file in a folder that goes with it.
struct File(TempDir);

#[async_trait]
impl ServedStore for File {
    async fn connect(&self, _: Option<SocketAddr>) -> Result<Arc<dyn LockBackend>, SetupError> {
        // Many cases share the file, and a flush may take a loaded machine long.
        let opened = async {
            SqliteOptions::at(self.0.path().join("locks.db"))?
                .busy_timeout(Duration::from_secs(60))
                .connect()
                .await
        }
        .await;
        Ok(Arc::new(opened.map_err(|e| failed("open the file", e))?))
    }

    /// There is no server that could be killed; but the file stands still for everybody while a
    /// process that is stopped has it in use.
    async fn suffer(&self, fault: &ServerFault) -> Result<bool, SetupError> {
        let ServerFault::Pause { for_ms } = fault else {
            return Ok(false);
        };
        self.pause(Duration::from_millis(*for_ms))
            .await
            .map_err(|e| failed("keep the file in use", e))?;
        Ok(true)
    }
}

impl File {
    #[expect(
        clippy::disallowed_methods,
        reason = "the time for which the file stands still is the plan's"
    )]
    async fn pause(&self, length: Duration) -> Result<(), sqlx::Error> {
        let mut connection = SqliteConnectOptions::new()
            .filename(self.0.path().join("locks.db"))
            .busy_timeout(Duration::from_secs(20))
            .connect()
            .await?;
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut connection)
            .await?;
        tokio::time::sleep(length).await;
        sqlx::query("ROLLBACK").execute(&mut connection).await?;
        Ok(())
    }
}

fn failed(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> SetupError {
    SetupError::new(format!("cannot {what}")).with_source(error)
}
