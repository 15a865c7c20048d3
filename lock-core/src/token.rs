//! [`FencingToken`]: the number by which a resource tells a late holder from the present one.

use std::fmt;

/// A number that is strictly larger with each new grant of a name (C2).
///
/// Pass it to whatever the lock protects and have it refuse a token smaller than the largest that
/// it has seen (Kleppmann 2016, "How to do distributed locking"; Chubby's sequencer). For the value
/// inside a [`DistributedMutex`](crate::DistributedMutex) the store itself does so.
///
/// It is `max(the store's clock in µs, the name's last token + 1)`, so it stays below 2^53 (until
/// the year 2255) and no counter has to live for ever.
///
/// # Examples
/// ```
/// use lock_core::FencingToken;
///
/// assert!(FencingToken::new(33) < FencingToken::new(34));
/// assert_eq!(FencingToken::new(34).get(), 34);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FencingToken(u64);

impl FencingToken {
    /// The token with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, to be sent to the protected resource.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
