//! What failed, in the words of `lock-core`; the only file that looks into a [`sqlx::Error`].
//!
//! # Invariants
//! 1. An error of severity ERROR that the server sent for a statement is definite: its transaction
//!    was undone. A graver one ends the session, perhaps after the commit, and may be a pooler's word
//!    that it lost the server: the effect is `Unknown`.
//! 2. Where a statement was given to a connection and no answer came, the effect is `Unknown`.
//! 3. While connecting nothing is applied.
//! 4. No message quotes a URL.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Effect, Error, ErrorKind};
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// An [`Error`] that can be told to all who waited for the same thing.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    kind: ErrorKind,
    effect: Effect,
    message: String,
    source: Option<Arc<sqlx::Error>>,
    /// The row stayed with another transaction for longer than it was waited for.
    pub(crate) pinned: bool,
}

/// Where statements go, for messages.
#[derive(Clone, Debug)]
pub(crate) struct At {
    /// The server, without user and password.
    pub(crate) server: String,
    /// The table as statements name it.
    pub(crate) records: String,
    pub(crate) migrations: String,
}

impl Failure {
    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            effect: Effect::NotApplied,
            message: message.into(),
            source: None,
            pinned: false,
        }
    }

    /// What was given is not what it must be, or the server is not.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// The server, or this build, cannot do it.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// The server cannot serve now; nothing was sent, or it was undone.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// Another transaction kept its row for longer than it was waited for.
    pub(crate) fn pinned() -> Self {
        let mut failure = Self::unavailable(
            "another transaction keeps its row: a fence, lock_in, or a session that hangs",
        );
        failure.pinned = true;
        failure
    }

    /// The server answered something that no statement of ours returns.
    pub(crate) fn unexpected(what: &str) -> Self {
        let mut failure = Self::new(
            ErrorKind::Internal,
            format!(
                "the server answered {what} in a form that no statement of this library returns"
            ),
        );
        failure.effect = Effect::Unknown;
        failure
    }

    /// A column could not be read.
    pub(crate) fn unreadable(error: sqlx::Error, column: &str) -> Self {
        let mut failure = Self::unexpected(&format!("the column {column}"));
        failure.source = Some(Arc::new(error));
        failure
    }

    /// No answer came within the bound.
    pub(crate) fn no_answer(at: &At, within: Duration) -> Self {
        let mut failure = Self::unavailable(format!(
            "{} did not answer within {} ms",
            at.server,
            within.as_millis()
        ));
        failure.effect = Effect::Unknown;
        failure
    }

    /// No connection was free or could be made within the bound; nothing was sent.
    pub(crate) fn no_connection(at: &At, within: Duration) -> Self {
        Self::unavailable(format!(
            "no connection to {} was free or could be made within {} ms; does the pool have enough \
             for its other users, and is a PostgreSQL running there?",
            at.server,
            within.as_millis()
        ))
    }

    /// Why no connection could be had; nothing was sent.
    pub(crate) fn connecting(error: sqlx::Error, at: &At) -> Self {
        let mut failure = match error.as_database_error() {
            // A server refuses a connection by severity FATAL, and a pooler that has none to give
            // by this code.
            Some(refusal) => match refusal.code().as_deref().unwrap_or("") {
                code @ "08P01" => not_at_present(code, refusal.message(), at),
                code => by_code(code, refusal.message(), at),
            },
            None => classify(&error, at),
        };
        failure.source = Some(Arc::new(error));
        if failure.effect == Effect::Unknown {
            failure.effect = Effect::NotApplied;
            failure.message = format!(
                "cannot connect to {}; is it running, and is the address right?",
                at.server
            );
        }
        failure
    }

    /// Why a statement that was given to a connection failed.
    pub(crate) fn sending(error: sqlx::Error, at: &At) -> Self {
        let mut failure = classify(&error, at);
        failure.source = Some(Arc::new(error));
        failure
    }

    fn with_unknown_effect(mut self) -> Self {
        self.effect = Effect::Unknown;
        self
    }
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

fn classify(error: &sqlx::Error, at: &At) -> Failure {
    let server = &at.server;
    // The catch-all is wanted: the enum is non-exhaustive, and "broken" is the careful reading.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a kind that we do not know leaves the outcome unknown"
    )]
    match error {
        sqlx::Error::Database(answer) => {
            let (code, message) = (answer.code(), answer.message());
            let code = code.as_deref().unwrap_or("");
            match leaves_the_session(error) {
                true => by_code(code, message, at),
                false => ended(code, message, at),
            }
        }
        sqlx::Error::Configuration(_) => {
            Failure::invalid(format!("the options for {server} do not hold together"))
        }
        sqlx::Error::PoolTimedOut => Failure::unavailable(format!(
            "the pool of connections to {server} had none free in time"
        )),
        sqlx::Error::PoolClosed => {
            Failure::new(ErrorKind::Invalid, "the pool that was handed in is closed")
        }
        sqlx::Error::Tls(_) => Failure::unavailable(format!(
            "{server} and this client do not agree on TLS; look at sslmode and the certificates"
        )),
        sqlx::Error::Protocol(_) => Failure::unavailable(format!(
            "{server} answered what no PostgreSQL server would; if a pooler stands between, say so \
             by transaction_pooler(true)"
        ))
        .with_unknown_effect(),
        _ => Failure::unavailable(format!(
            "the connection to {server} broke before the answer came"
        ))
        .with_unknown_effect(),
    }
}

/// Whether the server undid the statement, no more and no less, so that the session goes on.
pub(crate) fn leaves_the_session(error: &sqlx::Error) -> bool {
    let answer = error
        .as_database_error()
        .and_then(|answer| answer.try_downcast_ref::<PgDatabaseError>());
    answer.is_some_and(|answer| answer.severity() == PgSeverity::Error)
}

/// The server, or a pooler in its place, ended the session: perhaps just after the commit.
fn ended(code: &str, message: &str, at: &At) -> Failure {
    Failure::unavailable(format!(
        "{} ended the session before the answer came ({code}: {message})",
        at.server
    ))
    .with_unknown_effect()
}

fn not_at_present(code: &str, message: &str, at: &At) -> Failure {
    Failure::unavailable(format!(
        "{} cannot serve at present ({code}: {message})",
        at.server
    ))
}

/// Of a statement that was undone, or of a connection that was refused.
fn by_code(code: &str, message: &str, at: &At) -> Failure {
    let At {
        server,
        records,
        migrations,
    } = at;
    match code {
        "42P01" | "3F000" => Failure::invalid(format!(
            "{server} has no table {records}; run PostgresOptions::migrate, or the statements of \
             PostgresOptions::migration_sql by your own tool"
        )),
        "42703" | "42804" | "42P10" | "42883" => Failure::invalid(format!(
            "the table {records} at {server} is not as this version of lock-postgres made it \
             ({message}); run PostgresOptions::migrate, or choose another table"
        )),
        "42501" => Failure::new(
            ErrorKind::Denied,
            format!(
                "{server} forbids it to this user ({message}); GRANT SELECT, INSERT, UPDATE, DELETE \
                 ON {records} TO the user, GRANT SELECT ON {migrations}, and GRANT USAGE on their \
                 schema"
            ),
        ),
        "28P01" | "28000" => Failure::new(
            ErrorKind::Denied,
            format!("{server} refused the user name or password; correct them in the URL"),
        ),
        "3D000" => Failure::invalid(format!(
            "{server} has no such database; create it, or correct the URL"
        )),
        "25006" => Failure::unavailable(format!("{server} {READ_ONLY}")),
        "55P03" => Failure::pinned(),
        "57014" => Failure::unavailable(format!(
            "{server} cancelled the statement; is its statement_timeout longer than the request \
             timeout?"
        )),
        "22021" | "22P05" => Failure::invalid(format!(
            "the encoding of the database at {server} has no such character ({message}); use a \
             database in UTF8, or other names and labels"
        )),
        "26000" | "42P05" | "08P01" => Failure::unsupported(format!(
            "{server} is a pooler that gives each transaction another connection ({message}); say \
             so by transaction_pooler(true)"
        )),
        "40001" | "40P01" => Failure::unavailable(format!(
            "{server} undid the statement because of another one ({message})"
        )),
        code if ["08", "53", "57", "58"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            not_at_present(code, message, at)
        }
        _ => Failure::invalid(format!(
            "{server} refused the statement ({code}: {message})"
        )),
    }
}

pub(crate) const READ_ONLY: &str =
    "is read-only: in recovery, a standby, or set so; connect to the primary";

#[cfg(test)]
mod tests;
