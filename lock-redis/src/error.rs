//! What failed, in the words of `lock-core`; the only file that looks into a [`redis::RedisError`].
//!
//! # Invariants
//! 1. An error that the server sent is definite: the step was not applied.
//! 2. Where a request was given to a connection and no answer came, the effect is `Unknown`.

use std::time::Duration;

use lock_core::{Effect, Error, ErrorKind};
use redis::RedisError;

/// An [`Error`] that can be told to all who waited for the same thing.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    kind: ErrorKind,
    effect: Effect,
    message: String,
    source: Option<RedisError>,
    /// What the connection is good for after it.
    pub(crate) aftermath: Aftermath,
}

/// What to do about the connection after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aftermath {
    /// The connection is as good as before.
    Keep,
    /// The server does not know the script: send it whole.
    MissingScript,
    /// The connection is dead, hangs, or leads to the wrong server.
    Replace,
}

impl Failure {
    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            effect: Effect::NotApplied,
            message: message.into(),
            source: None,
            aftermath: Aftermath::Keep,
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

    /// The server cannot serve now; nothing was sent.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// The server answered something that no script of ours returns.
    pub(crate) fn unexpected(what: &str) -> Self {
        let mut failure = Self::new(
            ErrorKind::Internal,
            format!("the server answered {what} in a form that no script of this library returns"),
        );
        failure.effect = Effect::Unknown;
        failure
    }

    /// No answer came within the bound.
    pub(crate) fn no_answer(at: &str, within: Duration) -> Self {
        let mut failure = Self::new(
            ErrorKind::Unavailable,
            format!("{at} did not answer within {} ms", within.as_millis()),
        );
        failure.effect = Effect::Unknown;
        failure.aftermath = Aftermath::Replace;
        failure
    }

    /// No connection stood within the bound; nothing was sent.
    pub(crate) fn not_connected(at: &str, within: Duration) -> Self {
        Self::new(
            ErrorKind::Unavailable,
            format!(
                "no connection to {at} within {} ms; is it running, is it a Redis, and is the \
                 address right?",
                within.as_millis()
            ),
        )
    }

    /// Why no connection could be made; nothing was sent.
    pub(crate) fn connecting(error: RedisError, at: &str) -> Self {
        let is_malformed = matches!(classify(&error), Class::Malformed);
        let mut failure = Self::sending(error, at);
        if failure.effect == Effect::Unknown {
            failure.effect = Effect::NotApplied;
            if !is_malformed {
                failure.message = format!(
                    "cannot connect to {at}; is it running, is it a Redis, and is the address right?"
                );
            }
        }
        failure
    }

    /// Why a request that was given to the connection failed.
    pub(crate) fn sending(error: RedisError, at: &str) -> Self {
        let mut failure = match classify(&error) {
            Class::Server(code) => server(&code, &error, at),
            Class::Client => Self::invalid(format!("the options for {at} do not hold together")),
            Class::Malformed => {
                let mut failure = Self::new(
                    ErrorKind::Unavailable,
                    format!(
                        "{at} answered what no Redis server would; is the port that of another \
                         service?"
                    ),
                );
                failure.effect = Effect::Unknown;
                failure.aftermath = Aftermath::Replace;
                failure
            }
            Class::Transport => {
                let mut failure = Self::new(
                    ErrorKind::Unavailable,
                    format!("the connection to {at} broke before the answer came"),
                );
                failure.effect = Effect::Unknown;
                failure.aftermath = Aftermath::Replace;
                failure
            }
        };
        failure.source = Some(error);
        failure
    }

    /// An error that a batch carries for one of its leases: `CODE detail`.
    pub(crate) fn of_one(text: &str, at: &str) -> Self {
        let (code, detail) = text.split_once(' ').unwrap_or((text, ""));
        by_code(code, detail, at)
    }

    /// The same, but the step may have taken effect.
    pub(crate) fn with_unknown_effect(mut self) -> Self {
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

enum Class {
    Server(String),
    Client,
    Malformed,
    Transport,
}

fn classify(error: &RedisError) -> Class {
    use redis::ErrorKind as Kind;
    // The catch-all is wanted: the enum is non-exhaustive, and "broken" is the careful reading.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a kind that we do not know leaves the outcome unknown"
    )]
    match error.kind() {
        Kind::Server(_) | Kind::Extension => {
            Class::Server(error.code().unwrap_or("ERR").to_owned())
        }
        Kind::AuthenticationFailed => Class::Server("WRONGPASS".to_owned()),
        Kind::RESP3NotSupported => Class::Server("NOPROTO".to_owned()),
        Kind::Client | Kind::InvalidClientConfig => Class::Client,
        Kind::Parse | Kind::UnexpectedReturnType => Class::Malformed,
        _ => Class::Transport,
    }
}

fn server(code: &str, error: &RedisError, at: &str) -> Failure {
    let detail = error.detail().unwrap_or("");
    // Before Redis 7 an error inside a script arrives as `ERR Error running script …: CODE …`.
    let inner = [
        "FOREIGN",
        "WRONGTYPE",
        "READONLY",
        "NOPERM",
        "OOM",
        "MISCONF",
        "NOREPLICAS",
    ]
    .into_iter()
    .find(|inner| matches!(code, "ERR" | "@user_script:") && detail.contains(inner));
    by_code(inner.unwrap_or(code), detail, at)
}

fn by_code(code: &str, detail: &str, at: &str) -> Failure {
    match code {
        "NOSCRIPT" => Failure {
            aftermath: Aftermath::MissingScript,
            ..Failure::unavailable(format!("{at} does not know the script"))
        },
        "FOREIGN" => Failure::invalid(
            "its key holds a value of another program that never expires, which is kept; if it is a \
             lock, delete that key by hand"
                .to_owned(),
        ),
        "WRONGTYPE" => Failure::invalid(wrong_type(detail)),
        "READONLY" => Failure {
            // After a failover the name of the server may lead to another one.
            aftermath: Aftermath::Replace,
            ..Failure::unavailable(format!("{at} {READ_ONLY}"))
        },
        "NOAUTH" => Failure::new(
            ErrorKind::Denied,
            format!("{at} wants a password and was given none; put it into the URL"),
        ),
        "WRONGPASS" => Failure::new(
            ErrorKind::Denied,
            format!("{at} refused the user name or password; correct them in the URL"),
        ),
        "NOPERM" => Failure::new(
            ErrorKind::Denied,
            format!(
                "the access control list (ACL) of {at} forbids it to this user; allow the keys and \
                 channels of the namespace and the commands that the documentation lists"
            ),
        ),
        "NOPROTO" => Failure::unsupported(format!(
            "{at} does not speak RESP3; it takes Redis 6.2 or Valkey and no proxy between"
        )),
        "OOM" => Failure::unavailable(format!(
            "{at} is out of memory; raise its maxmemory or remove keys"
        )),
        "LOADING" | "BUSY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "MISCONF"
        | "NOREPLICAS" | "MOVED" | "ASK" => {
            Failure::unavailable(format!("{at} cannot serve at present ({code})"))
        }
        // UNBLOCKED, an unknown command, a database number out of range: the server will not do it.
        _ => Failure::invalid(format!("{at} refused the request ({code} {detail})")),
    }
}

fn wrong_type(detail: &str) -> String {
    let held = detail.split([' ', ',']).next().unwrap_or("");
    let remedy = "not a lock; choose another name or namespace, or delete that key";
    match held {
        // The script names the type of the lock key, and of no other.
        "hash" | "list" | "set" | "stream" | "zset" => format!(
            "its lock key, the namespace and the name, holds a {held} of another program, {remedy}"
        ),
        _ => format!(
            "its record or its line ({{NAME}}:lock or {{NAME}}:line, where NAME is the namespace and \
             the name) holds a value of another type, {remedy}"
        ),
    }
}

pub(crate) const READ_ONLY: &str = "is a read-only replica; connect to the primary";

#[cfg(test)]
mod tests;
