//! [`OwnerId`]: the identity of one acquisition.

use std::fmt;
use std::str::FromStr;

use crate::entropy::Entropy;
use crate::error::{Error, ErrorKind};

/// The identity of one acquisition: 128 random bits, kept across its retries and never used again.
///
/// It is drawn anew for each `lock()`, so that nothing a former holder sends can touch the lease of
/// a later one, not even of a later one in the same task (C3). The same idea is Redlock's "random
/// value": <https://redis.io/docs/latest/develop/use/patterns/distributed-locks/>.
///
/// # Examples
/// ```
/// use lock_core::{OwnerId, SystemEntropy};
///
/// let owner = OwnerId::draw(&SystemEntropy);
/// assert_eq!(owner.to_string().len(), 32);
/// assert_eq!(owner.to_string().parse::<OwnerId>()?, owner);
/// # Ok::<(), lock_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerId(u128);

impl OwnerId {
    /// Draws a new id.
    #[must_use]
    pub fn draw(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        Self(u128::from_be_bytes(bytes))
    }

    /// The id with these bits, for stores that keep it as a number.
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The largest id: the end of a range over ids.
    pub(crate) const MAX: Self = Self(u128::MAX);

    /// The bits of the id.
    #[must_use]
    pub const fn bits(self) -> u128 {
        self.0
    }
}

/// 32 lower-case hexadecimal digits: the form in which stores keep it.
impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnerId({self})")
    }
}

impl FromStr for OwnerId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("an owner id is 32 hexadecimal digits, not {text:?}"),
            ));
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|e| {
            Error::new(ErrorKind::Invalid, "an owner id is 32 hexadecimal digits").with_source(e)
        })
    }
}

#[cfg(test)]
mod tests;
