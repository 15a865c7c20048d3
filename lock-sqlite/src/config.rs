//! [`SqliteOptions`]: where the file is and how to treat it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lock_core::{Error, ErrorKind};

use crate::backend::SqliteBackend;
use crate::error::Failure;

/// Where the file of the locks is, and how this client treats it.
///
/// # Examples
/// ```
/// use lock_sqlite::SqliteOptions;
///
/// let options = SqliteOptions::new("sqlite:/var/lib/shop/locks.db")?.namespace("shop");
/// assert!(SqliteOptions::new("sqlite::memory:").is_err());
/// assert!(SqliteOptions::new("sqlite:locks.db?namspace=shop").is_err());
/// # Ok::<(), lock_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// Absolute.
    pub(crate) path: PathBuf,
    pub(crate) namespace: String,
    pub(crate) claim_time: Duration,
    pub(crate) busy_timeout: Duration,
    pub(crate) wake_ups: bool,
    pub(crate) allow_network_file_system: bool,
}

/// The longest namespace, in bytes.
const NAMESPACE_MAX: usize = 128;

impl SqliteOptions {
    /// Options for the file at this URL, `sqlite:PATH` or `sqlite://PATH`; nothing is opened yet.
    ///
    /// The path is taken as it stands, without percent signs decoded, and is relative to the working
    /// folder unless it begins with a slash. A query is refused rather than ignored; for a path that
    /// holds a question mark there is [`at`](Self::at).
    ///
    /// # Errors
    /// `Invalid` if it is no such URL, or asks for a database in memory.
    pub fn new(url: &str) -> Result<Self, Error> {
        let Some(path) = url.strip_prefix("sqlite:") else {
            return Err(Failure::invalid(
                "not an SQLite URL; it looks like sqlite:locks.db or sqlite:/var/lib/shop/locks.db",
            )
            .into());
        };
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.contains(['?', '#']) {
            return Err(Failure::invalid(
                "an SQLite URL has no query (?…) or fragment (#…) here; use the methods of \
                 SqliteOptions",
            )
            .into());
        }
        if path == ":memory:" {
            return Err(Failure::invalid(
                "a database in memory is seen by no other process; use the memory backend",
            )
            .into());
        }
        Self::at(path)
    }

    /// Options for the file at this path, relative to the present working folder; nothing is opened
    /// yet.
    ///
    /// # Errors
    /// `Invalid` if the path is empty, is not UTF-8 or holds a NUL byte, which SQLite cannot open.
    pub fn at(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        if path.to_str().is_none_or(|text| text.contains('\0')) {
            return Err(Failure::invalid(
                "the path of the file must be UTF-8 without NUL bytes: SQLite opens no other",
            )
            .into());
        }
        if path.file_name().is_none() {
            return Err(Failure::invalid(format!(
                "the path '{}' names no file; give one such as locks.db",
                path.display()
            ))
            .into());
        }
        // Absolute, so that a change of the working folder does not lead to another file.
        let path = std::path::absolute(path)
            .map_err(|e| Failure::file(e, "cannot tell the working folder"))?;
        Ok(Self {
            path,
            namespace: String::new(),
            claim_time: Duration::from_millis(500),
            busy_timeout: Duration::from_secs(5),
            wake_ups: true,
            allow_network_file_system: false,
        })
    }

    /// Keeps the names of this client apart from those of other namespaces in the same file: at most
    /// 128 bytes, any characters. The default is empty, a namespace like any other.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// For how long a release keeps the lock for the first in line: 10 ms to 60 s, and 500 ms by
    /// default, some hundred times what a waiter takes to answer a wake-up. A waiter that is stopped
    /// costs the next one this time; one that died costs nothing.
    #[must_use]
    pub fn claim_time(mut self, length: Duration) -> Self {
        self.claim_time = length;
        self
    }

    /// For how long a step waits while other processes write: 1 ms to 60 s, and 5 s by default, which
    /// is some hundred steps of others on a slow disk. After it nothing was done. A step that nobody
    /// waits for any more ends sooner.
    #[must_use]
    pub fn busy_timeout(mut self, length: Duration) -> Self {
        self.busy_timeout = length;
        self
    }

    /// Whether this client is woken by a FIFO in the folder `FILE-wakeups`: so by default on Linux
    /// and Android, and never elsewhere. Without it waiters poll and do not stand in line; releases
    /// wake others all the same.
    #[must_use]
    pub fn wake_ups(mut self, wanted: bool) -> Self {
        self.wake_ups = wanted;
        self
    }

    /// Accepts a file on NFS, SMB, 9p, FUSE and the like, which is refused otherwise.
    ///
    /// The danger: SQLite's locks are advisory locks of the file system. Where those do not hold
    /// between machines, or memory is not shared, two holders can coexist (C1 is void) and the file
    /// can be damaged. A FUSE file system of one machine may be sound; ask who made it.
    #[must_use]
    pub fn danger_allow_network_file_system(mut self) -> Self {
        self.allow_network_file_system = true;
        self
    }

    /// Opens the file, makes it where there is none, and refuses one on which the guarantees would
    /// not hold.
    ///
    /// # Errors
    /// - `Invalid` if an option is out of bounds, the folder does not exist, or the file is no SQLite
    ///   database, one of another application, or of another version of this library.
    /// - `Denied` if this user may not read and write the file and its folder.
    /// - `Unsupported` if the file lies on a network file system.
    /// - `Unavailable` if others kept it in use for longer than the busy timeout, or the disk is full.
    /// # Cancel safety
    /// Safe to drop: the file may be made, and nothing else is left behind.
    pub async fn connect(self) -> Result<SqliteBackend, Error> {
        SqliteBackend::with_options(self).await
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let bounds = [
            ("claim time", self.claim_time, 10),
            ("busy timeout", self.busy_timeout, 1),
        ];
        for (what, length, least_ms) in bounds {
            if !(least_ms..=60_000).contains(&length.as_millis()) {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!(
                        "the {what} lies between {least_ms} ms and 60 s, and this one is {length:?}"
                    ),
                ));
            }
        }
        if self.namespace.len() > NAMESPACE_MAX {
            return Err(Failure::invalid(format!(
                "a namespace is at most {NAMESPACE_MAX} bytes long, and this one has {}",
                self.namespace.len()
            ))
            .into());
        }
        Ok(())
    }

    /// The path as messages show it: a control character in it cannot write on a terminal.
    pub(crate) fn shown(&self) -> String {
        let text = self.path.display().to_string();
        text.chars().fold(String::new(), |mut shown, c| {
            if c.is_control() {
                shown.extend(c.escape_default());
            } else {
                shown.push(c);
            }
            shown
        })
    }
}
