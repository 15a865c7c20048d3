//! [`LockName`]: what the user calls a lock, checked once at the edge.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};

/// The name of a lock: 1 to [`LockName::MAX_BYTES`] bytes of UTF-8, any characters.
///
/// Two names are the same lock only if their bytes are equal: nothing is folded, trimmed or hashed.
/// Braces, spaces, newlines and NUL are allowed; a backend that cannot store one of them escapes it.
/// Cloning is cheap.
///
/// # Examples
/// ```
/// use lock_core::LockName;
///
/// let name = LockName::new("stock/sku-17")?;
/// assert_eq!(name.as_str(), "stock/sku-17");
/// assert!(LockName::new("").is_err());
/// # Ok::<(), lock_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockName(Arc<str>);

impl LockName {
    /// The longest name, in bytes of UTF-8.
    pub const MAX_BYTES: usize = 512;

    /// Checks a name.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the name is empty or longer than [`LockName::MAX_BYTES`].
    pub fn new(name: impl AsRef<str>) -> Result<Self, Error> {
        let name = name.as_ref();
        if name.is_empty() {
            return Err(Error::new(
                ErrorKind::Invalid,
                "a lock name must not be empty",
            ));
        }
        if name.len() > Self::MAX_BYTES {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "a lock name is at most {} bytes long, and this one has {}; \
                     use a digest of it as the name",
                    Self::MAX_BYTES,
                    name.len()
                ),
            ));
        }
        Ok(Self(Arc::from(name)))
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Shows control characters escaped, so that a hostile name cannot write on a terminal or a log.
impl fmt::Display for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(&self.0, f)
    }
}

impl fmt::Debug for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// Writes a text that came from elsewhere with its control characters escaped.
pub(crate) fn write_escaped(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for c in text.chars() {
        if c.is_control() {
            write!(f, "{}", c.escape_default())?;
        } else {
            fmt::Write::write_char(f, c)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
