//! Clients by URL, on each store.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod refusals;
mod renewal_thread;
mod table;
mod trees;
mod urls;

use std::path::PathBuf;

use tempfile::TempDir;

/// A file of its own, and its URL.
struct File {
    folder: TempDir,
}

impl File {
    fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("locks.db")
    }

    fn url(&self, query: &str) -> String {
        format!("sqlite:{}{query}", self.path().display())
    }
}
