//! [`Habit`]: what a client does wrong on a store that may be right.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use lock_core::{Clock, Effect, LockBackend, LockName, Moment, Then};
use lock_testkit::subject::{Acquired, Ask, Client, Failure, Held, Read, StepClient};

/// What a client does wrong. One each, and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Habit {
    /// Nothing.
    #[default]
    None,
    /// It counts its lease from the reply, not from before the request.
    BelievesFromReply,
    /// It believes in its lease for twice its ttl.
    BelievesTooLong,
    /// Nothing is wrong: it does not count on renewals, and trusts its lease no longer for them.
    Cautious,
    /// It hands out grants that came too late.
    HandsOutLate,
    /// It takes a lease by two requests, of which the second sets the expiry.
    LocksThenExpires,
    /// Nothing is wrong: it passes its lease from task to task.
    Passes,
    /// It passes its lease on for as long as somebody waits, whoever waits elsewhere.
    PassesForEver,
    /// It passes its lease on with the value of the grant, not with that of the last commit.
    PassesAStaleValue,
    /// It passes its lease on under the token that it had.
    PassesTheSameToken,
    /// It passes its lease on while it is not known what became of a write.
    PassesUnsettled,
    /// Passing its lease on, it sends each commit once more, as another one.
    SendsAgainAsAnother,
    /// Passing its lease on, it says that a commit is done before the store has said so.
    TellsBeforeAcknowledged,
    /// Passing its lease on, it writes the change of a holder who released without a commit.
    WritesWhatWasAborted,
    /// It drops a grant that came too late and says that it was refused.
    DropsLate,
    /// It takes a renewal that says "lost" for a hiccup.
    IgnoresLoss,
    /// Having lost a lease once, it renews no later one.
    RenewsNoMore,
    /// A commit whose reply is missing is reported as not applied.
    ReportsCommitNotApplied,
    /// An acquire whose reply is missing is reported as refused.
    ReportsTimeoutAsRefused,
    /// A lock without tokens, whose release says that all is well though the lease was lost.
    ReportsLostAsReleased,
    /// Nothing is wrong: it is a lock that shows no tokens.
    Tokenless,
    /// It looks, then subscribes, then waits for a wake-up and for nothing else.
    WaitsForWakeUpAlone,
}

impl Habit {
    pub(crate) const fn is_tokenless(self) -> bool {
        matches!(self, Self::ReportsLostAsReleased | Self::Tokenless)
    }

    /// Whether it passes leases from task to task.
    pub(crate) const fn passes(self) -> bool {
        matches!(
            self,
            Self::Passes
                | Self::PassesAStaleValue
                | Self::PassesForEver
                | Self::PassesTheSameToken
                | Self::PassesUnsettled
                | Self::SendsAgainAsAnother
                | Self::TellsBeforeAcknowledged
                | Self::WritesWhatWasAborted
        )
    }
}

/// A client with a habit.
pub(crate) struct Habitual {
    pub(crate) inner: StepClient,
    pub(crate) backend: Arc<dyn LockBackend>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) habit: Habit,
    pub(crate) has_lost: AtomicBool,
}

/// A lease of a lock that has no tokens to show.
struct Plain {
    inner: Box<dyn Any + Send + Sync>,
    is_released: bool,
}

#[async_trait]
impl Client for Habitual {
    async fn acquire(&self, ask: &Ask) -> Result<Acquired, Failure> {
        match self.habit {
            Habit::LocksThenExpires => return self.acquire_then_expire(ask).await,
            Habit::WaitsForWakeUpAlone => return self.acquire_when_woken(ask).await,
            _ => {}
        }
        let answer = self.inner.acquire(ask).await;
        match (self.habit, answer) {
            (Habit::BelievesFromReply, Ok(Acquired::Held(held) | Acquired::Late(held))) => {
                Ok(Acquired::Held(self.believing(held, ask.ttl)))
            }
            (Habit::BelievesTooLong, Ok(Acquired::Held(held) | Acquired::Late(held))) => {
                let long = ask.ttl.saturating_mul(2);
                Ok(Acquired::Held(self.believing(held, long)))
            }
            (Habit::HandsOutLate, Ok(Acquired::Late(held))) => Ok(Acquired::Held(held)),
            (Habit::DropsLate, Ok(Acquired::Late(held))) => Ok(Acquired::Refused {
                repeated: held.repeated,
            }),
            (Habit::ReportsTimeoutAsRefused, Err(failure)) if failure.effect == Effect::Unknown => {
                Ok(Acquired::Refused { repeated: false })
            }
            (habit, Ok(Acquired::Held(mut held))) if habit.is_tokenless() => {
                let inner = std::mem::replace(&mut held.inner, Box::new(()));
                held.inner = Box::new(Plain {
                    inner,
                    is_released: false,
                });
                (held.token, held.value) = (0, Read::Unseen);
                Ok(Acquired::Held(held))
            }
            (_, answer) => answer,
        }
    }

    async fn renew(&self, held: &mut Held, ttl: Duration) -> Result<bool, Failure> {
        let is_numb = self.habit == Habit::RenewsNoMore && self.has_lost.load(Ordering::Relaxed);
        if is_numb {
            // It believes that its renewer is at work.
            held.valid_until = self.after(ttl);
            return Err(Failure::new(Effect::NotApplied, "nobody renews any more"));
        }
        let before = held.valid_until;
        let answer = self.inner.renew(held, ttl).await;
        match self.habit {
            Habit::Cautious => held.valid_until = before,
            Habit::BelievesTooLong if matches!(answer, Ok(true)) => {
                held.valid_until = self.after(ttl.saturating_mul(2));
            }
            Habit::BelievesFromReply if matches!(answer, Ok(true)) => {
                held.valid_until = self.after(ttl);
            }
            Habit::IgnoresLoss if !matches!(answer, Ok(true)) => {
                held.valid_until = self.after(ttl);
                return Err(Failure::new(Effect::NotApplied, "next time, perhaps"));
            }
            _ if matches!(answer, Ok(false)) => self.has_lost.store(true, Ordering::Relaxed),
            _ => {}
        }
        answer
    }

    async fn commit(&self, held: &mut Held, value: &str, then: Then) -> Result<bool, Failure> {
        let answer = self.inner.commit(held, value, then).await;
        answer.map_err(|failure| match self.habit {
            Habit::ReportsCommitNotApplied => Failure::new(Effect::NotApplied, failure.message),
            _ => failure,
        })
    }

    async fn release(&self, held: &mut Held) -> Result<bool, Failure> {
        if !self.habit.is_tokenless() {
            return self.inner.release(held).await;
        }
        let Some(plain) = held.inner.downcast_mut::<Plain>() else {
            return Ok(false);
        };
        if std::mem::replace(&mut plain.is_released, true) {
            return Ok(false);
        }
        held.inner = std::mem::replace(&mut plain.inner, Box::new(()));
        let is_released = self.inner.release(held).await?;
        held.inner = Box::new(Plain {
            inner: Box::new(()),
            is_released: true,
        });
        Ok(is_released || self.habit == Habit::ReportsLostAsReleased)
    }

    async fn peek(&self, key: &str) -> Result<(Read, u64), Failure> {
        self.inner.peek(key).await
    }
}

impl Habitual {
    fn after(&self, ttl: Duration) -> Moment {
        self.clock.now().after(ttl)
    }

    fn believing(&self, mut held: Held, long: Duration) -> Held {
        held.valid_until = self.after(long);
        held
    }

    async fn acquire_then_expire(&self, ask: &Ask) -> Result<Acquired, Failure> {
        let mut for_long = ask.clone();
        for_long.ttl = FOR_LONG;
        let mut answer = self.inner.acquire(&for_long).await;
        if let Ok(Acquired::Held(held) | Acquired::Late(held)) = &mut answer {
            let sent = self.clock.now();
            // CANCEL: the lease is there, and its expiry is not.
            tokio::task::yield_now().await;
            // What can go wrong with a request that only sets an expiry?
            let _answer = self.inner.renew(held, ask.ttl).await;
            held.valid_until = sent.after(ask.ttl / 2);
        }
        answer
    }

    async fn acquire_when_woken(&self, ask: &Ask) -> Result<Acquired, Failure> {
        let deadline = self.clock.now().after(ask.wait);
        let mut once = ask.clone();
        once.wait = Duration::ZERO;
        let mut hints = None;
        loop {
            let answer = self.inner.acquire(&once).await?;
            if !matches!(answer, Acquired::Refused { .. }) || self.clock.now() >= deadline {
                return Ok(answer);
            }
            let stream = match hints.take() {
                Some(stream) => Some(stream),
                None => self.backend.watch(&LockName::new(&ask.key)?).await.ok(),
            };
            let Some(mut stream) = stream else {
                return Ok(answer);
            };
            tokio::select! {
                biased;
                _ = stream.next() => {}
                () = self.clock.sleep_until(deadline) => {}
            }
            hints = Some(stream);
        }
    }
}

/// The lease of a lock whose expiry is still to be set.
const FOR_LONG: Duration = Duration::from_secs(24 * 60 * 60);
