//! Updates that share a commit: closures run one after the other on the value in memory, each in its
//! own caller's task, and whoever finds nobody waiting behind it commits for all (flat combining:
//! Hendler, Incze, Shavit, Tzafrir, SPAA 2010; group commit in databases).
//!
//! What passes from one caller to the next is the lease with the [`Batch`] of those before: their
//! changes as encoded, and the channel on which they wait for the commit.
//!
//! # Invariants
//! 1. Between a closure's return and the moment at which its change is in a batch that is passed on
//!    or being committed, there is no await: nobody can be dropped in between.
//! 2. A change is told to its caller only after the commit that carries it was acknowledged.
//! 3. A batch that is dropped tells its callers so.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::error::{Effect, Error, ErrorKind};
use crate::held::{HeldLease, Parked};
use crate::instrument;
use crate::shape::{Shape, UpdateKind};
use crate::state::State;

/// Changes that were made in memory and wait for one commit.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) kind: UpdateKind,
    /// The value with all of them.
    state: State,
    changes: u32,
    verdict: watch::Sender<Option<Verdict>>,
    /// That of the first of them.
    pub(crate) runtime: Option<Handle>,
}

/// What became of a commit, for all who share it.
type Verdict = Result<(), Arc<Error>>;

/// So many changes share a commit at most: none waits for the others for ever.
const CHANGES_MAX: u32 = 1024;

impl Batch {
    fn new(kind: UpdateKind, state: State) -> Self {
        Self {
            kind,
            state,
            changes: 1,
            verdict: watch::Sender::new(None),
            runtime: Handle::try_current().ok(),
        }
    }

    /// Commits, and tells whoever waits. Where several updates came at once more are likely to follow,
    /// so the lease is kept for them if it may pass on, and given back when none is there.
    pub(crate) async fn commit(self, mut held: HeldLease) {
        let Self {
            state,
            verdict,
            changes,
            ..
        } = self;
        instrument::batch(changes);
        let queue = held.queue();
        let note = || {
            let queue = queue.as_ref().filter(|_| changes > 1);
            queue.into_iter().for_each(|queue| queue.note(true));
        };
        if !held.may_pass() {
            // CANCEL: `verdict` is dropped, and so it is told that nobody knows.
            let committed = held.commit(state).await.map_err(Arc::new);
            note();
            drop(verdict.send_replace(Some(committed)));
            return;
        }
        note();
        // CANCEL: the same.
        let saved = held.save(state).await.map_err(Arc::new);
        let is_saved = saved.is_ok();
        let has_passed = is_saved && held.pass();
        drop(verdict.send_replace(Some(saved)));
        if is_saved && !has_passed {
            // Those who were just told may ask again at once.
            tokio::task::yield_now().await;
            let _given_back = held.give_back().await;
        }
    }

    /// Tells whoever waits that nothing was sent.
    pub(crate) fn fail(self, error: Error) {
        drop(self.verdict.send_replace(Some(Err(Arc::new(error)))));
    }
}

/// A value in memory, which the next update of its kind need not decode.
#[derive(Debug)]
pub(crate) struct Live {
    kind: UpdateKind,
    /// Locked by nobody: it makes what is sent between threads something that may be shared, too.
    value: Mutex<Box<dyn Any + Send>>,
}

impl Live {
    fn new<T: Send + 'static>(kind: UpdateKind, value: T) -> Self {
        Self {
            kind,
            value: Mutex::new(Box::new(value)),
        }
    }

    fn take<T: 'static>(self, kind: UpdateKind) -> Option<T> {
        let value = (self.kind == kind).then_some(self.value)?;
        let value = value.into_inner().unwrap_or_else(PoisonError::into_inner);
        value.downcast().ok().map(|value| *value)
    }
}

/// One caller's part: it has the lease, and runs its closure.
pub(crate) struct Combining<T: Send + 'static> {
    shape: Arc<Shape<T>>,
    held: Option<HeldLease>,
    batch: Option<Box<Batch>>,
    value: Option<T>,
}

/// How one caller's part ended.
pub(crate) enum Joined {
    /// Its change waits for the commit of the batch.
    Batch(watch::Receiver<Option<Verdict>>),
    /// Its change is alone: the caller commits it.
    Alone(HeldLease, State),
    /// There is nothing to write: the caller gives the lease up.
    Nothing(HeldLease),
    /// Others committed or will: the lease has passed on.
    Passed,
}

impl<T: Send + 'static> Combining<T> {
    /// Takes the lease with what was changed before and is not written yet.
    pub(crate) fn new(
        shape: Arc<Shape<T>>,
        mut held: HeldLease,
        batch: Option<Box<Batch>>,
    ) -> Self {
        let value = held.take_live().and_then(|live| live.take(shape.kind()));
        Self {
            shape,
            held: Some(held),
            batch,
            value,
        }
    }

    /// The value, with the changes of those before.
    ///
    /// # Errors
    /// If the stored value does not decode.
    pub(crate) fn value(&mut self) -> Result<&mut T, Error> {
        if self.value.is_none() {
            let held = self.held.as_ref().and_then(HeldLease::state);
            let state = self.batch.as_ref().map(|batch| &batch.state).or(held);
            self.value = Some(self.shape.decode(state)?);
        }
        self.value
            .as_mut()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a value was read and is not there"))
    }

    /// Takes the changed value into the batch.
    ///
    /// # Errors
    /// If it does not encode or is over its bound; the value is as it was before then.
    pub(crate) fn change(&mut self) -> Result<(), Error> {
        let (Some(held), Some(value)) = (&self.held, &self.value) else {
            return Err(Error::new(
                ErrorKind::Internal,
                "there is no value to write",
            ));
        };
        let bound = held.options().max_state_bytes();
        let state = self.shape.encode(value, bound)?;
        match &mut self.batch {
            Some(batch) => {
                batch.state = state;
                batch.changes = batch.changes.saturating_add(1);
            }
            None => self.batch = Some(Box::new(Batch::new(self.shape.kind(), state))),
        }
        Ok(())
    }

    /// Forgets what the closure did to the value.
    pub(crate) fn undo(&mut self) {
        self.value = None;
    }

    /// Passes the lease on to the next update, or has the batch committed.
    pub(crate) fn end(mut self, is_changed: bool) -> Joined {
        self.hand_on(is_changed)
    }

    fn hand_on(&mut self, is_changed: bool) -> Joined {
        let Some(mut held) = self.held.take() else {
            return Joined::Passed;
        };
        if let Some(value) = self.value.take() {
            held.put_live(Live::new(self.shape.kind(), value));
        }
        let Some(batch) = self.batch.take() else {
            return Joined::Nothing(held);
        };
        let waits = is_changed.then(|| batch.verdict.subscribe());
        let joined = waits.map_or(Joined::Passed, Joined::Batch);
        if batch.changes < CHANGES_MAX && held.may_gather() {
            match held.hold().take_turn() {
                Some(turn) => turn.queue().pass(Parked::with(held, batch), Some(turn)),
                // It was lost since it was looked at, and the turn with it.
                None => batch.fail(Error::lease_lost(held.cause_of_loss())),
            }
            return joined;
        }
        if is_changed && batch.changes == 1 {
            instrument::batch(1);
            return Joined::Alone(held, batch.state);
        }
        commit_for_all(held, *batch);
        joined
    }
}

/// A closure has panicked: it leaves no trace, and those before it and after it go on.
impl<T: Send + 'static> Drop for Combining<T> {
    fn drop(&mut self) {
        self.value = None;
        drop(self.hand_on(false));
    }
}

impl<T: Send + 'static> fmt::Debug for Combining<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Combining")
            .field("held", &self.held)
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}

/// Commits in a task of its own, so that nobody who is dropped takes the others' commit along.
pub(crate) fn commit_for_all(held: HeldLease, batch: Batch) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(batch.commit(held))),
        // Dropping `held` releases in the background, if there will be any runtime again.
        Err(error) => batch.fail(
            Error::new(ErrorKind::Unavailable, "no runtime is left to commit it")
                .with_source(error),
        ),
    }
}

/// Waits for the commit of a batch.
///
/// # Cancel safety
/// Safe to drop: the commit goes on without the caller.
pub(crate) async fn verdict(mut waits: watch::Receiver<Option<Verdict>>) -> Result<(), Error> {
    let said = waits.wait_for(Option::is_some).await.map(|v| v.clone());
    match said {
        Ok(Some(Ok(()))) => Ok(()),
        Ok(Some(Err(error))) => Err(Error::shared(&error)),
        Ok(None) | Err(_) => Err(Error::new(
            ErrorKind::Unavailable,
            "the runtime that committed it ended before an answer came",
        )
        .with_effect(Effect::Unknown)),
    }
}
