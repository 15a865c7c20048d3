//! [`Ttl`]: how long a grant lasts.

use std::fmt;
use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// How long a grant lasts by the store's clock, in whole milliseconds.
///
/// Read it as "how long the others wait after I crash", not as "how long my work takes": a lease is
/// renewed while its guard lives.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use lock_core::Ttl;
///
/// assert_eq!(Ttl::new(Duration::from_secs(10))?.as_millis(), 10_000);
/// assert!(Ttl::new(Duration::ZERO).is_err());
/// # Ok::<(), lock_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ttl {
    millis: u64,
}

impl Ttl {
    /// The shortest: 50 ms. Below it, a pause of the scheduler already costs the lease.
    pub const MIN: Self = Self { millis: 50 };
    /// The longest: 24 h. It is the time that a crash keeps everybody else out.
    pub const MAX: Self = Self {
        millis: 24 * 60 * 60 * 1000,
    };

    /// The one that is used unless another is given: 10 s.
    pub const DEFAULT: Self = Self { millis: 10_000 };

    /// Checks a length of time; a fraction of a millisecond is cut off.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] outside of [`Ttl::MIN`] to [`Ttl::MAX`].
    pub fn new(length: Duration) -> Result<Self, Error> {
        match u64::try_from(length.as_millis()) {
            Ok(millis) if (Self::MIN.millis..=Self::MAX.millis).contains(&millis) => {
                Ok(Self { millis })
            }
            _ => Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "a ttl lies between 50 ms and 24 h, and this one is {length:?}; \
                     it is how long others wait after a crash, not how long the work takes"
                ),
            )),
        }
    }

    /// The length in milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.millis
    }

    /// The length of time.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_millis(self.millis)
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.millis)
    }
}

#[cfg(test)]
mod tests;
