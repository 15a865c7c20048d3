//! The file: where it may lie, how it is made, and what is recognised as ours.
//!
//! # Invariants
//! 1. This process never opens and closes a database file but through SQLite: closing any descriptor
//!    of a file drops the locks that the process has on it (POSIX), and with them SQLite's.
//! 2. Nothing of a file that is not ours is changed.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use lock_core::{Entropy, SystemEntropy};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};

use crate::config::SqliteOptions;
use crate::error::{Failure, Phase};

const SCHEMA: &str = include_str!("schema.sql");

/// `PRAGMA application_id`: "lock".
const APPLICATION_ID: i32 = 0x6c6f_636b;

/// `PRAGMA user_version`: the version of the tables.
const VERSION: i32 = 1;

/// For how long SQLite itself waits for others, in its own thread; the rest of the wait is ours.
const BUSY_TIMEOUT: Duration = Duration::from_millis(5);

/// Which file it is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    /// Whether the file at the path is still this one: who opens it now must see the same locks.
    pub(crate) fn check(self, path: &Path, at: &str) -> Result<(), Failure> {
        match Self::of(path) {
            Ok(identity) if identity == self => Ok(()),
            Ok(_) => Err(Failure::unavailable(format!(
                "{at} was replaced by another file while it was in use; it is opened anew"
            ))),
            Err(e) => Err(Failure::unavailable(format!(
                "{at} was deleted while it was in use; it is made anew"
            ))
            .because(e)),
        }
    }
}

/// Opens the file, which is made if there is none, and sees to it that its tables are ours.
pub(crate) async fn open(
    options: &SqliteOptions,
    at: &str,
) -> Result<(SqliteConnection, Identity), Failure> {
    let path = &options.path;
    check_place(options, at)?;
    make(path, at)?;
    let before = Identity::of(path).map_err(|e| Failure::file(e, &format!("cannot see {at}")))?;
    let failed = |e| Failure::sqlite(e, at, Phase::Opening);
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        // Every acknowledged step is on the disk: a commit in WAL mode is one sync of the log.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .thread_name(|_| "lock-sqlite".to_owned())
        .disable_statement_logging()
        .connect()
        .await
        .map_err(failed)?;
    before.check(path, at)?;
    let is_new = !is_ours(&mut connection, at).await?;
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode = WAL")
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    if mode != "wal" {
        return Err(Failure::unsupported(format!(
            "{at} lies where SQLite has no write-ahead log, only '{mode}'; choose a path on a local disk"
        )));
    }
    if is_new {
        make_tables(&mut connection, at).await?;
    }
    Ok((connection, before))
}

/// Looks at the folder before anything is made in it.
fn check_place(options: &SqliteOptions, at: &str) -> Result<(), Failure> {
    let path = &options.path;
    let folder = path.parent().unwrap_or(path);
    let shown = folder.display();
    match fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            return Err(Failure::invalid(format!(
                "{shown} is not a folder, so {at} cannot lie in it"
            )));
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(Failure::invalid(format!(
                "the folder {shown} does not exist; make it, or choose another path"
            )));
        }
        Err(e) => return Err(Failure::file(e, &format!("cannot see the folder {shown}"))),
    }
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(Failure::invalid(format!(
            "{at} is not a regular file; choose another path"
        )));
    }
    match network(folder) {
        Some(kind) if !options.allow_network_file_system => Err(Failure::unsupported(format!(
            "{at} lies on a network file system ({kind}), on which SQLite's locks are not to be \
             relied on; choose a path on a local disk"
        ))),
        _ => Ok(()),
    }
}

/// Makes an empty file that only its owner may read and write; SQLite gives the files beside it the
/// same permissions. It is made under another name, so that nobody has it open when it is closed here.
fn make(path: &Path, at: &str) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    let mut random = [0; 8];
    SystemEntropy.fill(&mut random);
    let mut new = path.as_os_str().to_owned();
    new.push(format!("-new-{:016x}", u64::from_le_bytes(random)));
    let made = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .and_then(|file| {
            drop(file);
            let linked = fs::hard_link(&new, path);
            fs::remove_file(&new)?;
            linked
        });
    match made {
        // Another process was faster: its file is as good.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(|e| Failure::file(e, &format!("cannot make {at}"))),
    }
}

/// Whether the tables are there; an error if the file belongs to somebody else.
async fn is_ours(connection: &mut SqliteConnection, at: &str) -> Result<bool, Failure> {
    let statement = "SELECT a.application_id, v.user_version, (SELECT count(*) FROM sqlite_schema) \
         FROM pragma_application_id AS a, pragma_user_version AS v";
    let (application, version, tables): (i32, i32, i64) = sqlx::query_as(statement)
        .fetch_one(&mut *connection)
        .await
        .map_err(|e| Failure::sqlite(e, at, Phase::Opening))?;
    if application == 0 && version == 0 && tables == 0 {
        return Ok(false);
    }
    if application != APPLICATION_ID {
        return Err(Failure::invalid(format!(
            "{at} is the database of another application; choose another path"
        )));
    }
    if version != VERSION {
        return Err(Failure::invalid(format!(
            "{at} has tables of version {version}, and this library knows version {VERSION}; use the \
             library that made it, or delete the file while no process uses it"
        )));
    }
    Ok(true)
}

async fn make_tables(connection: &mut SqliteConnection, at: &str) -> Result<(), Failure> {
    let failed = |e| Failure::sqlite(e, at, Phase::Opening);
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    // Another process may have been faster.
    if !is_ours(connection, at).await? {
        sqlx::raw_sql(SCHEMA)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        let header =
            format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};");
        sqlx::raw_sql(sqlx::AssertSqlSafe(header))
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    sqlx::query("COMMIT")
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    Ok(())
}

/// What network file system the folder lies on, if any.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn network(folder: &Path) -> Option<&'static str> {
    // An unknown one is taken for local: SQLite says so itself if it has no shared memory there.
    let status = rustix::fs::statfs(folder).ok()?;
    // The width of the type differs between machines; the magic numbers have 32 bits.
    let magic = u32::try_from(i128::from(status.f_type) & 0xffff_ffff).ok()?;
    network_kind(magic)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn network(_: &Path) -> Option<&'static str> {
    None
}

/// By the magic numbers of statfs(2).
#[cfg_attr(
    not(any(target_os = "linux", target_os = "android")),
    expect(dead_code, reason = "other systems have no such numbers")
)]
fn network_kind(magic: u32) -> Option<&'static str> {
    match magic {
        0x6969 => Some("NFS"),
        0x517b | 0xfe53_4d42 | 0xff53_4d42 => Some("SMB"),
        0x0102_1997 => Some("9p"),
        0x6573_5546 => Some("FUSE"),
        0x00c3_6400 => Some("Ceph"),
        0x5346_414f | 0x6b41_4653 => Some("AFS"),
        0x7375_7245 => Some("Coda"),
        0x0bd0_0bd0 => Some("Lustre"),
        0x0116_1970 => Some("GFS2"),
        0x7461_636f => Some("OCFS2"),
        0x4750_4653 => Some("GPFS"),
        0x1980_0202 => Some("BeeGFS"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
