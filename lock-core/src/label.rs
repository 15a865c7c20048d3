//! [`Label`]: who holds a lock, for the humans who ask.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::name::write_escaped;

/// A text about the holder, stored with the lease and shown by `inspect`; it decides nothing.
///
/// At most [`Label::MAX_BYTES`] bytes. `Display` escapes control characters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Label(Arc<str>);

impl Label {
    /// The longest label, in bytes of UTF-8.
    pub const MAX_BYTES: usize = 256;

    /// Checks a label.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if it is longer than [`Label::MAX_BYTES`].
    pub fn new(text: impl AsRef<str>) -> Result<Self, Error> {
        let text = text.as_ref();
        if text.len() > Self::MAX_BYTES {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "a holder's label is at most {} bytes long, and this one has {}",
                    Self::MAX_BYTES,
                    text.len()
                ),
            ));
        }
        Ok(Self(Arc::from(text)))
    }

    /// The label of this process: `host pid 4711`.
    #[must_use]
    pub fn of_this_process() -> Self {
        let system = rustix::system::uname();
        let host = system.nodename().to_string_lossy();
        // A host name has at most 64 bytes on Linux and 255 elsewhere; cut what could not fit.
        let host: String = host.chars().take(48).collect();
        Self(Arc::from(format!("{host} pid {}", std::process::id())))
    }

    /// The text as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(&self.0, f)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
