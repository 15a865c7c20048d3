//! A file of its own for a test, in a folder that goes with it.

use std::path::{Path, PathBuf};

use lock_sqlite::{SqliteBackend, SqliteOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};
use tempfile::TempDir;

pub(crate) struct Locks {
    folder: TempDir,
}

impl Locks {
    pub(crate) fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("locks.db")
    }

    pub(crate) fn options(&self) -> SqliteOptions {
        SqliteOptions::at(self.path()).unwrap()
    }

    pub(crate) async fn backend(&self) -> SqliteBackend {
        self.options().connect().await.unwrap()
    }

    /// A connection of another hand.
    pub(crate) async fn connection(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.path());
        options.connect().await.unwrap()
    }

    /// Does something to the file by another hand.
    pub(crate) async fn sql(&self, statement: &str) {
        let mut connection = self.connection().await;
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&mut connection)
            .await
            .unwrap();
    }

    /// Asks the file for a number.
    pub(crate) async fn number(&self, query: &str) -> i64 {
        let mut connection = self.connection().await;
        sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
            .fetch_one(&mut connection)
            .await
            .unwrap()
    }

    /// The names in the folder of the wake-ups.
    pub(crate) fn ears(&self) -> Vec<String> {
        let mut folder = self.path().into_os_string();
        folder.push("-wakeups");
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}
