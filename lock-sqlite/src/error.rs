//! What failed, in the words of `lock-core`; the only file that looks into a [`sqlx::Error`].
//!
//! # Invariants
//! 1. Until COMMIT was asked for nothing is applied: a transaction that is left is rolled back.
//! 2. Where COMMIT failed otherwise than because others use the file, the effect is `Unknown`: the
//!    frames of the transaction may stand in the log all the same.

use std::time::Duration;

use lock_core::{BoxError, Effect, Error, ErrorKind};

/// An [`Error`] in the making, and what the connection is good for after it.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: ErrorKind,
    effect: Effect,
    message: String,
    source: Option<BoxError>,
    /// Another connection holds the lock that was wanted: try again.
    pub(crate) busy: bool,
    /// It is about one row: the transaction may go on.
    pub(crate) of_one_row: bool,
}

/// What SQLite was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Committing,
    Opening,
    Stepping,
}

// SQLite's primary result codes: <https://www.sqlite.org/rescode.html>.
const PERM: i32 = 3;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NOMEM: i32 = 7;
const READONLY: i32 = 8;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const TOOBIG: i32 = 18;
const NOTADB: i32 = 26;

impl Failure {
    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            effect: Effect::NotApplied,
            message: message.into(),
            source: None,
            busy: false,
            of_one_row: false,
        }
    }

    /// What was given is not what it must be, or the file is not.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// The file system refused us.
    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Denied, message)
    }

    /// This machine or this build cannot do it.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// The file cannot be used now.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// A defect here.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        let mut failure = Self::new(ErrorKind::Internal, message);
        failure.effect = Effect::Unknown;
        failure
    }

    /// Others kept the file for all of the time.
    pub(crate) fn locked_out(at: &str, within: Duration) -> Self {
        Self::unavailable(format!(
            "{at} was in use by others for {} ms; is a process stopped that writes to it?",
            within.as_millis()
        ))
    }

    /// A row holds what this library does not write.
    pub(crate) fn spoilt(what: &str) -> Self {
        let mut failure = Self::invalid(format!(
            "its row holds {what} that this library does not write; delete the row by hand once \
             nobody uses the lock"
        ));
        failure.of_one_row = true;
        failure
    }

    pub(crate) fn because(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Why the file system refused something that has to do with the file.
    pub(crate) fn file(error: std::io::Error, what: &str) -> Self {
        use std::io::ErrorKind as Io;
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "what else the file system says is in the source"
        )]
        let failure = match error.kind() {
            Io::PermissionDenied => Self::denied(format!(
                "{what}: permission denied; give this user the right to write there, or choose \
                 another path"
            )),
            Io::ReadOnlyFilesystem => Self::denied(format!(
                "{what}: the file system is mounted read-only; choose another path"
            )),
            Io::StorageFull | Io::QuotaExceeded => {
                Self::unavailable(format!("{what}: the disk is full; make room on it"))
            }
            _ => Self::unavailable(what.to_owned()),
        };
        failure.because(error)
    }

    /// Why SQLite failed.
    pub(crate) fn sqlite(error: sqlx::Error, at: &str, phase: Phase) -> Self {
        let Some(code) = primary_code(&error) else {
            return Self::driver(error, at, phase);
        };
        let mut failure = match code {
            BUSY | LOCKED => Self {
                busy: true,
                ..Self::unavailable(format!("{at} is in use by others"))
            },
            READONLY | PERM => Self::denied(format!(
                "{at} cannot be written by this user; give it the right to write the file and its \
                 folder, or choose another path"
            )),
            CANTOPEN => Self::denied(format!(
                "{at} or a file beside it cannot be opened; may this user write the folder, and are \
                 FILE-wal and FILE-shm of the same user?"
            )),
            NOTADB => Self::invalid(format!(
                "{at} is not an SQLite database; choose another path, or delete the file"
            )),
            CORRUPT => Self::invalid(format!(
                "{at} is damaged; put a backup in its place, or delete it while no process uses it"
            )),
            FULL => Self::unavailable(format!(
                "the disk is full on which {at} lies; make room on it"
            )),
            TOOBIG => Self::invalid("the value is larger than SQLite stores in one row".to_owned()),
            NOMEM => Self::unavailable("SQLite found no memory".to_owned()),
            IOERR => Self::unavailable(format!("reading or writing {at} failed")),
            _ => Self::invalid(format!("SQLite refused a statement on {at}")),
        };
        // Before it wrote anything. What fails later, such as the sync, may have reached the log.
        let definite = matches!(code, BUSY | LOCKED);
        if phase == Phase::Committing && !definite {
            failure.effect = Effect::Unknown;
        }
        failure.because(error)
    }

    fn driver(error: sqlx::Error, at: &str, phase: Phase) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the enum is non-exhaustive, and the source tells the rest"
        )]
        let mut failure = match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                Self::spoilt("a value of another type")
            }
            _ => Self::unavailable(format!("the connection to {at} ended")),
        };
        if phase == Phase::Committing {
            failure.effect = Effect::Unknown;
        }
        failure.because(error)
    }
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let error = Self::new(failure.kind, failure.message).with_effect(failure.effect);
        match failure.source {
            Some(source) => error.with_driver_source(source),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests;
