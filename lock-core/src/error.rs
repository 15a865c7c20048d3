//! [`Error`], its [`ErrorKind`] and the [`Effect`] of what failed.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::answer::LossCause;
use crate::name::LockName;

/// A boxed error of any type: what closures and codecs may return.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// What went wrong, in one word; read [`Error::effect`] beside it.
///
/// A refused attempt is no error: `try_lock` answers it with `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The closure of an update returned an error. Nothing is held and nothing was written; the
    /// closure's error is the source ([`Error::downcast_source`]).
    Aborted,
    /// The client was closed. Nothing is held; make a new client if there is still work.
    Closed,
    /// The store refused us: credentials or privileges. Nothing is held; fix them.
    Denied,
    /// A defect in this library or a backend. What is held is unknown; please report it.
    Internal,
    /// A name, an option, a URL or the state of the store is not what it must be. Nothing is held;
    /// the message states the bound or the remedy.
    Invalid,
    /// The lease ended before the call. Nothing is held; stop touching the resource at once.
    /// [`Error::loss`] tells the cause.
    LeaseLost,
    /// The stored value does not decode, or the new value is over its bound. On a decode failure
    /// nothing is held and the value is untouched; fix or migrate it.
    State,
    /// The caller's time was up before the lock was free. Nothing is held; come back later. Where
    /// [`Error::effect`] is `Unknown`, a reply is missing and a grant may yet have to be undone,
    /// which happens in the background.
    Timeout,
    /// The store did not answer, or answered that it cannot serve. Retries were spent already; ask
    /// [`Error::effect`], back off, and look at the store.
    Unavailable,
    /// The store cannot do what was asked. Nothing is held; choose another version or backend.
    Unsupported,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aborted => "aborted",
            Self::Closed => "closed",
            Self::Denied => "denied",
            Self::Internal => "internal",
            Self::Invalid => "invalid",
            Self::LeaseLost => "lease lost",
            Self::State => "state",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Unsupported => "unsupported",
        })
    }
}

/// Whether what failed may have taken effect at the store (Jepsen's *fail* and *info*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// It did not and it will not.
    NotApplied,
    /// It may have, or it may yet: the request was sent and no answer came.
    Unknown,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotApplied => "not applied",
            Self::Unknown => "unknown",
        })
    }
}

/// The one error of every fallible call.
///
/// `Display` says what was attempted on which name, what happened and what to do, without the cause;
/// the cause is in [`source`](StdError::source). Credentials and state bytes are in neither.
///
/// # Examples
/// ```
/// use lock_core::{Effect, ErrorKind, LockName};
///
/// let error = LockName::new("").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Invalid);
/// assert_eq!(error.effect(), Effect::NotApplied);
/// assert_eq!(error.to_string(), "a lock name must not be empty");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    effect: Effect,
    message: String,
    operation: Option<&'static str>,
    name: Option<LockName>,
    loss: Option<LossCause>,
    effort: Option<Effort>,
    source: Option<BoxError>,
}

/// How much was tried before the error was returned.
#[derive(Clone, Copy)]
struct Effort {
    attempts: u32,
    waited: Duration,
}

impl Error {
    /// An error of this kind; the effect is `NotApplied` until [`with_effect`](Self::with_effect)
    /// says otherwise.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            effect: Effect::NotApplied,
            message: message.into(),
            operation: None,
            name: None,
            loss: None,
            effort: None,
            source: None,
        }))
    }

    /// Sets whether what failed may have taken effect.
    #[must_use]
    pub fn with_effect(mut self, effect: Effect) -> Self {
        self.0.effect = effect;
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds what a driver said as the cause. Drivers often say what their own cause says, and name it
    /// as their cause besides: it is left out then, so that a chain tells nothing twice.
    #[must_use]
    pub fn with_driver_source(self, source: impl Into<BoxError>) -> Self {
        self.with_source(ToldOnce(source.into()))
    }

    /// Says which operation on which lock failed, unless that is said already.
    #[must_use]
    pub fn in_operation(mut self, operation: &'static str, name: &LockName) -> Self {
        self.0.operation.get_or_insert(operation);
        self.0.name.get_or_insert_with(|| name.clone());
        self
    }

    pub(crate) fn with_effort(mut self, attempts: u32, waited: Duration) -> Self {
        self.0.effort = Some(Effort { attempts, waited });
        self
    }

    /// Makes the effect unknown if an earlier reply is missing.
    pub(crate) fn or_unknown(self, unknown: bool) -> Self {
        if unknown {
            self.with_effect(Effect::Unknown)
        } else {
            self
        }
    }

    /// The error of a holder whose lease was lost in this way.
    #[must_use]
    pub fn lease_lost(cause: LossCause) -> Self {
        let mut error = Self::new(ErrorKind::LeaseLost, format!("the lease was lost: {cause}"));
        error.0.loss = Some(cause);
        error
    }

    /// The same error for one more of those whom it concerns.
    pub(crate) fn shared(error: &Arc<Self>) -> Self {
        let inner = &*error.0;
        Self(Box::new(Inner {
            kind: inner.kind,
            effect: inner.effect,
            message: inner.message.clone(),
            operation: inner.operation,
            name: inner.name.clone(),
            loss: inner.loss,
            effort: inner.effort,
            source: inner
                .source
                .is_some()
                .then(|| Box::new(SharedSource(Arc::clone(error))).into()),
        }))
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether what failed may have taken effect at the store.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.0.effect
    }

    /// Which step failed: `acquire`, `commit`, …
    #[must_use]
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// The lock that it was about.
    #[must_use]
    pub fn name(&self) -> Option<&LockName> {
        self.0.name.as_ref()
    }

    /// How the lease was lost, where [`kind`](Self::kind) is `LeaseLost`.
    #[must_use]
    pub fn loss(&self) -> Option<LossCause> {
        self.0.loss
    }

    /// How many times the store was asked before the error was returned, where that was counted.
    #[must_use]
    pub fn attempts(&self) -> Option<u32> {
        self.0.effort.map(|e| e.attempts)
    }

    /// Whether the same request, sent again, may succeed soon.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.kind == ErrorKind::Unavailable
    }

    /// The source, if it is an `E`: the way to the error that an update's closure returned.
    #[must_use]
    pub fn downcast_source<E: StdError + 'static>(&self) -> Option<&E> {
        self.0.source.as_deref().and_then(|s| s.downcast_ref())
    }
}

/// The source of an error that several have.
#[derive(Debug)]
struct SharedSource(Arc<Error>);

impl fmt::Display for SharedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.source() {
            Some(source) => fmt::Display::fmt(source, f),
            None => Ok(()),
        }
    }
}

impl StdError for SharedSource {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source().and_then(StdError::source)
    }
}

/// The error of a request that only reads: it has no effect, whether or not it was answered.
pub(crate) fn of_a_read(error: Error) -> Error {
    error.with_effect(Effect::NotApplied)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        match (inner.operation, &inner.name) {
            (Some(operation), Some(name)) => write!(f, "cannot {operation} lock '{name}': ")?,
            (Some(operation), None) => write!(f, "cannot {operation}: ")?,
            (None, Some(name)) => write!(f, "lock '{name}': ")?,
            (None, None) => {}
        }
        f.write_str(&inner.message)?;
        if inner.effect == Effect::Unknown {
            f.write_str("; it may have taken effect")?;
        }
        if let Some(Effort { attempts, waited }) = inner.effort {
            let ms = waited.as_millis();
            match attempts {
                0 => write!(f, " (after {ms} ms; the store was not asked)")?,
                1 => write!(f, " (1 attempt in {ms} ms)")?,
                _ => write!(f, " ({attempts} attempts in {ms} ms)")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug
            .field("kind", &self.0.kind)
            .field("effect", &self.0.effect);
        debug.field("message", &self.to_string());
        if let Some(cause) = self.0.loss {
            debug.field("loss", &cause);
        }
        if let Some(source) = &self.0.source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

/// A driver's error without those of its causes whose words it repeats.
#[derive(Debug)]
struct ToldOnce(BoxError);

impl fmt::Display for ToldOnce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for ToldOnce {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let said = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            if !said.contains(&error.to_string()) {
                return Some(error);
            }
            cause = error.source();
        }
        None
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|s| s as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests;
