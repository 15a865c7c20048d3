//! [`Shape`]: how a value travels and begins.

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

use crate::codec::Codec;
use crate::error::{Error, ErrorKind};
use crate::state::{FormatTag, State};

/// How a value travels and begins.
pub(crate) struct Shape<T> {
    codec: Box<dyn Codec<T>>,
    initial: Arc<dyn Fn() -> T + Send + Sync>,
    /// Whether the lock guards no value: its state is neither written nor read.
    pub(crate) plain: bool,
}

impl<T> Shape<T> {
    pub(crate) fn new(
        codec: Box<dyn Codec<T>>,
        initial: Arc<dyn Fn() -> T + Send + Sync>,
        plain: bool,
    ) -> Self {
        Self {
            codec,
            initial,
            plain,
        }
    }
}

impl<T: 'static> Shape<T> {
    /// Updates of this kind may share a commit: their closures take the same value in memory.
    pub(crate) fn kind(&self) -> UpdateKind {
        UpdateKind(TypeId::of::<T>(), self.codec.format())
    }

    /// The value of a stored state, or the first value where there is none.
    pub(crate) fn decode(&self, state: Option<&State>) -> Result<T, Error> {
        let Some(state) = state.filter(|_| !self.plain) else {
            return Ok((self.initial)());
        };
        if state.format() != self.codec.format() {
            return Err(Error::new(
                ErrorKind::State,
                format!(
                    "the stored value was written as {}, and this mutex reads {}; \
                     it was left as it is",
                    state.format(),
                    self.codec.format()
                ),
            ));
        }
        self.codec.decode(state.bytes()).map_err(|e| {
            Error::new(
                ErrorKind::State,
                "the stored value does not decode; it was left as it is, \
                 so migrate it or use the type that wrote it",
            )
            .with_source(e)
        })
    }

    /// The stored form of a value, within the bound.
    pub(crate) fn encode(&self, value: &T, max_bytes: usize) -> Result<State, Error> {
        let bytes = self.codec.encode(value).map_err(|e| {
            Error::new(
                ErrorKind::State,
                "the value does not encode; nothing was written",
            )
            .with_source(e)
        })?;
        if bytes.len() > max_bytes {
            return Err(crate::held::too_large(bytes.len(), max_bytes));
        }
        Ok(State::new(self.codec.format(), bytes))
    }
}

impl<T> fmt::Debug for Shape<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shape")
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}

/// What the closures of two updates must have in common to run on one value in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UpdateKind(TypeId, FormatTag);
