//! [`LockGuard`]: a lease and a working copy of the value.

use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use crate::acquire::Taken;
use crate::answer::{LossCause, Previous};
use crate::backend::LockBackend;
use crate::call::bounded;
use crate::error::Error;
use crate::held::HeldLease;
use crate::hold::Health;
use crate::instrument;
use crate::name::LockName;
use crate::owner::OwnerId;
use crate::shape::Shape;
use crate::token::FencingToken;

/// Holds a lock: a lease that is renewed while the guard lives, and a working copy of the value.
///
/// It dereferences to the copy. [`commit`](Self::commit) writes it and gives the lease up,
/// [`save`](Self::save) writes it and keeps the lease, [`release`](Self::release) gives the lease up
/// without writing.
///
/// Nothing is saved in `Drop`, because a drop cannot fail aloud. A guard that is dropped has its
/// lease released in the background; a change that was not committed is discarded, with a `warn`
/// event. Dropping never blocks, and works outside a runtime: if none is left to send the release,
/// the lease ends at its ttl. So a program that ends at once should [`release`](Self::release) its
/// guards or [`close`](crate::LockClient::close) its client, or the next one waits for the ttl.
///
/// Guards belong to nobody: they may be sent to another task and used there.
#[must_use = "the lock is given up as soon as its guard is dropped"]
pub struct LockGuard<T> {
    /// `None` once the lease was handed to `commit` or `release`.
    held: Option<HeldLease>,
    value: T,
    /// Whether the copy may differ from what is stored.
    changed: bool,
    previous: Previous,
    shape: Arc<Shape<T>>,
}

impl<T> LockGuard<T> {
    pub(crate) fn new(taken: Taken, value: T, shape: Arc<Shape<T>>) -> Self {
        let Taken { held, previous, .. } = taken;
        Self {
            held: Some(held),
            value,
            changed: false,
            previous,
            shape,
        }
    }
}

impl<T: Send + 'static> LockGuard<T> {
    /// Writes the value and gives the lease up, in one round trip; if others of this process wait,
    /// the first of them may get the lease once the write is acknowledged.
    ///
    /// # Errors
    /// - [`ErrorKind::LeaseLost`](crate::ErrorKind::LeaseLost) if the lease ended before: nothing was
    ///   written, unless [`Error::effect`] says that an earlier request of this commit may have been
    ///   applied and overwritten since;
    /// - [`ErrorKind::State`](crate::ErrorKind::State) if the value does not encode or is over its
    ///   bound: nothing was written, the lock is given up;
    /// - [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the store did not answer for
    ///   the [`patience`](crate::LockOptionsBuilder::patience): [`Error::effect`] says whether the
    ///   write may have happened. The request was repeated so that it applies at most once.
    ///
    /// # Cancel safety
    /// Safe to drop. A write under way happens as a whole or not at all, and if it does, before the
    /// lease ends; the lease is released in the background.
    pub async fn commit(mut self) -> Result<(), Error> {
        let name = self.name().clone();
        let ended = self.end().await;
        ended.map_err(|e| e.in_operation("commit", &name))
    }

    async fn end(&mut self) -> Result<(), Error> {
        let Some(held) = self.held.take() else {
            return Err(no_lease());
        };
        // From here on the change is not discarded silently: it is committed, or an error says so.
        self.changed = false;
        if self.shape.plain {
            return held.release().await;
        }
        let state = self
            .shape
            .encode(&self.value, held.options().max_state_bytes())?;
        held.commit(state).await
    }

    /// Writes the value and keeps the lease, in one round trip.
    ///
    /// # Errors
    /// As [`commit`](Self::commit), but the guard stays: after
    /// [`ErrorKind::State`](crate::ErrorKind::State) or
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) the lease is still held as long as
    /// [`is_held`](Self::is_held) says so, and `save` may be called again.
    ///
    /// # Cancel safety
    /// Safe to drop. A write under way happens as a whole or not at all, and if it does, before any
    /// later write of this guard; the lease is kept.
    pub async fn save(&mut self) -> Result<(), Error> {
        let name = self.name().clone();
        let saved = self.write().await;
        saved.map_err(|e| e.in_operation("save", &name))
    }

    async fn write(&mut self) -> Result<(), Error> {
        let Some(held) = self.held.as_mut() else {
            return Err(no_lease());
        };
        if self.shape.plain {
            return held.check();
        }
        let state = self
            .shape
            .encode(&self.value, held.options().max_state_bytes())?;
        held.save(state).await?;
        self.changed = false;
        Ok(())
    }

    /// Gives the lease up without writing, in one round trip, and waits until that is confirmed.
    ///
    /// # Errors
    /// - [`ErrorKind::LeaseLost`](crate::ErrorKind::LeaseLost) if the lease ended before: others may
    ///   have worked at the same time as the holder;
    /// - [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the store did not answer: the
    ///   release is tried again in the background until the lease is over anyway.
    ///
    /// # Cancel safety
    /// Safe to drop: the release goes on in the background.
    pub async fn release(mut self) -> Result<(), Error> {
        let name = self.name().clone();
        self.warn_if_changed();
        self.changed = false;
        let released = match self.held.take() {
            Some(held) => held.release().await,
            None => Err(no_lease()),
        };
        released.map_err(|e| e.in_operation("release", &name))
    }

    /// Runs the work while the lease is held, and drops it at the await point where the lease is
    /// lost.
    ///
    /// Work that never awaits cannot be stopped; what it did is found out at its end.
    ///
    /// The future borrows the guard, so that the lock cannot be given up under the work:
    /// ```compile_fail,E0505
    /// # async fn example(guard: lock_core::LockGuard<()>) {
    /// let work = guard.while_held(async {});
    /// drop(guard);
    /// work.await;
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::LeaseLost`](crate::ErrorKind::LeaseLost) if the lease was lost before the work
    /// was done; the work may be half done outside of the store.
    ///
    /// # Cancel safety
    /// That of the work; the lease is kept.
    pub fn while_held<F>(
        &self,
        work: F,
    ) -> impl Future<Output = Result<F::Output, Error>> + use<'_, F, T>
    where
        F: Future,
    {
        let lost = self.lost();
        let held = self.lease();
        async move {
            let output = tokio::select! {
                biased;
                cause = lost => return Err(held.lost_in_work(cause)),
                output = work => output,
            };
            match held.loss() {
                Some(cause) => Err(held.lost_in_work(cause)),
                None => Ok(output),
            }
        }
    }

    /// Resolves when the lease is lost: at the latest at the end of its validity, also when the
    /// network hangs, and never while it is held. Stays pending after the guard ended well.
    ///
    /// The future borrows nothing, so it may watch from another task.
    ///
    /// # Cancel safety
    /// Safe to drop: it only waits.
    pub fn lost(&self) -> impl Future<Output = LossCause> + Send + use<T> {
        let lease = self.lease();
        async move { lease.hold.lost(&*lease.clock).await }
    }
}

impl<T> LockGuard<T> {
    /// The fencing token: pass it to whatever the lock protects, and have it refuse smaller ones.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.held().hold().token()
    }

    /// The owner under which the store keeps this lease: drawn for it alone. Guards to which it
    /// passes on inside this process share it, and each has a [token](Self::token) of its own.
    #[must_use]
    pub fn owner(&self) -> OwnerId {
        self.held().hold().owner()
    }

    /// The store's side, for what a backend offers beyond the steps
    /// ([`as_any`](LockBackend::as_any)).
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn LockBackend> {
        &self.held().core().backend
    }

    /// Has the lease go back to the store when this guard ends, and not to a waiter of this process.
    ///
    /// For a backend that ties the lease to something else at the store, such as a transaction that
    /// may go on after the guard: the store's release waits for it, and a hand-over would not.
    pub fn return_to_store(&self) {
        self.held().hold().return_to_store();
    }

    /// The name of the lock.
    #[must_use]
    pub fn name(&self) -> &LockName {
        self.held().hold().name()
    }

    /// How the lease before this one ended (C12). After `Abandoned` or `Forced`, look for what was
    /// left half done.
    #[must_use]
    pub const fn previous(&self) -> Previous {
        self.previous
    }

    /// How sure this guard may be of its lease, by this process' clock: no request is sent.
    #[must_use]
    pub fn health(&self) -> Health {
        let held = self.held();
        held.hold().health(held.core().clock.now())
    }

    /// Whether the lease is held; right even if the runtime was blocked or the process stopped.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let held = self.held();
        held.hold().loss(held.core().clock.now()).is_none()
    }

    /// How long the lease is valid yet if no renewal goes through; zero if it is lost.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        let held = self.held();
        let now = held.core().clock.now();
        match held.hold().loss(now) {
            Some(_) => Duration::ZERO,
            None => held.hold().valid_until().since(now),
        }
    }

    /// The copy, without the mark that it was changed by hand: an update's own.
    pub(crate) fn value_mut(&mut self) -> &mut T {
        &mut self.value
    }

    /// Gives the lease up; whatever was changed is meant to be dropped. If the release fails it goes
    /// on in the background.
    pub(crate) async fn discard(mut self) {
        self.changed = false;
        if let Some(held) = self.held.take() {
            let core = Arc::clone(held.core());
            let limit = held.options().request_timeout();
            let _given_up = bounded(&*core.clock, limit, held.release()).await;
        }
    }

    fn held(&self) -> &HeldLease {
        // INVARIANT: `held` is taken only by methods that own or end the guard.
        self.held
            .as_ref()
            .expect("a guard that can be named has its lease")
    }

    fn lease(&self) -> Lease {
        let held = self.held();
        Lease {
            clock: Arc::clone(&held.core().clock),
            hold: Arc::clone(held.hold()),
        }
    }

    fn warn_if_changed(&self) {
        if let (true, Some(held)) = (self.changed, &self.held) {
            instrument::change_discarded(held.hold());
        }
    }
}

/// What is needed to watch a lease from elsewhere; it keeps no client and no connection alive.
struct Lease {
    clock: Arc<dyn crate::clock::Clock>,
    hold: Arc<crate::hold::Hold>,
}

impl Lease {
    fn loss(&self) -> Option<LossCause> {
        self.hold.loss(self.clock.now())
    }

    fn lost_in_work(&self, cause: LossCause) -> Error {
        Error::lease_lost(cause).in_operation("work under", self.hold.name())
    }
}

fn no_lease() -> Error {
    Error::new(
        crate::error::ErrorKind::Internal,
        "the guard has ended already",
    )
}

impl<T> Deref for LockGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for LockGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.changed = true;
        &mut self.value
    }
}

impl<T> Drop for LockGuard<T> {
    fn drop(&mut self) {
        // Dropping `held` hands the lease to the reaper.
        self.warn_if_changed();
    }
}

/// Shows name, token and health, and not the value.
impl<T> fmt::Debug for LockGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("LockGuard");
        if self.held.is_some() {
            debug
                .field("name", self.name())
                .field("token", &self.token());
            debug.field("health", &self.health());
        }
        debug.finish_non_exhaustive()
    }
}
