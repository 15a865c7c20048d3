//! [`Relaying`]: a client that passes its lease to the next of its own tasks, rightly or not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{
    Acquire, Acquisition, Clock, Commit, Effect, Entropy, FencingToken, FormatTag, Grant, Label,
    LockBackend, LockName, Moment, OwnerId, Release, Renew, Renewal, State, Stored, Then, Ttl,
};
use lock_testkit::subject::{Acquired, Ask, Client, Failure, Held, Read, StepClient};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::client::Habit;

/// A client whose tasks wait for each other before they ask the store. Whoever ends a lease passes
/// it to the next of them, under the next token of the block that was reserved at the grant, unless
/// it was passed on for long enough or a write of its own is not settled.
pub(crate) struct Relaying {
    pub(crate) inner: StepClient,
    pub(crate) backend: Arc<dyn LockBackend>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) habit: Habit,
    pub(crate) queues: Lock<BTreeMap<String, Arc<Queue>>>,
}

/// The tasks of one client that want one lock.
#[derive(Default)]
pub(crate) struct Queue {
    turn: Arc<Mutex<Option<Lease>>>,
    waiting: AtomicUsize,
}

/// One who waits, for as long as it does.
struct Waiting<'a>(&'a AtomicUsize);

/// A lease, as it passes from one to the next.
#[derive(Clone)]
struct Lease {
    name: LockName,
    owner: OwnerId,
    token: u64,
    /// The largest token of the block.
    last: u64,
    sequence: u32,
    granted_at: Moment,
    valid_until: Moment,
    ttl: Duration,
    /// The value as it was read at the grant.
    first: Read,
    /// The value as it was last committed.
    value: Read,
    /// Whether it is not known what became of a write.
    is_unsettled: bool,
}

/// A lease in the hands of one task, and the turn that goes with it.
struct InHand {
    lease: Lease,
    turn: Option<(OwnedMutexGuard<Option<Lease>>, Arc<Queue>)>,
    is_ended: bool,
}

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Client for Relaying {
    async fn acquire(&self, ask: &Ask) -> Result<Acquired, Failure> {
        if ask.wait.is_zero() {
            return self.ask_store(ask, self.clock.now(), None).await;
        }
        let deadline = self.clock.now().after(ask.wait);
        let queue = self.queue(&ask.key);
        let waiting = Waiting::new(&queue.waiting);
        let turn = tokio::select! {
            biased;
            turn = Arc::clone(&queue.turn).lock_owned() => Some(turn),
            () = self.clock.sleep_until(deadline) => None,
        };
        drop(waiting);
        let Some(mut turn) = turn else {
            return self.ask_store(ask, deadline, None).await;
        };
        match turn.take() {
            Some(lease) if self.clock.now() < lease.valid_until => {
                Ok(self.hand_out(lease, Some((turn, queue))))
            }
            _ => self.ask_store(ask, deadline, Some((turn, queue))).await,
        }
    }

    async fn renew(&self, held: &mut Held, ttl: Duration) -> Result<bool, Failure> {
        let lease = &mut in_hand(held)?.lease;
        let token = FencingToken::new(lease.token);
        let request = Renew::new(lease.name.clone(), lease.owner, token, Ttl::new(ttl)?);
        let sent = self.clock.now();
        match self.backend.renew(&[request]).await.pop() {
            Some(Ok(Renewal::Renewed { .. })) => {
                lease.valid_until = lease.valid_until.max(sent.after(believed(ttl)));
                held.valid_until = lease.valid_until;
                Ok(true)
            }
            Some(Ok(_)) => Ok(false),
            Some(Err(error)) => Err(error.into()),
            None => Err(Failure::new(Effect::Unknown, "a renewal had no answer")),
        }
    }

    async fn commit(&self, held: &mut Held, value: &str, then: Then) -> Result<bool, Failure> {
        let hand = in_hand(held)?;
        let may_pass = self.may_pass(hand);
        let passes = then == Then::Release && may_pass;
        let sent_as = if passes { Then::Keep } else { then };
        let request = hand.lease.commit(value, sent_as);
        hand.lease.is_unsettled = true;
        if self.habit == Habit::TellsBeforeAcknowledged && may_pass {
            let mut request = request;
            request.then = Then::Keep;
            let backend = Arc::clone(&self.backend);
            drop(tokio::spawn(async move { backend.commit(&request).await }));
            hand.lease.is_unsettled = false;
            hand.lease.value = Read::Text(value.to_owned());
            return Ok(then == Then::Keep || self.pass(hand));
        }
        // A save is sent once. What ends the lease is repeated until it is known.
        let tries = if then == Then::Release { TRIES } else { 1 };
        let answer = self.send(&request, tries).await?;
        if !answer {
            return Ok(false);
        }
        hand.lease.is_unsettled = false;
        hand.lease.value = Read::Text(value.to_owned());
        if self.habit == Habit::SendsAgainAsAnother {
            let mut again = request;
            again.sequence = hand.lease.sequence.saturating_add(1);
            let backend = Arc::clone(&self.backend);
            drop(tokio::spawn(async move { backend.commit(&again).await }));
        }
        if passes && !self.pass(hand) {
            return self.give_back(hand).await;
        }
        if then == Then::Release {
            (hand.is_ended, hand.turn) = (true, None);
        }
        Ok(true)
    }

    async fn release(&self, held: &mut Held) -> Result<bool, Failure> {
        let hand = in_hand(held)?;
        if hand.is_ended {
            return Ok(false);
        }
        if !self.may_pass(hand) {
            return self.give_back(hand).await;
        }
        if self.habit == Habit::WritesWhatWasAborted {
            let draft = hand.lease.draft();
            let request = hand.lease.commit(&draft, Then::Keep);
            if self.send(&request, TRIES).await? {
                hand.lease.value = Read::Text(draft);
            }
        }
        if self.pass(hand) {
            return Ok(true);
        }
        self.give_back(hand).await
    }

    async fn peek(&self, key: &str) -> Result<(Read, u64), Failure> {
        self.inner.peek(key).await
    }
}

impl Relaying {
    fn queue(&self, key: &str) -> Arc<Queue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(queues.entry(key.to_owned()).or_default())
    }

    /// Asks the store until it grants or the time is up.
    async fn ask_store(
        &self,
        ask: &Ask,
        deadline: Moment,
        turn: Option<(OwnedMutexGuard<Option<Lease>>, Arc<Queue>)>,
    ) -> Result<Acquired, Failure> {
        let name = LockName::new(&ask.key)?;
        let owner = OwnerId::draw(&*self.entropy);
        let label = Label::new("lock-zoo")?;
        let mut request = Acquire::new(name, owner, Ttl::new(ask.ttl)?, label);
        request.reserve = match self.habit {
            Habit::PassesForEver => BLOCK_FOR_EVER,
            _ => BLOCK,
        };
        // One whose turn did not come asks just once.
        if turn.is_some() && self.backend.capabilities().line {
            request = request.standing_in_line();
        }
        loop {
            let sent = self.clock.now();
            match self.backend.acquire(&request).await? {
                Acquisition::Granted(grant) => {
                    let lease = Lease::granted(&request, &grant, sent);
                    return Ok(self.hand_out(lease, turn));
                }
                Acquisition::Refused(_) if self.clock.now() >= deadline => {
                    return self.leave(&request).await;
                }
                Acquisition::Refused(_) => {
                    let until = self.clock.now().after(POLL).min(deadline);
                    self.clock.sleep_until(until).await;
                }
                _ => request.owner = OwnerId::draw(&*self.entropy),
            }
        }
    }

    /// Gives up waiting.
    async fn leave(&self, request: &Acquire) -> Result<Acquired, Failure> {
        let repeated = false;
        if !request.stand_in_line {
            return Ok(Acquired::Refused { repeated });
        }
        let since = self.clock.now();
        let left = self.backend.release(&request.name, request.owner).await;
        left.map_err(|error| Failure::new(Effect::Unknown, error.to_string()))?;
        Ok(Acquired::Left { since, repeated })
    }

    fn hand_out(
        &self,
        lease: Lease,
        turn: Option<(OwnedMutexGuard<Option<Lease>>, Arc<Queue>)>,
    ) -> Acquired {
        let now = self.clock.now();
        let mut held = Held::new(lease.name.as_str(), lease.token, lease.valid_until);
        held.value = lease.value.clone();
        let is_late = now >= lease.valid_until;
        held.handed_out = (!is_late).then_some(now);
        held.inner = Box::new(InHand {
            lease,
            turn,
            is_ended: false,
        });
        if is_late {
            Acquired::Late(held)
        } else {
            Acquired::Held(held)
        }
    }

    /// Whether the lease may pass to another task, and there is one.
    fn may_pass(&self, hand: &InHand) -> bool {
        let lease = &hand.lease;
        let is_wanted = |(_, queue): &(_, Arc<Queue>)| queue.waiting.load(Ordering::Relaxed) > 0;
        if !hand.turn.as_ref().is_some_and(is_wanted) {
            return false;
        }
        let now = self.clock.now();
        let is_early =
            now.since(lease.granted_at) < lease.ttl / 4 || self.habit == Habit::PassesForEver;
        let is_settled = !lease.is_unsettled || self.habit == Habit::PassesUnsettled;
        lease.token < lease.last && is_early && is_settled && now < lease.valid_until
    }

    /// Passes the lease to the next task; `false` if it has to be given back.
    fn pass(&self, hand: &mut InHand) -> bool {
        if !self.may_pass(hand) {
            return false;
        }
        let Some((mut turn, _)) = hand.turn.take() else {
            return false;
        };
        hand.is_ended = true;
        let mut next = hand.lease.clone();
        (next.sequence, next.is_unsettled) = (0, false);
        match self.habit {
            Habit::PassesTheSameToken => next.sequence = hand.lease.sequence,
            _ => next.token = next.token.saturating_add(1),
        }
        if self.habit == Habit::PassesAStaleValue {
            next.value = next.first.clone();
        }
        *turn = Some(next);
        true
    }

    async fn give_back(&self, hand: &mut InHand) -> Result<bool, Failure> {
        let lease = &hand.lease;
        let answer = self.backend.release(&lease.name, lease.owner).await;
        (hand.is_ended, hand.turn) = (true, None);
        Ok(answer? == Release::Released)
    }

    /// Sends a commit up to so many times, until its answer is known.
    async fn send(&self, request: &Commit, tries: u32) -> Result<bool, Failure> {
        let (mut left, mut is_unknown) = (tries, false);
        loop {
            left = left.saturating_sub(1);
            match self.backend.commit(request).await {
                Ok(Stored::Committed { .. }) => return Ok(true),
                // An earlier request may have been applied and overwritten since.
                Ok(_) if is_unknown => {
                    return Err(Failure::new(Effect::Unknown, "lost when asked again"));
                }
                Ok(_) => return Ok(false),
                Err(error) => {
                    is_unknown |= error.effect() == Effect::Unknown;
                    if left == 0 {
                        let effect = if is_unknown {
                            Effect::Unknown
                        } else {
                            error.effect()
                        };
                        return Err(Failure::new(effect, error.to_string()));
                    }
                }
            }
        }
    }
}

impl Lease {
    fn granted(request: &Acquire, grant: &Grant, sent: Moment) -> Self {
        let value = grant.state.as_ref().map_or(Read::Nothing, |state| {
            let text = std::str::from_utf8(state.bytes());
            text.map_or(Read::Unseen, |text| Read::Text(text.to_owned()))
        });
        let token = grant.token.get();
        let more = u64::from(grant.reserved.saturating_sub(1));
        let ttl = grant.ttl.as_duration();
        Self {
            name: request.name.clone(),
            owner: request.owner,
            token,
            last: token.saturating_add(more),
            sequence: 0,
            granted_at: sent,
            valid_until: sent.after(believed(ttl)),
            ttl,
            first: value.clone(),
            value,
            is_unsettled: false,
        }
    }

    /// The next commit of this lease.
    fn commit(&mut self, value: &str, then: Then) -> Commit {
        self.sequence = self.sequence.saturating_add(1);
        Commit::new(
            self.name.clone(),
            self.owner,
            FencingToken::new(self.token),
            self.sequence,
            State::new(FormatTag::JSON, value.to_owned()),
            then,
        )
    }

    /// The value with this token appended, as its holder would have written it.
    fn draft(&self) -> String {
        match &self.value {
            Read::Text(text) if text.len() > 2 => {
                format!("{},{}]", text.trim_end_matches(']'), self.token)
            }
            _ => format!("[{}]", self.token),
        }
    }
}

fn in_hand(held: &mut Held) -> Result<&mut InHand, Failure> {
    held.inner
        .downcast_mut()
        .ok_or_else(|| Failure::new(Effect::NotApplied, "a lease of another client"))
}

/// For how long a holder believes in a lease: its length less what clocks may differ.
fn believed(ttl: Duration) -> Duration {
    let allowance = (ttl / 100).saturating_add(Duration::from_millis(2));
    ttl.saturating_sub(allowance)
}

/// How many tokens a grant reserves: a lease passes on that often, less one.
pub(crate) const BLOCK: u32 = 8;

/// How many one reserves that never means to give its lease back.
const BLOCK_FOR_EVER: u32 = 10_000;

/// How often what ends a lease is sent: more often than a plan has faults.
const TRIES: u32 = 10;

/// After how long the store is asked again.
const POLL: Duration = Duration::from_millis(5);
