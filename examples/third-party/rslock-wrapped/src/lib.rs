//! The public crate [`rslock`] behind the three calls that a test of locks makes: [`acquire`],
//! [`extend`] and [`release`]; and [`Rslock`], which makes of it what lock-testkit drives by plans.
//!
//! It adds nothing and hides nothing: each call is one call of rslock's, and what rslock cannot say
//! is not guessed. There is no backend of lock-core in it, because rslock has no token, no value and
//! no reason for a refusal to build one from.
//!
//! [`acquire`]: Wrapped::acquire
//! [`extend`]: Wrapped::extend
//! [`release`]: Wrapped::release

mod found;
mod subject;

use std::fmt;
use std::time::Duration;

use rslock::{Lock, LockError, LockManager};

pub use found::{EXTENDS, TTL_MS, lost_extension, verdict};
pub use subject::Rslock;

/// One client of one or more Redis servers.
#[derive(Clone, Debug)]
pub struct Wrapped {
    manager: LockManager,
}

/// What an acquire was answered.
#[derive(Debug)]
pub enum Answer {
    /// The lock is held.
    Granted(Held),
    /// It was not granted. Whether another holds it, the servers cannot be reached or a reply was
    /// lost, rslock does not tell; nor whether its own clean-up got through.
    NotGranted(LockError),
}

/// A lock as rslock hands it out. Dropping it does not release it.
#[derive(Debug)]
pub struct Held {
    lock: Lock,
}

impl Wrapped {
    /// A client of the servers at these URLs. It connects at its first use.
    ///
    /// # Panics
    /// rslock panics at a URL that is none.
    #[must_use]
    pub fn new(urls: &[&str]) -> Self {
        let mut manager = LockManager::new(urls.to_vec());
        // One attempt a call: the test decides when to try again, and each attempt is one event.
        manager.set_retry(1, Duration::from_millis(1));
        Self { manager }
    }

    /// Asks once for the lock.
    ///
    /// # Cancel safety
    /// None: dropped on its way, it may leave the key at the servers for the whole ttl.
    pub async fn acquire(&self, name: &str, ttl: Duration) -> Answer {
        match self.manager.lock(name, ttl).await {
            Ok(lock) => Answer::Granted(Held { lock }),
            Err(error) => Answer::NotGranted(error),
        }
    }

    /// Starts the lock's ttl anew; returns for how long it is then valid.
    ///
    /// # Errors
    /// rslock's own. On a failure it has tried to delete the key.
    pub async fn extend(&self, held: &mut Held, ttl: Duration) -> Result<Duration, LockError> {
        held.lock = self.manager.extend(&held.lock, ttl).await?;
        Ok(held.validity())
    }

    /// Gives the lock up. Whether it was held, or whether any server was reached, rslock does not
    /// say.
    pub async fn release(&self, held: &Held) {
        self.manager.unlock(&held.lock).await;
    }
}

impl Held {
    /// For how long the lock is valid from the moment when the reply came: the ttl, less what the
    /// request took, 1 % and 2 ms. rslock keeps no moment at which it ends.
    #[must_use]
    pub fn validity(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.lock.validity_time).unwrap_or(u64::MAX))
    }

    /// What tells this holder from others: the value of the key. It is random, so that of two of
    /// them nothing tells which is the later one.
    #[must_use]
    pub fn owner(&self) -> &[u8] {
        &self.lock.val
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granted(held) => write!(f, "granted for {} ms", held.validity().as_millis()),
            Self::NotGranted(error) => write!(f, "not granted: {error}"),
        }
    }
}
