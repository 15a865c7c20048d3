//! [`DistributedMutex`]: a mutex whose value lives in the store that keeps the lock.

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::acquire::plan::Limit;
use crate::acquire::{Wanted, acquire};
use crate::backend::LockBackend;
use crate::call::bounded;
use crate::codec::{Codec, Json};
use crate::engine::Engine;
use crate::error::{BoxError, Error, ErrorKind, of_a_read};
use crate::guard::LockGuard;
use crate::name::LockName;
use crate::options::LockOptions;
use crate::queue::NameQueue;
use crate::state::State;
use crate::token::FencingToken;

/// A mutex between processes, whose protected value lives in the store that keeps the lock.
///
/// [`lock`](Self::lock) takes a lease, a fencing token and the value in one round trip;
/// [`commit`](LockGuard::commit) writes the value and gives the lease up in one, and the store
/// refuses the write of a holder who lost the lease. So a process that is paused or cut off can
/// lose its turn, but it cannot overwrite the work of whoever came after it.
///
/// `DistributedMutex<()>` is a plain lock without a value. It keeps others out only as long as the
/// lease lasts: pass its [token](LockGuard::token) to whatever it protects, or run the work in
/// [`while_held`](LockGuard::while_held).
///
/// Clones, and mutexes of the same name made by the same client, share one queue: local waiters are
/// served first come, first served, and one of them talks to the store.
///
/// # Which one do I want?
/// - [`update`](Self::update) if the work is a short change of the value;
/// - [`lock`](Self::lock) if it awaits other things between reading and writing;
/// - [`try_lock`](Self::try_lock) if somebody else doing it is as good;
/// - [`peek`](Self::peek) to read without the lock;
/// - `tokio::sync::Mutex` if all who share the value live in one process.
///
/// It is not re-entrant: a task that locks a name twice waits for itself. Take several names always
/// in one order.
///
/// # Examples
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use lock_core::LockClient;
///
/// let locks = LockClient::in_memory();
/// let stock = locks.mutex_with("stock/sku-17", || 100_u32).build()?;
///
/// let mut guard = stock.lock().await?;
/// *guard -= 3;
/// guard.commit().await?;
///
/// let left = stock.update(|n| { *n -= 1; Ok(*n) }).await?;
/// assert_eq!(left, 96);
/// # Ok::<(), lock_core::Error>(()) }).unwrap();
/// ```
pub struct DistributedMutex<T> {
    engine: Arc<Engine>,
    queue: Arc<NameQueue>,
    options: Arc<LockOptions>,
    shape: Arc<Shape<T>>,
}

/// How a value travels and begins.
pub(crate) struct Shape<T> {
    pub(crate) codec: Box<dyn Codec<T>>,
    initial: Arc<dyn Fn() -> T + Send + Sync>,
    /// Whether the lock guards no value: its state is neither written nor read.
    pub(crate) plain: bool,
}

impl<T: 'static> Shape<T> {
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

impl<T> Clone for DistributedMutex<T> {
    fn clone(&self) -> Self {
        Self {
            engine: Arc::clone(&self.engine),
            queue: Arc::clone(&self.queue),
            options: Arc::clone(&self.options),
            shape: Arc::clone(&self.shape),
        }
    }
}

impl<T> fmt::Debug for DistributedMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DistributedMutex")
            .field("name", self.queue.name())
            .finish_non_exhaustive()
    }
}

impl<T: Send + 'static> DistributedMutex<T> {
    /// Acquires the lock, waiting until it is free.
    ///
    /// Costs one round trip if it is free. Local waiters stand in a queue; the first of them waits
    /// for a wake-up from the store, or for the expiry of the holder's lease.
    ///
    /// # Errors
    /// - [`ErrorKind::Unavailable`] if the store did not answer for
    ///   [`patience`](crate::LockOptionsBuilder::patience);
    /// - [`ErrorKind::State`] if the stored value does not decode: the lock is given up, the value
    ///   stays as it is;
    /// - [`ErrorKind::Closed`] after [`close`](crate::LockClient::close);
    /// - what the store refuses: [`ErrorKind::Denied`], [`ErrorKind::Invalid`].
    ///
    /// # Cancel safety
    /// Safe to drop. Loses: the place in line. Leaves behind: at most one grant that is released in
    /// the background, or, if this process is killed meanwhile, ends at its ttl.
    pub async fn lock(&self) -> Result<LockGuard<T>, Error> {
        self.locked_within(Limit::None).await
    }

    /// Acquires the lock if it is free now; `None` if another holds it, or if in this process others
    /// wait for it or a dropped guard is still being released.
    ///
    /// # Errors
    /// As [`lock`](Self::lock). Being refused is no error.
    ///
    /// # Cancel safety
    /// As [`lock`](Self::lock).
    pub async fn try_lock(&self) -> Result<Option<LockGuard<T>>, Error> {
        self.taken(Limit::Try).await
    }

    /// Acquires the lock, waiting for it no longer than `timeout`. Zero is one attempt.
    ///
    /// # Errors
    /// As [`lock`](Self::lock), and [`ErrorKind::Timeout`] if it was not free in time; nothing is
    /// held then.
    ///
    /// # Cancel safety
    /// As [`lock`](Self::lock).
    pub async fn lock_timeout(&self, timeout: Duration) -> Result<LockGuard<T>, Error> {
        let deadline = self.engine.core.clock.now().after(timeout);
        self.locked_within(Limit::Until(deadline)).await
    }

    /// Acquires the lock, waiting for it no longer than until `deadline`, an instant of tokio's
    /// clock or the standard library's.
    ///
    /// # Errors
    /// As [`lock_timeout`](Self::lock_timeout).
    ///
    /// # Cancel safety
    /// As [`lock`](Self::lock).
    pub async fn lock_until(
        &self,
        deadline: impl Into<tokio::time::Instant> + Send,
    ) -> Result<LockGuard<T>, Error> {
        let left = crate::clock::until(deadline.into());
        self.lock_timeout(left).await
    }

    /// Changes the value: takes the lock, runs the closure on the value, commits, and only then
    /// returns what the closure returned.
    ///
    /// # Errors
    /// As [`lock`](Self::lock) and [`LockGuard::commit`], and [`ErrorKind::Aborted`] if the closure
    /// returned an error, which [`Error::downcast_source`] finds: nothing was written then, and the
    /// lock is given up. A closure that panics leaves no trace either.
    ///
    /// # Cancel safety
    /// Safe to drop. The change is then either committed as a whole or not at all, and the lock is
    /// given up.
    ///
    /// # Examples
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// use lock_core::{ErrorKind, LockClient};
    ///
    /// let seats = LockClient::in_memory().mutex_with("seats", || 1_u32).build()?;
    /// let take = |n: &mut u32| { *n = n.checked_sub(1).ok_or("sold out")?; Ok(()) };
    /// seats.update(take).await?;
    /// assert_eq!(seats.update(take).await.unwrap_err().kind(), ErrorKind::Aborted);
    /// # Ok::<(), lock_core::Error>(()) }).unwrap();
    /// ```
    pub async fn update<R>(
        &self,
        change: impl FnOnce(&mut T) -> Result<R, BoxError> + Send,
    ) -> Result<R, Error>
    where
        R: Send,
    {
        let mut guard = self.lock().await?;
        match change(guard.value_mut()) {
            Ok(result) => {
                guard.commit().await?;
                Ok(result)
            }
            Err(error) => {
                guard.discard().await;
                Err(Error::new(
                    ErrorKind::Aborted,
                    "the closure returned an error, and nothing was written",
                )
                .with_source(error)
                .in_operation("update", self.name()))
            }
        }
    }

    /// Reads the value last committed, without the lock: others may be changing it meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if the store does not answer, [`ErrorKind::State`] if the value
    /// does not decode.
    ///
    /// # Cancel safety
    /// Safe to drop: it only reads.
    pub async fn peek(&self) -> Result<Peek<T>, Error> {
        let core = &self.engine.core;
        let call = core.backend.peek(self.name());
        let read = async {
            let peeked = bounded(&*core.clock, self.options.request_timeout(), call).await?;
            let value = self.shape.decode(peeked.as_ref().map(|p| &p.state))?;
            Ok(Peek {
                value,
                token: peeked.map(|p| p.token),
            })
        };
        read.await
            .map_err(|e: Error| of_a_read(e).in_operation("peek at", self.name()))
    }

    /// The name of the lock.
    #[must_use]
    pub fn name(&self) -> &LockName {
        self.queue.name()
    }

    /// The store's side, for what a backend offers beyond the steps
    /// ([`as_any`](LockBackend::as_any)).
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn LockBackend> {
        &self.engine.core.backend
    }

    /// The options of this mutex.
    #[must_use]
    pub fn options(&self) -> &LockOptions {
        &self.options
    }

    async fn locked_within(&self, limit: Limit) -> Result<LockGuard<T>, Error> {
        self.taken(limit).await?.ok_or_else(|| {
            Error::new(ErrorKind::Internal, "a waiter was refused")
                .in_operation("acquire", self.name())
        })
    }

    async fn taken(&self, limit: Limit) -> Result<Option<LockGuard<T>>, Error> {
        let wanted = Wanted {
            engine: &self.engine,
            queue: &self.queue,
            options: &self.options,
            plain: self.shape.plain,
        };
        let Some(taken) = acquire(wanted, limit).await? else {
            return Ok(None);
        };
        match self.shape.decode(taken.state.as_ref()) {
            Ok(value) => Ok(Some(LockGuard::new(taken, value, Arc::clone(&self.shape)))),
            Err(error) => {
                // The decode error matters more than that of the release, which goes on in the
                // background if it fails.
                let core = &self.engine.core;
                let limit = self.options.request_timeout();
                let _given_up = bounded(&*core.clock, limit, taken.held.release()).await;
                Err(error.in_operation("acquire", self.name()))
            }
        }
    }
}

/// A value read without the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peek<T> {
    /// The value last committed, or the first value if there is none.
    pub value: T,
    /// The token of the commit that wrote it; `None` if there was none.
    pub token: Option<FencingToken>,
}

/// Collects what makes a mutex different from the client's default.
#[must_use]
pub struct MutexBuilder<T> {
    engine: Arc<Engine>,
    name: String,
    initial: Arc<dyn Fn() -> T + Send + Sync>,
    options: Option<LockOptions>,
    codec: Option<Box<dyn Codec<T>>>,
}

impl<T> fmt::Debug for MutexBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MutexBuilder")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<T: Send + 'static> MutexBuilder<T> {
    pub(crate) fn new(
        engine: Arc<Engine>,
        name: &str,
        initial: Arc<dyn Fn() -> T + Send + Sync>,
    ) -> Self {
        Self {
            engine,
            name: name.to_owned(),
            initial,
            options: None,
            codec: None,
        }
    }

    /// Options other than the client's.
    pub fn options(mut self, options: LockOptions) -> Self {
        self.options = Some(options);
        self
    }

    /// Another codec than [`Json`]; build with [`build_with_codec`](Self::build_with_codec).
    pub fn codec(mut self, codec: impl Codec<T>) -> Self {
        self.codec = Some(Box::new(codec));
        self
    }

    /// The mutex. Nothing is sent to the store.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the name is out of bounds.
    pub fn build(mut self) -> Result<DistributedMutex<T>, Error>
    where
        T: Serialize + DeserializeOwned,
    {
        let codec = self.codec.take().unwrap_or_else(|| Box::new(Json));
        self.finish(codec)
    }

    /// The mutex of a type that serde does not know.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the name is out of bounds or no codec was given.
    pub fn build_with_codec(mut self) -> Result<DistributedMutex<T>, Error> {
        let codec = self.codec.take().ok_or_else(|| {
            Error::new(
                ErrorKind::Invalid,
                "no codec was given; name one with `.codec(…)`",
            )
        })?;
        self.finish(codec)
    }

    fn finish(self, codec: Box<dyn Codec<T>>) -> Result<DistributedMutex<T>, Error> {
        let name = LockName::new(self.name)?;
        let core = &self.engine.core;
        let queue = core.queues.of(&name);
        let options = match self.options {
            Some(options) => Arc::new(options),
            None => Arc::clone(&core.options),
        };
        let plain = TypeId::of::<T>() == TypeId::of::<()>();
        let shape = Arc::new(Shape {
            codec,
            initial: self.initial,
            plain,
        });
        Ok(DistributedMutex {
            engine: self.engine,
            queue,
            options,
            shape,
        })
    }
}
