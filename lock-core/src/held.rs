//! [`HeldLease`]: ownership of a hold. Whoever drops it without ending it has it passed on to the next
//! waiter of this process, or released in the background (C7).

use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Handle;
use tracing::Instrument;

use crate::answer::{LossCause, Release, Renewal, Stored};
use crate::backoff::Backoff;
use crate::call::bounded;
use crate::engine::{Core, Engine};
use crate::error::{Effect, Error, ErrorKind};
use crate::hold::Hold;
use crate::instrument::{self, Since};
use crate::options::LockOptions;
use crate::outstanding::Ticket;
use crate::owner::OwnerId;
use crate::queue::plan::Relay;
use crate::queue::{NameQueue, Turn};
use crate::reaper;
use crate::renewal::declare_lost;
use crate::request::{Commit, Then};
use crate::shape::UpdateKind;
use crate::state::State;
use crate::token::FencingToken;
use crate::update::{Batch, Live, commit_for_all};

/// The one owner of a hold in this process.
#[derive(Debug)]
pub(crate) struct HeldLease {
    engine: Arc<Engine>,
    hold: Arc<Hold>,
    options: Arc<LockOptions>,
    relay: Relay,
    /// The value as the store has it, if there is one.
    state: Option<State>,
    /// Counts the commits under the token.
    sequence: u32,
    /// Whether a write was sent of which it is not known whether it was applied, or may yet be.
    is_unsettled: bool,
    /// Counts the end of the lease as under way until whatever follows from it is: a release in the
    /// background has a ticket of its own by then.
    ending: Option<Ticket>,
    /// The value that `state` is when decoded, or will be when a batch is committed.
    live: Option<Box<Live>>,
}

impl HeldLease {
    pub(crate) fn new(
        engine: Arc<Engine>,
        hold: Arc<Hold>,
        options: Arc<LockOptions>,
        relay: Relay,
        state: Option<State>,
    ) -> Self {
        Self {
            engine,
            hold,
            options,
            relay,
            state,
            sequence: 0,
            is_unsettled: false,
            ending: None,
            live: None,
        }
    }

    pub(crate) fn take_live(&mut self) -> Option<Box<Live>> {
        self.live.take()
    }

    /// Keeps the decoded value for the next update, which need not decode it then.
    pub(crate) fn put_live(&mut self, live: Live) {
        self.live = Some(Box::new(live));
    }

    /// The queue in which the others wait.
    pub(crate) fn queue(&self) -> Option<Arc<NameQueue>> {
        self.hold.queue()
    }

    /// Whether the next waiter of this process may add to what is to be written.
    pub(crate) fn may_gather(&self) -> bool {
        if self.is_unsettled || self.queue().is_none_or(|queue| queue.waiting() == 0) {
            return false;
        }
        let (hold, now) = (&self.hold, self.core().clock.now());
        hold.loss(now).is_none()
            && self
                .relay
                .may_gather(now, hold.valid_until(), &self.options)
    }

    /// The value as the store has it, if there is one.
    pub(crate) fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    pub(crate) fn hold(&self) -> &Arc<Hold> {
        &self.hold
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.engine.core
    }

    pub(crate) fn options(&self) -> &LockOptions {
        &self.options
    }

    /// Fails if the lease is known to be lost.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.hold.loss(self.core().clock.now()) {
            Some(cause) => Err(Error::lease_lost(cause)),
            None => Ok(()),
        }
    }

    /// How a lease that is known to be lost was lost.
    pub(crate) fn cause_of_loss(&self) -> LossCause {
        let loss = self.hold.loss(self.core().clock.now());
        loss.unwrap_or(LossCause::Expired)
    }

    /// Writes the state and keeps the lease.
    ///
    /// # Cancel safety
    /// Safe to drop: a write under way happens before the next one or not at all.
    pub(crate) async fn save(&mut self, state: State) -> Result<(), Error> {
        self.store(state, Then::Keep).await
    }

    /// Writes the state and gives the lease up, to the next waiter of this process if it may pass on.
    ///
    /// # Cancel safety
    /// Safe to drop: a write under way happens before the lease ends or not at all, and the lease is
    /// released.
    pub(crate) async fn commit(mut self, state: State) -> Result<(), Error> {
        self.note_waiters();
        if self.next_token().is_some() {
            self.store(state, Then::Keep).await?;
            if !self.pass() {
                // The waiter has gone meanwhile. The write is known, whatever becomes of this.
                let _given_back = self.give_back().await;
            }
            return Ok(());
        }
        self.begin_end();
        self.store(state, Then::Release).await?;
        self.ended("committed");
        drop(self.hold.end());
        Ok(())
    }

    /// The token under which the lease may pass to a waiter of this process, if one is there.
    fn next_token(&self) -> Option<FencingToken> {
        let queue = self.hold.queue()?;
        (queue.waiting() > 0).then(|| self.token_after()).flatten()
    }

    /// The token under which the lease may pass on, if somebody comes.
    fn token_after(&self) -> Option<FencingToken> {
        if self.is_unsettled || self.hold.returns_to_store() {
            return None;
        }
        let (hold, now) = (&self.hold, self.core().clock.now());
        self.relay
            .next(hold.token(), now, hold.valid_until(), &self.options)
    }

    /// Whether the lease may pass on, if somebody comes.
    pub(crate) fn may_pass(&self) -> bool {
        self.token_after().is_some()
    }

    /// Passes the lease to the next waiter of this process; `false` if it has to be given back.
    ///
    /// Nothing is sent: the waiter works under the same owner, and its token is larger. Writes keep
    /// their order, since the lease does not pass while one is under way, and one that comes late
    /// has a smaller token than any that came after it.
    pub(crate) fn pass(&mut self) -> bool {
        let passed = || {
            let token = self.next_token()?;
            let queue = self.hold.queue()?;
            let core = self.core();
            let since = Since::now(&*core.clock);
            let (hold, turn) = core.schedule.pass(&self.hold, token, since)?;
            Some((queue, hold, turn))
        };
        let Some((queue, hold, turn)) = passed() else {
            return false;
        };
        instrument::handed_over();
        self.ended("handed_over");
        let mut next = Self::new(
            Arc::clone(&self.engine),
            hold,
            Arc::clone(&self.options),
            self.relay,
            self.state.take(),
        );
        next.live = self.live.take();
        queue.pass(Parked::new(next), turn);
        true
    }

    /// The use of the lease is over.
    fn ended(&self, end: &'static str) {
        instrument::hold_ended(&self.hold, end, &*self.core().clock);
    }

    async fn store(&mut self, state: State, then: Then) -> Result<(), Error> {
        let stored = self.write(state, then).await;
        instrument::stored(&stored);
        stored
    }

    async fn write(&mut self, state: State, then: Then) -> Result<(), Error> {
        self.check()?;
        // The number is used up before anything is sent: a late duplicate of a dropped save can
        // then never be taken for the next one.
        self.sequence = self.sequence.saturating_add(1);
        let hold = &self.hold;
        let request = Commit {
            name: hold.name().clone(),
            owner: hold.owner(),
            token: hold.token(),
            sequence: self.sequence,
            state,
            then,
        };
        // CANCEL: whoever drops this knows no more than that it may be applied.
        self.is_unsettled = true;
        let core = &self.engine.core;
        let _ticket = core.outstanding.ticket();
        let span = instrument::commit_span(hold);
        let (answer, unknown) = repeat(core, &self.options, || core.backend.commit(&request))
            .instrument(span)
            .await?;
        match answer {
            Stored::Committed { .. } => {
                self.is_unsettled = false;
                self.state = Some(request.state);
                Ok(())
            }
            Stored::Lost { cause, last_commit } => {
                core.schedule.remove(hold);
                declare_lost(core, hold, cause);
                let error = Error::lease_lost(self.cause_besides(cause));
                // An earlier request of ours may have been applied and overwritten since.
                let overwritten = last_commit.is_some_and(|last| last > hold.token());
                Err(error.or_unknown(unknown && overwritten))
            }
        }
    }

    /// Gives the lease up without writing, to the next waiter of this process if it may pass on.
    ///
    /// # Cancel safety
    /// Safe to drop: the release goes on in the background.
    pub(crate) async fn release(self) -> Result<(), Error> {
        self.note_waiters();
        self.give_back().await
    }

    /// Remembers whether somebody waits: the next lease is likely to pass on then.
    fn note_waiters(&self) {
        if let Some(queue) = self.hold.queue() {
            queue.note(queue.waiting() > 0);
        }
    }

    /// The same as [`release`](Self::release), where who waits now says nothing of those to come.
    ///
    /// # Cancel safety
    /// Safe to drop: the release goes on in the background.
    pub(crate) async fn give_back(mut self) -> Result<(), Error> {
        self.check()?;
        if self.pass() {
            return Ok(());
        }
        self.begin_end();
        let (core, hold) = (self.core(), &self.hold);
        let span = instrument::release_span(hold.name(), hold.owner());
        let call = || core.backend.release(hold.name(), hold.owner());
        let (answer, unknown) = repeat(core, &self.options, call).instrument(span).await?;
        if answer == Release::NotHeld && !unknown {
            let cause = self.cause().await;
            declare_lost(core, hold, cause);
            return Err(Error::lease_lost(self.cause_besides(cause)));
        }
        self.ended(if self.sequence > 0 {
            "committed"
        } else {
            "released"
        });
        drop(hold.end());
        Ok(())
    }

    /// The cause that the store gave, or that the client was closed, of which the store knows nothing.
    fn cause_besides(&self, said: LossCause) -> LossCause {
        match self.hold.loss(self.core().clock.now()) {
            Some(LossCause::Closed) => LossCause::Closed,
            Some(_) | None => said,
        }
    }

    /// How a lease that is gone was lost: a renewal of it says so and changes nothing.
    async fn cause(&self) -> LossCause {
        let core = self.core();
        let request = [self.hold.renew_request().clone()];
        let ask = async {
            core.backend
                .renew(&request)
                .await
                .pop()
                .unwrap_or_else(no_answers)
        };
        match bounded(&*core.clock, self.options.request_timeout(), ask).await {
            Ok(Renewal::Lost { cause }) => cause,
            // It is not known, and that the record is gone is all that is.
            Ok(Renewal::Renewed { .. }) | Err(_) => LossCause::Expired,
        }
    }

    /// Has it released in the background, unless it is over already.
    fn abandon(&mut self) {
        if self.hold.is_open() {
            self.begin_end();
            self.ended("dropped");
            reaper::abandon(self.core(), &self.hold, self.hold.end());
        }
    }

    /// Stops renewal. One that is under way changes nothing: it cannot revive what is released,
    /// since the owner is never used again.
    fn begin_end(&mut self) {
        let core = &self.engine.core;
        // Before it is out of care, so that `close` finds it in one of the two.
        self.ending.get_or_insert_with(|| core.outstanding.ticket());
        self.hold.begin_end();
        core.schedule.remove(&self.hold);
    }
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        if self.hold.is_open() && !self.pass() {
            self.abandon();
        }
    }
}

/// A lease on its way from one guard of this process to the next. Its hold has no turn: that is with
/// whoever takes it.
#[derive(Debug)]
pub(crate) struct Parked {
    held: HeldLease,
    /// Changes that wait for their commit.
    batch: Option<Box<Batch>>,
}

/// What whoever has the turn gets of a lease that was passed on.
pub(crate) enum Unparked {
    /// It was lost meanwhile.
    Lost(Turn),
    /// It is of another kind, or has changes that others made: it has to be given back first.
    Other(Turn, Parked),
    /// The lease, with changes that it is to write.
    Taken(HeldLease, Option<Box<Batch>>),
}

impl Parked {
    pub(crate) const fn new(held: HeldLease) -> Self {
        Self { held, batch: None }
    }

    pub(crate) const fn with(held: HeldLease, batch: Box<Batch>) -> Self {
        Self {
            held,
            batch: Some(batch),
        }
    }

    /// The lease for whoever has the turn now. Changes that wait for their commit go to updates of
    /// this kind alone.
    pub(crate) fn unpark(
        self,
        turn: Turn,
        options: &Arc<LockOptions>,
        plain: bool,
        update: Option<UpdateKind>,
    ) -> Unparked {
        if let Err(error) = self.held.check() {
            // The changes were not sent.
            self.batch.into_iter().for_each(|batch| {
                batch.fail(Error::lease_lost(
                    error.loss().unwrap_or(LossCause::Expired),
                ))
            });
            return Unparked::Lost(turn);
        }
        let held = &self.held;
        let is_alike = Arc::ptr_eq(&held.options, options) || held.options == *options;
        let is_same_kind = held.hold.renew_request().spare_state == plain;
        let may_join = self
            .batch
            .as_ref()
            .is_none_or(|batch| Some(batch.kind) == update);
        if !(is_alike && is_same_kind && may_join) {
            return Unparked::Other(turn, self);
        }
        let Self { held, batch } = self;
        match held.hold.put_turn(turn) {
            None => Unparked::Taken(held, batch),
            Some(turn) => {
                batch
                    .into_iter()
                    .for_each(|batch| batch.fail(Error::lease_lost(LossCause::Expired)));
                Unparked::Lost(turn)
            }
        }
    }

    /// Gives the lease back to the store, with what is to be written; the caller keeps the turn.
    ///
    /// # Cancel safety
    /// Safe to drop, also before it is polled: it goes on in the background.
    pub(crate) fn release(self) -> impl Future<Output = ()> {
        let Self { held, batch } = self;
        let core = Arc::clone(held.core());
        let limit = held.options.request_timeout();
        // In a task of its own, which goes on if we are dropped.
        let going = match batch {
            Some(batch) => Ok(tokio::spawn(batch.commit(held))),
            None => Err(held),
        };
        async move {
            match going {
                Ok(committing) => drop(committing.await),
                Err(held) => drop(bounded(&*core.clock, limit, held.release()).await),
            }
        }
    }

    /// Gives the lease back in the background, with what is to be written, and then the turn.
    pub(crate) fn give_back(self, turn: Turn) {
        let Self { mut held, batch } = self;
        drop(held.hold.put_turn(turn));
        match batch {
            Some(batch) => commit_for_all(held, *batch),
            // Not passed on: whoever still counts as waiting is just going away, or coming, and the
            // lease would be back here at once, as often as it has tokens.
            None => held.abandon(),
        }
    }

    /// Gives the lease back in the background, with what is to be written, while another has the turn.
    pub(crate) fn give_up(self) {
        let Self { mut held, batch } = self;
        match batch {
            Some(batch) => {
                // Not in that of the renewals, which may have a thread of their own.
                let runtime = batch.runtime.clone();
                let _inside = runtime.as_ref().map(Handle::enter);
                commit_for_all(held, *batch);
            }
            None => held.abandon(),
        }
    }

    pub(crate) fn owner(&self) -> OwnerId {
        self.held.hold.owner()
    }
}

fn no_answers() -> Result<Renewal, Error> {
    Err(Error::new(
        ErrorKind::Internal,
        "the backend answered no renewal",
    ))
}

/// Sends a request that applies at most once until its answer is known or the patience is spent
/// (C6); also says whether an earlier reply is missing.
async fn repeat<T, F>(
    core: &Core,
    options: &LockOptions,
    mut call: impl FnMut() -> F,
) -> Result<(T, bool), Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let started = core.clock.now();
    let (shortest, longest) = options.poll();
    let mut backoff = Backoff::new(shortest, longest);
    let mut unknown = false;
    let mut attempts: u32 = 0;
    loop {
        attempts = attempts.saturating_add(1);
        // CANCEL: the request either applies once or not at all; the lease's owner releases it.
        let error = match bounded(&*core.clock, options.request_timeout(), call()).await {
            Ok(answer) => return Ok((answer, unknown)),
            Err(error) => error,
        };
        unknown |= error.effect() == Effect::Unknown;
        let waited = core.clock.now().since(started);
        if !error.is_retryable() || waited >= options.patience() {
            return Err(error.or_unknown(unknown).with_effort(attempts, waited));
        }
        let next = core.clock.now().after(backoff.next(&*core.entropy));
        core.clock.sleep_until(next).await;
    }
}

/// A value that is too large to be written.
pub(crate) fn too_large(bytes: usize, bound: usize) -> Error {
    Error::new(
        ErrorKind::State,
        format!(
            "the encoded value has {bytes} bytes, and the bound is {bound}; \
             keep large data elsewhere and guard a reference to it"
        ),
    )
}
