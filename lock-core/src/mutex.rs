//! [`DistributedMutex`]: a mutex whose value lives in the store that keeps the lock.

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::acquire::plan::Limit;
use crate::acquire::{Taken, Wanted, acquire};
use crate::backend::LockBackend;
use crate::call::bounded;
use crate::codec::{Codec, Json};
use crate::engine::Engine;
use crate::error::{BoxError, Error, ErrorKind, of_a_read};
use crate::guard::LockGuard;
use crate::name::LockName;
use crate::options::LockOptions;
use crate::queue::NameQueue;
use crate::shape::{Shape, UpdateKind};
use crate::token::FencingToken;
use crate::update::{Combining, Joined, verdict};

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
    /// for a wake-up from the store, or for the expiry of the holder's lease. A guard that ends while
    /// others of this process wait passes its lease on to the first of them, with a larger token and
    /// the value last committed, and nothing is sent for that: so many times and for so long as
    /// [`handover`](crate::LockOptionsBuilder::handover) says.
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
    ///
    /// A future that was begun has its place in line, so poll it or drop it: one that is kept and not
    /// polled, as beside the branch of a `select!` that goes on for long, keeps those behind it in this
    /// process waiting. Other processes get the lock within a renew interval all the same, and
    /// [updates](Self::update) before it are written.
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
    /// Updates of one process that wait at the same time share a commit: their closures run one after
    /// the other on the value in memory, in the order in which they came and each in its own caller's
    /// task, and one write carries up to 1024 of them. So a value that many tasks change costs two
    /// round trips for all of them and not for each. Nothing is queued but the callers themselves. A
    /// closure should be short: the others wait for it.
    ///
    /// # Errors
    /// As [`lock`](Self::lock) and [`LockGuard::commit`], for all who share the commit, and
    /// [`ErrorKind::Aborted`] if the closure returned an error, which [`Error::downcast_source`]
    /// finds: it leaves no trace then, and the others are written without it. The same holds for a
    /// value that does not encode or is over its bound, and for a closure that panics, whose panic
    /// is its caller's alone.
    ///
    /// An update is never run twice. After [`ErrorKind::LeaseLost`] with [`Effect::NotApplied`](
    /// crate::Effect::NotApplied) it is safe to ask again.
    ///
    /// # Cancel safety
    /// Safe to drop. Before its closure has run it takes no part; after that its change is committed
    /// or fails with those of the others, and only the result is lost.
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
        let updated = self.updated(change).await;
        updated.map_err(|e| e.in_operation("update", self.name()))
    }

    async fn updated<R>(
        &self,
        change: impl FnOnce(&mut T) -> Result<R, BoxError> + Send,
    ) -> Result<R, Error>
    where
        R: Send,
    {
        if self.shape.plain {
            return self.updated_nothing(change).await;
        }
        let update = Some(self.shape.kind());
        let taken = self.acquired(Limit::None, update).await?;
        let Some(taken) = taken else {
            return Err(Error::new(ErrorKind::Internal, "a waiter was refused"));
        };
        let (result, joined) = self.run(taken, change);
        match joined {
            Joined::Passed => {}
            Joined::Batch(waits) => verdict(waits).await?,
            Joined::Alone(held, state) => held.commit(state).await?,
            Joined::Nothing(held) => {
                let core = &self.engine.core;
                let limit = self.options.request_timeout();
                let _given_up = bounded(&*core.clock, limit, held.release()).await;
            }
        }
        result
    }

    /// Runs the closure under a lock without a value.
    async fn updated_nothing<R>(
        &self,
        change: impl FnOnce(&mut T) -> Result<R, BoxError> + Send,
    ) -> Result<R, Error>
    where
        R: Send,
    {
        let mut guard = self.lock().await?;
        match change(guard.value_mut()) {
            Ok(result) => guard.commit().await.map(|()| result),
            Err(error) => {
                guard.discard().await;
                Err(aborted(error))
            }
        }
    }

    /// Runs the closure and passes on what it made of the value. There is no await in here: who has
    /// run its closure has its change taken along.
    fn run<R>(
        &self,
        taken: Taken,
        change: impl FnOnce(&mut T) -> Result<R, BoxError>,
    ) -> (Result<R, Error>, Joined) {
        let mut combining = Combining::new(Arc::clone(&self.shape), taken.held, taken.batch);
        let changed = combining
            .value()
            .and_then(|value| change(value).map_err(aborted));
        let result = changed.and_then(|result| combining.change().map(|()| result));
        if result.is_err() {
            combining.undo();
        }
        let joined = combining.end(result.is_ok());
        (result, joined)
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

    async fn acquired(
        &self,
        limit: Limit,
        update: Option<UpdateKind>,
    ) -> Result<Option<Taken>, Error> {
        let wanted = Wanted {
            engine: &self.engine,
            queue: &self.queue,
            options: &self.options,
            plain: self.shape.plain,
            update,
        };
        acquire(wanted, limit).await
    }

    async fn taken(&self, limit: Limit) -> Result<Option<LockGuard<T>>, Error> {
        let Some(mut taken) = self.acquired(limit, None).await? else {
            return Ok(None);
        };
        // A guard changes its own copy.
        drop(taken.held.take_live());
        match self.shape.decode(taken.held.state()) {
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

fn aborted(error: BoxError) -> Error {
    let message = "the closure returned an error, and nothing was written";
    Error::new(ErrorKind::Aborted, message).with_source(error)
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
        let shape = Arc::new(Shape::new(codec, self.initial, plain));
        Ok(DistributedMutex {
            engine: self.engine,
            queue,
            options,
            shape,
        })
    }
}
