//! [`Hold`]: one lease as the client that has it keeps it, and [`Health`].

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::Span;
use tracing::span::Id;

use crate::answer::LossCause;
use crate::clock::{Clock, Moment};
use crate::instrument::Since;
use crate::name::LockName;
use crate::options::LockOptions;
use crate::owner::OwnerId;
use crate::queue::{NameQueue, Turn};
use crate::renewal::plan::{Outcome, RenewalPlan, Step};
use crate::request::Renew;
use crate::token::FencingToken;

/// How sure a guard may be of its lease (C10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// Renewals go through.
    Healthy,
    /// The last renewal failed or is overdue; the lease is still held.
    Jeopardy {
        /// How long the holder may still act if no renewal goes through.
        left: Duration,
    },
    /// The lease is over: stop touching the resource.
    Lost {
        /// How it was lost.
        cause: LossCause,
    },
}

/// Where a hold is in its life. It only moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Held,
    /// Its guard is committing and releasing, or releasing: no renewal is sent any more.
    Ending,
    /// Its guard gave it up.
    Ended,
    Lost(LossCause),
}

/// One use of a lease that this client was granted: a guard's, or the next one's while it is handed
/// over. Holds of one lease share its owner and its renewals, and each has a token of its own.
///
/// # Invariants
/// 1. A phase never goes back: what is lost or ended is never held again.
/// 2. The turn of the name is free once the hold is ended or lost, so that a guard that lives on
///    after its loss keeps nobody waiting.
#[derive(Debug)]
pub(crate) struct Hold {
    name: LockName,
    owner: OwnerId,
    token: FencingToken,
    renew: Renew,
    since: Since,
    inner: Mutex<Inner>,
    ended: Notify,
    /// Whether it goes back to the store when it ends, and to nobody of this process.
    returns: AtomicBool,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    plan: RenewalPlan,
    turn: Option<Turn>,
    /// As long as it is in use.
    span: Span,
}

impl Hold {
    pub(crate) fn new(
        renew: Renew,
        sent_at: Moment,
        options: &LockOptions,
        turn: Turn,
    ) -> Arc<Self> {
        let plan = RenewalPlan::new(sent_at, options);
        Self::held(renew.token, renew, Since::at(sent_at), plan, Some(turn))
    }

    fn held(
        token: FencingToken,
        renew: Renew,
        since: Since,
        plan: RenewalPlan,
        turn: Option<Turn>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: renew.name.clone(),
            owner: renew.owner,
            token,
            renew,
            since,
            inner: Mutex::new(Inner {
                phase: Phase::Held,
                plan,
                turn,
                span: Span::none(),
            }),
            ended: Notify::new(),
            returns: AtomicBool::new(false),
        })
    }

    /// Ends this hold and begins another of the same lease under a later token; also returns the
    /// turn. `None` if the lease is not surely ours, or on its way back.
    pub(crate) fn pass(
        &self,
        token: FencingToken,
        since: Since,
    ) -> Option<(Arc<Self>, Option<Turn>)> {
        let _span;
        let mut inner = self.inner();
        let is_sure = inner.plan.failures() == 0 && !inner.plan.is_suspected();
        if inner.phase != Phase::Held || !is_sure {
            return None;
        }
        inner.phase = Phase::Ended;
        _span = mem::replace(&mut inner.span, Span::none());
        let next = Self::held(token, self.renew.clone(), since, inner.plan.clone(), None);
        Some((next, inner.turn.take()))
    }

    /// Takes the turn, which goes to whoever adds to what is to be written.
    pub(crate) fn take_turn(&self) -> Option<Turn> {
        self.inner().turn.take()
    }

    /// Puts the turn of its next user into a hold that waited; gives it back if the lease was lost
    /// meanwhile.
    pub(crate) fn put_turn(&self, turn: Turn) -> Option<Turn> {
        let mut inner = self.inner();
        if !matches!(inner.phase, Phase::Held | Phase::Ending) {
            return Some(turn);
        }
        inner.turn.replace(turn)
    }

    /// Whether its lease is on its way from one user to the next, or back to the store.
    pub(crate) fn is_between(&self) -> bool {
        let inner = self.inner();
        inner.phase == Phase::Held && inner.turn.is_none()
    }

    /// The queue in which the others wait.
    pub(crate) fn queue(&self) -> Option<Arc<NameQueue>> {
        self.inner().turn.as_ref().map(Turn::queue)
    }

    pub(crate) fn name(&self) -> &LockName {
        &self.name
    }

    pub(crate) fn owner(&self) -> OwnerId {
        self.owner
    }

    pub(crate) fn token(&self) -> FencingToken {
        self.token
    }

    /// Has the lease go back to the store when this hold ends.
    pub(crate) fn return_to_store(&self) {
        self.returns.store(true, Ordering::Release);
    }

    /// Whether it must not pass to a waiter of this process.
    pub(crate) fn returns_to_store(&self) -> bool {
        self.returns.load(Ordering::Acquire)
    }

    pub(crate) fn since(&self) -> Since {
        self.since
    }

    /// Keeps the span of whoever uses the lease now.
    pub(crate) fn keep_span(&self, span: Span) {
        let mut inner = self.inner();
        let before = match inner.phase {
            Phase::Held | Phase::Ending => mem::replace(&mut inner.span, span),
            Phase::Ended | Phase::Lost(_) => span,
        };
        drop(inner);
        drop(before);
    }

    pub(crate) fn span_id(&self) -> Option<Id> {
        self.inner().span.id()
    }

    pub(crate) fn renew_request(&self) -> &Renew {
        &self.renew
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn valid_until(&self) -> Moment {
        self.inner().plan.valid_until()
    }

    pub(crate) fn interval(&self) -> Duration {
        self.inner().plan.interval()
    }

    pub(crate) fn wake_at(&self) -> Moment {
        self.inner().plan.wake_at()
    }

    /// How the lease was lost; by the clock alone if nobody has said so yet.
    pub(crate) fn loss(&self, now: Moment) -> Option<LossCause> {
        let inner = self.inner();
        match inner.phase {
            Phase::Lost(cause) => Some(cause),
            Phase::Held | Phase::Ending if now >= inner.plan.valid_until() => {
                Some(LossCause::Expired)
            }
            Phase::Held | Phase::Ending | Phase::Ended => None,
        }
    }

    pub(crate) fn health(&self, now: Moment) -> Health {
        if let Some(cause) = self.loss(now) {
            return Health::Lost { cause };
        }
        let inner = self.inner();
        let plan = &inner.plan;
        let left = plan.valid_until().since(now);
        // Overdue: two intervals without a renewal leave less than this.
        let overdue = left
            <= plan
                .validity()
                .saturating_sub(plan.interval().saturating_mul(2));
        if plan.failures() > 0 || overdue {
            Health::Jeopardy { left }
        } else {
            Health::Healthy
        }
    }

    /// Resolves when the lease is lost, no later than at the end of its validity.
    ///
    /// # Cancel safety
    /// Safe to drop: it only waits.
    pub(crate) async fn lost(&self, clock: &dyn Clock) -> LossCause {
        loop {
            // Registered before the check: a loss between the two would be missed otherwise.
            let told = self.ended.notified();
            tokio::pin!(told);
            let _enabled: bool = told.as_mut().enable();
            // Read before the loss: what is not open and not lost ended well, and stays so.
            let open = self.is_open();
            if let Some(cause) = self.loss(clock.now()) {
                return cause;
            }
            if !open {
                return std::future::pending().await;
            }
            let valid_until = self.valid_until();
            tokio::select! {
                biased;
                () = told => {}
                () = clock.sleep_until(valid_until) => {}
            }
        }
    }

    /// Looks at the lease on behalf of the renewal driver; `None` if it needs no more care.
    pub(crate) fn look(&self, now: Moment, slack: Duration) -> Option<Step> {
        let mut inner = self.inner();
        (inner.phase == Phase::Held).then(|| inner.plan.look(now, slack))
    }

    /// Takes in what became of a renewal; `None` if it does not matter any more.
    pub(crate) fn answered(&self, outcome: Outcome, sent_at: Moment, now: Moment) -> Option<Step> {
        let mut inner = self.inner();
        (inner.phase == Phase::Held).then(|| inner.plan.answered(outcome, sent_at, now))
    }

    /// Forgets a renewal whose driver is gone.
    pub(crate) fn restart(&self) {
        self.inner().plan.restart();
    }

    /// Makes the next renewal due at once.
    pub(crate) fn suspect(&self, now: Moment) {
        self.inner().plan.suspect(now);
    }

    /// Stops renewal because the guard gives the lease up.
    pub(crate) fn begin_end(&self) {
        let mut inner = self.inner();
        if inner.phase == Phase::Held {
            inner.phase = Phase::Ending;
        }
    }

    /// Whether there may be something to release at the store.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.inner().phase, Phase::Held | Phase::Ending)
    }

    /// Marks the lease as given up and returns the turn, which the caller passes on or drops.
    pub(crate) fn end(&self) -> Option<Turn> {
        let _span;
        let mut inner = self.inner();
        _span = mem::replace(&mut inner.span, Span::none());
        if matches!(inner.phase, Phase::Held | Phase::Ending) {
            inner.phase = Phase::Ended;
        }
        inner.turn.take()
    }

    /// Marks the lease as lost and wakes whoever waits to be told; returns whether it was news, and
    /// the turn.
    pub(crate) fn lose(&self, cause: LossCause) -> (bool, Option<Turn>) {
        let mut inner = self.inner();
        let news = matches!(inner.phase, Phase::Held | Phase::Ending);
        if news {
            inner.phase = Phase::Lost(cause);
        }
        let turn = inner.turn.take();
        let span = mem::replace(&mut inner.span, Span::none());
        drop(inner);
        drop(span);
        self.ended.notify_waiters();
        (news, turn)
    }
}
