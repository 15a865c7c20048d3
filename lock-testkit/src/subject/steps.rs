//! [`StepClient`]: drives a backend step by step.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use lock_core::{
    Acquire, Acquisition, Clock, Commit, Effect, Entropy, FencingToken, FormatTag, Grant, Hints,
    Label, LockBackend, LockName, Moment, OwnerId, Release, Renew, Renewal, State, Stored, Then,
    Ttl,
};

use super::{Acquired, Ask, Client, Failure, Held, Read};

/// A client that does nothing of its own but ask again.
///
/// An acquire keeps its owner over its attempts, waits as the contract says, and is undone when it
/// is dropped or fails. A lease is never renewed unless asked for, and what was lost is used all the
/// same: whether that is refused is the store's business.
#[derive(Debug)]
pub struct StepClient {
    backend: Arc<dyn LockBackend>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// How often a call is repeated whose outcome is unknown.
    pub(crate) retries: u32,
    /// How long it waits before it asks again where nothing is pushed.
    pub(crate) poll: Duration,
}

/// What a step client knows of its lease.
#[derive(Debug)]
struct Lease {
    name: LockName,
    owner: OwnerId,
    token: FencingToken,
    sequence: AtomicU32,
}

impl StepClient {
    /// How long it waits before it asks again where nothing is pushed, unless told otherwise.
    pub(crate) const POLL_MS: u64 = 20;

    /// A client of this backend.
    #[must_use]
    pub fn new(
        backend: Arc<dyn LockBackend>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            backend,
            clock,
            entropy,
            retries: 1,
            poll: Duration::from_millis(Self::POLL_MS),
        }
    }

    /// Asks again every so often where nothing is pushed, and after so many repeats gives up on a
    /// call whose outcome is unknown.
    #[must_use]
    pub const fn patience(mut self, poll: Duration, retries: u32) -> Self {
        (self.poll, self.retries) = (poll, retries);
        self
    }

    async fn attempts(&self, ask: &Ask, request: &mut Acquire) -> Result<Acquired, Failure> {
        let deadline = self.clock.now().after(ask.wait);
        let mut hints: Option<Hints> = None;
        let mut failures = 0_u32;
        let mut stands_in_line = false;
        let mut ended = 0_u32;
        loop {
            let sent = self.clock.now();
            match self.backend.acquire(request).await {
                Ok(Acquisition::Granted(grant)) => {
                    return Ok(self.granted(request, grant, sent, failures > 0));
                }
                Ok(Acquisition::Refused(refusal)) => {
                    stands_in_line = request.stand_in_line && self.backend.capabilities().line;
                    if self.clock.now() >= deadline {
                        return self.leave(request, failures > 0).await;
                    }
                    let is_new = hints.is_none() && self.backend.capabilities().push;
                    if is_new {
                        hints = self.backend.watch(&request.name).await.ok();
                    }
                    if !(is_new && hints.is_some()) {
                        let left = refusal.holder_expires_in;
                        let has_ended = self.wait(hints.as_mut(), left, deadline).await;
                        if has_ended {
                            hints = None;
                        }
                    }
                }
                Ok(_) if ended >= ENDED_MAX => {
                    return Err(Failure::new(Effect::Unknown, "each new owner had ended"));
                }
                Ok(_) => {
                    ended = ended.saturating_add(1);
                    request.owner = OwnerId::draw(&*self.entropy);
                }
                Err(error) if error.effect() == Effect::Unknown && failures < self.retries => {
                    failures = failures.saturating_add(1);
                }
                Err(error) => {
                    // The lock may be kept for who stands in line.
                    return Err(failure(&error, failures > 0 || stands_in_line));
                }
            }
        }
    }

    /// Gives up waiting.
    async fn leave(&self, request: &Acquire, repeated: bool) -> Result<Acquired, Failure> {
        if !request.stand_in_line || !self.backend.capabilities().line {
            return Ok(Acquired::Refused { repeated });
        }
        let since = self.clock.now();
        match self.backend.release(&request.name, request.owner).await {
            Ok(_) => Ok(Acquired::Left { since, repeated }),
            Err(error) => Err(Failure::new(Effect::Unknown, error.to_string())),
        }
    }

    fn granted(&self, request: &Acquire, grant: Grant, sent: Moment, repeated: bool) -> Acquired {
        let believed = believed(grant.ttl.as_duration());
        let valid_until = sent.after(believed);
        let lease = Lease {
            name: request.name.clone(),
            owner: request.owner,
            token: grant.token,
            sequence: AtomicU32::new(1),
        };
        let mut held = Held {
            key: request.name.as_str().to_owned(),
            token: grant.token.get(),
            value: grant.state.as_ref().map_or(Read::Nothing, text_of),
            valid_until,
            handed_out: None,
            repeated,
            inner: Box::new(lease),
        };
        let now = self.clock.now();
        if now < valid_until {
            held.handed_out = Some(now);
            Acquired::Held(held)
        } else {
            Acquired::Late(held)
        }
    }

    /// Waits for a hint, the end of the holder's lease, the time to ask again, or the deadline; whether
    /// there will be no more hints.
    async fn wait(
        &self,
        hints: Option<&mut Hints>,
        expires_in: Option<Duration>,
        deadline: Moment,
    ) -> bool {
        let now = self.clock.now();
        let expiry = expires_in.map(|left| now.after(left.saturating_add(TICK)));
        let Some(hints) = hints else {
            let until = now.after(self.poll).min(deadline);
            let until = expiry.map_or(until, |e| e.min(until));
            self.clock.sleep_until(until).await;
            return false;
        };
        let until = expiry.map_or(deadline, |e| e.min(deadline));
        tokio::select! {
            biased;
            hint = hints.next() => hint.is_none(),
            () = self.clock.sleep_until(until) => false,
        }
    }

    fn request(&self, ask: &Ask) -> Result<Acquire, Failure> {
        let name = LockName::new(&ask.key)?;
        let ttl = Ttl::new(ask.ttl)?;
        let owner = OwnerId::draw(&*self.entropy);
        let request = Acquire::new(name, owner, ttl, Label::new("lock-testkit")?);
        Ok(if ask.wait.is_zero() {
            request
        } else {
            request.standing_in_line()
        })
    }
}

#[async_trait]
impl Client for StepClient {
    async fn acquire(&self, ask: &Ask) -> Result<Acquired, Failure> {
        let mut undo = Undo {
            backend: Arc::clone(&self.backend),
            request: Some(self.request(ask)?),
        };
        let Some(request) = undo.request.as_mut() else {
            return Err(Failure::new(Effect::NotApplied, "there is no request"));
        };
        let answer = self.attempts(ask, request).await;
        let is_unknown = matches!(&answer, Err(failure) if failure.effect != Effect::NotApplied);
        if !is_unknown {
            undo.request = None;
        }
        answer
    }

    async fn renew(&self, held: &mut Held, ttl: Duration) -> Result<bool, Failure> {
        let lease = lease(held)?;
        let request = Renew::new(lease.name.clone(), lease.owner, lease.token, Ttl::new(ttl)?);
        let sent = self.clock.now();
        let mut answers = self.backend.renew(std::slice::from_ref(&request)).await;
        match answers.pop() {
            Some(Ok(Renewal::Renewed { .. })) => {
                held.valid_until = held.valid_until.max(sent.after(believed(ttl)));
                Ok(true)
            }
            Some(Ok(_)) => Ok(false),
            Some(Err(error)) => Err(error.into()),
            None => Err(Failure::new(Effect::Unknown, "a renewal had no answer")),
        }
    }

    async fn commit(&self, held: &mut Held, value: &str, then: Then) -> Result<bool, Failure> {
        let lease = lease(held)?;
        let sequence = lease.sequence.fetch_add(1, Ordering::Relaxed);
        let state = State::new(FormatTag::JSON, value.to_owned());
        let request = Commit::new(
            lease.name.clone(),
            lease.owner,
            lease.token,
            sequence,
            state,
            then,
        );
        let mut failures = 0_u32;
        loop {
            match self.backend.commit(&request).await {
                Ok(Stored::Committed { .. }) => return Ok(true),
                // An earlier request may have been applied and overwritten since.
                Ok(Stored::Lost { .. }) if failures > 0 => {
                    return Err(Failure::new(Effect::Unknown, "lost when asked again"));
                }
                Ok(_) => return Ok(false),
                Err(error) if error.effect() == Effect::Unknown && failures < self.retries => {
                    failures = failures.saturating_add(1);
                }
                Err(error) => return Err(failure(&error, failures > 0)),
            }
        }
    }

    async fn release(&self, held: &mut Held) -> Result<bool, Failure> {
        let lease = lease(held)?;
        match self.backend.release(&lease.name, lease.owner).await {
            Ok(answer) => Ok(answer == Release::Released),
            Err(error) => Err(error.into()),
        }
    }

    async fn peek(&self, key: &str) -> Result<(Read, u64), Failure> {
        let peeked = self.backend.peek(&LockName::new(key)?).await?;
        Ok(match peeked {
            Some(peeked) => (text_of(&peeked.state), peeked.token.get()),
            None => (Read::Nothing, 0),
        })
    }
}

/// An acquire that is not over: dropped, it is undone in the background.
struct Undo {
    backend: Arc<dyn LockBackend>,
    request: Option<Acquire>,
}

impl Drop for Undo {
    fn drop(&mut self) {
        let Some(request) = self.request.take() else {
            return;
        };
        let backend = Arc::clone(&self.backend);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(async move {
                // What fails here ends at the ttl.
                let _answer = backend.release(&request.name, request.owner).await;
            }));
        }
    }
}

/// The failure of a call; `may_apply` if an earlier request of it may have taken effect.
fn failure(error: &lock_core::Error, may_apply: bool) -> Failure {
    let effect = if may_apply {
        Effect::Unknown
    } else {
        error.effect()
    };
    Failure::new(effect, error.to_string())
}

fn lease(held: &Held) -> Result<&Lease, Failure> {
    held.inner
        .downcast_ref()
        .ok_or_else(|| Failure::new(Effect::NotApplied, "a lease of another client"))
}

fn text_of(state: &State) -> Read {
    match std::str::from_utf8(state.bytes()) {
        Ok(text) => Read::Text(text.to_owned()),
        Err(_) => Read::Unseen,
    }
}

/// For how long a holder believes in a lease: its length less what clocks may differ.
fn believed(ttl: Duration) -> Duration {
    let allowance = (ttl / 100).saturating_add(Duration::from_millis(2));
    ttl.saturating_sub(allowance)
}

/// A lease is over a moment after the store said so.
const TICK: Duration = Duration::from_millis(1);

/// So many owners in a row may be told that they have ended; a store that says so of each is broken.
const ENDED_MAX: u32 = 8;
