//! Takes a lock: runs the acquire plan against the store, and cleans up when dropped half-way.

pub(crate) mod plan;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::StreamExt;
use tracing::{Instrument, Span};

use crate::answer::{Acquisition, Grant, Previous, Refusal};
use crate::backend::Hints;
use crate::call::{bounded, sleep_until};
use crate::clock::Moment;
use crate::engine::{Core, Engine};
use crate::error::{Effect, Error, ErrorKind};
use crate::held::{HeldLease, Unparked};
use crate::hold::Hold;
use crate::instrument;
use crate::options::LockOptions;
use crate::outstanding::Ticket;
use crate::owner::OwnerId;
use crate::queue::plan::{Relay, reserve};
use crate::queue::{NameQueue, Turn};
use crate::reaper::Abandoned;
use crate::request::{Acquire, Renew};
use crate::shape::UpdateKind;
use crate::update::Batch;
use plan::{AcquirePlan, Limit, Step};

/// What is wanted: the same for every `lock()` of one mutex.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) engine: &'a Arc<Engine>,
    pub(crate) queue: &'a Arc<NameQueue>,
    pub(crate) options: &'a Arc<LockOptions>,
    /// Whether the lock guards no value.
    pub(crate) plain: bool,
    /// For an update: with which others it may share a commit.
    pub(crate) update: Option<UpdateKind>,
}

/// A lock that was taken.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) held: HeldLease,
    pub(crate) previous: Previous,
    /// Changes of other updates that it is to write.
    pub(crate) batch: Option<Box<Batch>>,
}

impl Taken {
    /// From the holder before, in this process.
    const fn handed_over(held: HeldLease, batch: Option<Box<Batch>>) -> Self {
        Self {
            held,
            previous: Previous::Released,
            batch,
        }
    }
}

/// Takes the lock; `None` if it is another's and the limit is [`Limit::Try`].
///
/// # Cancel safety
/// Safe to drop: what was sent is undone in the background.
pub(crate) async fn acquire(wanted: Wanted<'_>, limit: Limit) -> Result<Option<Taken>, Error> {
    let core = &wanted.engine.core;
    let name = wanted.queue.name();
    let running = wanted.engine.ensure_running();
    running.map_err(|error| error.in_operation("acquire", name))?;
    let ttl = wanted.options.ttl();
    let span = instrument::acquire_span(core.backend.kind(), name, ttl);
    let mut run = Run {
        core,
        plan: AcquirePlan::new(limit, wanted.options, core.backend.capabilities().push),
        started: core.clock.now(),
        attempts: 0,
        unknown: false,
        last_error: None,
        is_refused: false,
        blocked_by: None,
        span: span.clone(),
        wanted,
    };
    let taken = run.run(limit).instrument(span.clone()).await;
    let outcome = match &taken {
        Ok(Some(taken)) => {
            let hold = taken.held.hold();
            if run.attempts == 0 {
                // It passed on, with the owner that it had.
                instrument::record_owner(&span, hold.owner());
            }
            instrument::record_token(&span, hold);
            if let Some(span) = instrument::hold_span(hold) {
                hold.keep_span(span);
            }
            "acquired"
        }
        Ok(None) => "refused",
        Err(error) => {
            instrument::record_error(&span, error);
            if error.kind() == ErrorKind::Timeout {
                "timeout"
            } else {
                "error"
            }
        }
    };
    instrument::acquired(&span, outcome, run.waited(), run.attempts);
    taken.map_err(|error| error.in_operation("acquire", run.wanted.queue.name()))
}

struct Run<'a> {
    core: &'a Arc<Core>,
    wanted: Wanted<'a>,
    plan: AcquirePlan,
    started: Moment,
    attempts: u32,
    /// Whether the reply to some attempt is missing.
    unknown: bool,
    last_error: Option<Error>,
    /// Whether the store has refused it.
    is_refused: bool,
    /// Who held the lock when it was refused last.
    blocked_by: Option<OwnerId>,
    span: Span,
}

impl Run<'_> {
    async fn run(&mut self, limit: Limit) -> Result<Option<Taken>, Error> {
        let turn = match limit {
            Limit::Try => self.wanted.queue.try_turn(),
            Limit::None | Limit::Until(_) => self.turn().await?,
        };
        let Some(mut turn) = turn else {
            let (core, name) = (self.core, self.wanted.queue.name());
            instrument::blocked_here(&self.span, || core.schedule.hold_of(name));
            return Ok(None);
        };
        if let Some(parked) = self.wanted.queue.take_parked() {
            let Wanted {
                options,
                plain,
                update,
                ..
            } = self.wanted;
            turn = match parked.unpark(turn, options, plain, update) {
                Unparked::Taken(held, batch) => return Ok(Some(Taken::handed_over(held, batch))),
                Unparked::Lost(turn) => turn,
                Unparked::Other(turn, parked) => {
                    // CANCEL: it is released in the background then. Boxed, since it is seldom needed.
                    Box::pin(self.await_end(parked.release())).await?;
                    turn
                }
            };
        }
        // Drawn here, since a lease that passed on has its owner.
        let owner = OwnerId::draw(&*self.core.entropy);
        instrument::record_owner(&self.span, owner);
        let mut sent = Sent::new(self.wanted.engine, self.wanted.queue, owner, turn);
        let mut hints: Option<Hints> = None;
        let mut step = Step::Attempt;
        loop {
            step = match step {
                Step::Attempt => match self.attempt(&mut sent, limit).await? {
                    Attempted::Granted(taken) => return Ok(Some(taken)),
                    Attempted::Next(step) => step,
                },
                Step::WatchThenAttempt => {
                    let sent_at = self.core.clock.now();
                    match self.watch().await? {
                        Ok(stream) => {
                            hints = Some(stream);
                            self.plan.watching()
                        }
                        Err(error) => self.failed(error, sent_at),
                    }
                }
                Step::Wait { until } => {
                    self.wait(until, &mut hints).await?;
                    self.plan.woken(self.core.clock.now())
                }
                Step::Refused => {
                    if !self.unknown {
                        sent.refused();
                    }
                    return Ok(None);
                }
                Step::TimedOut => return Err(self.timed_out()),
                Step::GiveUp => return Err(self.give_up()),
            };
        }
    }

    /// Asks the store once.
    async fn attempt(&mut self, sent: &mut Sent<'_>, limit: Limit) -> Result<Attempted, Error> {
        let options = self.wanted.options;
        let request = Acquire {
            name: self.wanted.queue.name().clone(),
            owner: sent.owner,
            ttl: options.ttl(),
            reserve: reserve(self.wanted.queue.is_wanted(), options),
            label: options.label().clone(),
            stand_in_line: limit != Limit::Try && self.core.backend.capabilities().line,
            forget_after: options.forget_after(self.wanted.plain),
            spare_state: self.wanted.plain,
        };
        self.attempts = self.attempts.saturating_add(1);
        // Read before sending: delay can only shorten what we believe we hold (C4).
        let sent_at = self.core.clock.now();
        sent.sent_at(sent_at, options);
        let call = self.core.backend.acquire(&request);
        let span = instrument::attempt_span(self.attempts);
        // CANCEL: `sent` releases by owner in the background.
        let answer = self.call(call).instrument(span).await?;
        let now = self.core.clock.now();
        Ok(match answer {
            Ok(Acquisition::Granted(grant)) => self.granted(grant, &request, sent_at, sent)?,
            Ok(Acquisition::Refused(refusal)) => {
                self.blocked(&refusal, limit);
                Attempted::Next(self.plan.refused(refusal, now, &*self.core.entropy))
            }
            Ok(Acquisition::Ended) => {
                // Our grant was ended before we heard of it: forced, or undone by the backend.
                let owner = OwnerId::draw(&*self.core.entropy);
                instrument::record_owner(&self.span, owner);
                sent.new_owner(owner);
                Attempted::Next(self.plan.ended(now, &*self.core.entropy))
            }
            Err(error) => Attempted::Next(self.failed(error, sent_at)),
        })
    }

    /// Notes who keeps it waiting.
    fn blocked(&mut self, refusal: &Refusal, limit: Limit) {
        let is_first = !std::mem::replace(&mut self.is_refused, true);
        if is_first && limit != Limit::Try {
            instrument::waits_at_the_store();
        }
        if let Some(holder) = &refusal.holder
            && (holder.owner.is_none() || holder.owner != self.blocked_by)
        {
            self.blocked_by = holder.owner;
            instrument::blocked(&self.span, holder);
        }
    }

    /// Turns a grant into a held lease, unless it came too late to be believed.
    fn granted(
        &mut self,
        grant: Grant,
        request: &Acquire,
        sent_at: Moment,
        sent: &mut Sent<'_>,
    ) -> Result<Attempted, Error> {
        let options = self.wanted.options;
        if self.core.clock.now() >= sent_at.after(options.validity()) {
            // Never hand out a dead guard. The same owner asks again: the store answers with the
            // same grant and starts its ttl anew, or refuses because another has the lock now. A
            // store that is always too slow for the ttl counts as one that does not answer.
            let late = Error::new(
                ErrorKind::Unavailable,
                "the store granted it too late to be used; is the ttl long enough?",
            )
            .with_effect(Effect::Unknown);
            return Ok(Attempted::Next(self.failed(late, sent_at)));
        }
        let Some(turn) = sent.settle() else {
            return Err(Error::new(
                ErrorKind::Internal,
                "the turn was given away twice",
            ));
        };
        let renew = Renew {
            name: request.name.clone(),
            owner: request.owner,
            token: grant.token,
            ttl: request.ttl,
            forget_after: request.forget_after,
            spare_state: request.spare_state,
        };
        let hold = Hold::new(renew, sent_at, options, turn);
        let relay = Relay::new(self.core.clock.now(), grant.token, grant.reserved);
        let held = HeldLease::new(
            Arc::clone(self.wanted.engine),
            hold,
            Arc::clone(options),
            relay,
            grant.state,
        );
        if !self.core.schedule.add(held.hold()) {
            // Dropping `held` releases in the background, and `close` waits for that.
            return Err(closed());
        }
        Ok(Attempted::Granted(Taken {
            held,
            batch: None,
            previous: grant.previous,
        }))
    }

    async fn watch(&mut self) -> Result<Result<Hints, Error>, Error> {
        let call = self.core.backend.watch(self.wanted.queue.name());
        self.call(call).await
    }

    /// A call bounded by the request time-out and the caller's deadline; ends early if the client
    /// is closed.
    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<Result<T, Error>, Error> {
        let mut limit = self.wanted.options.request_timeout();
        if let Some(deadline) = self.plan.deadline() {
            // A deadline in the past still gets one quick answer, so that a time-out of zero is a
            // try and not a refusal to look.
            let left = deadline.since(self.core.clock.now());
            limit = limit.min(left.max(SHORTEST_CALL));
        }
        tokio::select! {
            biased;
            () = self.core.closed() => Err(closed()),
            answer = bounded(&*self.core.clock, limit, call) => Ok(answer),
        }
    }

    /// Waits for the name's turn, but not past the deadline or the client's end.
    async fn turn(&mut self) -> Result<Option<Turn>, Error> {
        let queue = self.wanted.queue;
        // Nobody waits if it is to be had at once: it goes to who came first.
        if let Some(turn) = queue.try_turn() {
            return Ok(Some(turn));
        }
        let holding = || self.core.schedule.hold_of(queue.name());
        instrument::queued(&self.span, holding, queue.waiting());
        let turn = queue.turn();
        tokio::pin!(turn);
        // No timer, since many may wait. The turn may be with the reaper, though, whose runtime may
        // end: who waits is told then, and has it run on its own.
        let mut news = self.core.news();
        self.wanted.engine.ensure_running()?;
        loop {
            tokio::select! {
                biased;
                () = news.come() => {
                    self.wanted.engine.ensure_running()?;
                    // A runtime that is ending has nothing run: let it end.
                    tokio::task::yield_now().await;
                }
                turn = &mut turn => return Ok(turn),
                () = sleep_until(&*self.core.clock, self.plan.deadline()) => return Err(self.timed_out()),
            }
        }
    }

    /// Waits for a lease that we cannot use to be given back, but not past the deadline or the
    /// client's end.
    async fn await_end(&mut self, ended: impl Future<Output = ()>) -> Result<(), Error> {
        tokio::select! {
            biased;
            () = self.core.closed() => Err(closed()),
            () = ended => Ok(()),
            () = sleep_until(&*self.core.clock, self.plan.deadline()) => Err(self.timed_out()),
        }
    }

    /// Waits for a hint or the moment. When the hints end, the plan polls from then on.
    async fn wait(&mut self, until: Moment, hints: &mut Option<Hints>) -> Result<(), Error> {
        let hint = async {
            match hints.as_mut() {
                Some(stream) => stream.next().await,
                None => std::future::pending().await,
            }
        };
        let woken = tokio::select! {
            biased;
            () = self.core.closed() => return Err(closed()),
            woken = hint => woken,
            () = self.core.clock.sleep_until(until) => return Ok(()),
        };
        if woken.is_none() {
            *hints = None;
            self.plan.watch_ended();
        }
        Ok(())
    }

    fn failed(&mut self, error: Error, sent_at: Moment) -> Step {
        self.unknown |= error.effect() == Effect::Unknown;
        let step = self.plan.failed(
            error.is_retryable(),
            sent_at,
            self.core.clock.now(),
            &*self.core.entropy,
        );
        self.last_error = Some(error);
        step
    }

    fn waited(&self) -> Duration {
        self.core.clock.now().since(self.started)
    }

    fn timed_out(&mut self) -> Error {
        let message = if self.attempts == 0 {
            "others in this process had it, or waited for it before, until the caller's time was up"
        } else {
            "it was not free before the caller's time was up"
        };
        let error = Error::new(ErrorKind::Timeout, message);
        let error = match self.last_error.take() {
            Some(cause) => error.with_source(cause),
            None => error,
        };
        error
            .or_unknown(self.unknown)
            .with_effort(self.attempts, self.waited())
    }

    fn give_up(&mut self) -> Error {
        let error = self
            .last_error
            .take()
            .unwrap_or_else(|| Error::new(ErrorKind::Internal, "gave up without a failure"));
        error
            .or_unknown(self.unknown)
            .with_effort(self.attempts, self.waited())
    }
}

enum Attempted {
    Granted(Taken),
    Next(Step),
}

/// The least that an attempt is given.
const SHORTEST_CALL: Duration = Duration::from_millis(50);

/// What was sent and not settled yet. Dropped, it has the owner released in the background.
struct Sent<'a> {
    engine: &'a Engine,
    queue: &'a NameQueue,
    owner: OwnerId,
    turn: Option<Turn>,
    /// When the last grant that may be under way is over; `None` if nothing was sent.
    until: Option<Moment>,
    ticket: Option<Ticket>,
}

impl<'a> Sent<'a> {
    fn new(engine: &'a Engine, queue: &'a NameQueue, owner: OwnerId, turn: Turn) -> Self {
        Self {
            engine,
            queue,
            owner,
            turn: Some(turn),
            until: None,
            ticket: None,
        }
    }

    fn sent_at(&mut self, now: Moment, options: &LockOptions) {
        let longest = options
            .request_timeout()
            .saturating_add(options.ttl().as_duration());
        self.until = Some(now.after(longest));
        self.ticket
            .get_or_insert_with(|| self.engine.core.outstanding.ticket());
    }

    /// The owner that was sent has ended at the store, so there is nothing of it to undo.
    fn new_owner(&mut self, owner: OwnerId) {
        self.owner = owner;
        self.until = None;
    }

    /// The store said no to an owner that stands in no line, so there is nothing to undo.
    fn refused(&mut self) {
        self.until = None;
    }

    /// The grant is in hand: there is nothing to undo.
    fn settle(&mut self) -> Option<Turn> {
        self.until = None;
        self.turn.take()
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        let (Some(until), Some(ticket)) = (self.until.take(), self.ticket.take()) else {
            return;
        };
        self.engine.core.graveyard.push(Abandoned {
            name: self.queue.name().clone(),
            owner: self.owner,
            until,
            turn: self.turn.take(),
            ticket,
        });
    }
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the client was closed")
}
