//! [`Player`]: one task of one client, which does what its script says and records it.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use lock_core::{Effect, Moment, Then};

use super::Stage;
use super::disturb::{Disturber, Present};
use crate::history::{Belief, Invocation, Outcome, Step};
use crate::plan::{Act, End, Work};
use crate::subject::{Acquired, Ask, Failure, Held, Read};

pub(super) struct Player {
    stage: Stage,
    clients: Disturber,
    client: u32,
    task: u16,
}

impl Player {
    pub(super) fn new(stage: &Stage, clients: &Disturber, client: u32, task: u16) -> Self {
        Self {
            stage: stage.clone(),
            clients: clients.clone(),
            client,
            task,
        }
    }

    pub(super) async fn play(self, script: Vec<Act>) {
        let Some(crashes) = self.clients.crashes(self.client) else {
            return;
        };
        for act in script {
            let seen = crashes.now();
            let Some(present) = self.clients.present(self.client) else {
                return;
            };
            tokio::select! {
                biased;
                // What was under way when the client crashed stays unknown; its successor goes on
                // with the next act.
                () = crashes.until(|now| now != seen) => {}
                () = self.act(&present, act) => {}
            }
        }
    }

    async fn act(&self, present: &Present, act: Act) {
        let turn = Turn {
            stage: &self.stage,
            present,
            task: self.task,
        };
        match act {
            Act::Cancel {
                key,
                wait_ms,
                polls,
            } => turn.cancel(&ask(&self.stage, key, wait_ms), polls).await,
            Act::Hold {
                key,
                wait_ms,
                work,
                end,
            } => {
                turn.hold(&ask(&self.stage, key, wait_ms), &work, end).await;
            }
            Act::Peek { key } => turn.peek(&name(&self.stage, key)).await,
            Act::Rest { ms } => turn.keep(ms).await,
        }
    }
}

/// What a task does while one client has its place.
struct Turn<'a> {
    stage: &'a Stage,
    present: &'a Present,
    task: u16,
}

/// A lease while it is used.
struct Hold {
    held: Held,
    believed_from: Moment,
    /// Set once the client knows that it is over.
    over_at: Option<Moment>,
    written: Vec<u64>,
}

impl Turn<'_> {
    async fn hold(&self, ask: &Ask, work: &[Work], end: End) {
        let Some(mut hold) = self.acquire(ask).await else {
            return;
        };
        for work in work {
            match work {
                Work::Keep { ms } => self.keep(*ms).await,
                Work::Renew => self.renew(&mut hold).await,
                Work::Save => self.commit(&mut hold, Then::Keep).await,
            }
        }
        match end {
            End::Abandon => {}
            End::Commit => self.commit(&mut hold, Then::Release).await,
            End::Release => self.release(&mut hold).await,
            End::ReleaseTwice => {
                self.release(&mut hold).await;
                self.release(&mut hold).await;
            }
        }
        self.believe(&hold);
    }

    /// Acquires, again if a grant came too late, until the time is up.
    async fn acquire(&self, ask: &Ask) -> Option<Hold> {
        let deadline = self.stage.clock.now().after(ask.wait);
        let mut ask = ask.clone();
        loop {
            let invocation = self.invoke(Step::Acquire, &ask.key, 0, ask.ttl, None);
            let sent = self.sent();
            let held = match self.present.client.acquire(&ask).await {
                Ok(Acquired::Held(held)) => return Some(self.granted(invocation, held)),
                Ok(Acquired::Late(held)) => held,
                Ok(Acquired::Refused { repeated }) => {
                    self.ghost(&invocation, repeated);
                    self.stage.recorder.complete(invocation, Outcome::Refused);
                    return None;
                }
                Ok(Acquired::Left { since, repeated }) => {
                    self.ghost(&invocation, repeated);
                    self.stage.recorder.left(invocation, since);
                    return None;
                }
                Err(failure) => {
                    let is_unknown = failure.effect != Effect::NotApplied;
                    self.failed(invocation, &failure, sent, true);
                    if is_unknown {
                        self.undone(&ask.key);
                    }
                    return None;
                }
            };
            let mut late = self.granted(invocation, held);
            late.over_at = Some(late.believed_from);
            self.release(&mut late).await;
            let now = self.stage.clock.now();
            if now >= deadline {
                return None;
            }
            ask.wait = deadline.since(now);
        }
    }

    /// Begins to acquire and goes away after so many polls.
    async fn cancel(&self, ask: &Ask, polls: u32) {
        let invocation = self.invoke(Step::Acquire, &ask.key, 0, ask.ttl, None);
        let answer = {
            let mut acquire = pin!(self.present.client.acquire(ask));
            let mut left = polls;
            poll_fn(|context| match left {
                0 => Poll::Ready(None),
                _ => {
                    left = left.saturating_sub(1);
                    acquire.as_mut().poll(context).map(Some)
                }
            })
            .await
        };
        match answer {
            None => {
                drop(invocation);
                self.undone(&ask.key);
            }
            Some(Ok(Acquired::Held(held) | Acquired::Late(held))) => {
                let mut hold = self.granted(invocation, held);
                self.release(&mut hold).await;
            }
            Some(Ok(Acquired::Refused { repeated })) => {
                self.ghost(&invocation, repeated);
                self.stage.recorder.complete(invocation, Outcome::Refused);
            }
            Some(Ok(Acquired::Left { since, repeated })) => {
                self.ghost(&invocation, repeated);
                self.stage.recorder.left(invocation, since);
            }
            Some(Err(failure)) if failure.effect == Effect::NotApplied => {
                self.stage
                    .recorder
                    .complete(invocation, Outcome::NotApplied);
            }
            Some(Err(_)) => {
                drop(invocation);
                self.undone(&ask.key);
            }
        }
    }

    fn granted(&self, invocation: Invocation, held: Held) -> Hold {
        self.ghost(&invocation, held.repeated);
        let recorder = &self.stage.recorder;
        match &held.value {
            Read::Nothing => recorder.read(invocation, held.token, None),
            Read::Text(text) => recorder.read(invocation, held.token, Some(text)),
            Read::Unseen => recorder.done_with(invocation, held.token),
        }
        let written = match &held.value {
            Read::Text(text) => serde_json::from_str(text).unwrap_or_default(),
            Read::Nothing | Read::Unseen => Vec::new(),
        };
        Hold {
            held,
            believed_from: recorder.now(),
            over_at: None,
            written,
        }
    }

    async fn renew(&self, hold: &mut Hold) {
        let (key, token) = (hold.held.key.clone(), hold.held.token);
        let invocation = self.invoke(Step::Renew, &key, token, self.stage.ttl, None);
        let sent = self.sent();
        let answer = self
            .present
            .client
            .renew(&mut hold.held, self.stage.ttl)
            .await;
        self.answered(invocation, answer, sent, hold, false);
    }

    async fn commit(&self, hold: &mut Hold, then: Then) {
        let (key, token) = (hold.held.key.clone(), hold.held.token);
        hold.written.push(token);
        let value = serde_json::to_string(&hold.written).unwrap_or_default();
        let ends = then == Then::Release;
        let step = if ends {
            Step::CommitRelease
        } else {
            Step::Commit
        };
        let invocation = self.invoke(step, &key, token, Duration::ZERO, Some(&value));
        let sent = self.sent();
        if ends {
            hold.over_at
                .get_or_insert_with(|| self.stage.recorder.now());
        }
        let client = &self.present.client;
        let answer = client.commit(&mut hold.held, &value, then).await;
        self.answered(invocation, answer, sent, hold, ends);
    }

    async fn release(&self, hold: &mut Hold) {
        let (key, token) = (hold.held.key.clone(), hold.held.token);
        let invocation = self.invoke(Step::Release, &key, token, Duration::ZERO, None);
        let sent = self.sent();
        hold.over_at
            .get_or_insert_with(|| self.stage.recorder.now());
        let answer = self.present.client.release(&mut hold.held).await;
        // A release names its owner. If a request of the acquire arrived once more, it may be the
        // lease of that which it ended, and not this one.
        if hold.held.repeated && matches!(answer, Ok(true)) {
            return self.stage.recorder.over(invocation);
        }
        self.answered(invocation, answer, sent, hold, true);
    }

    async fn peek(&self, key: &str) {
        let invocation = self.invoke(Step::Peek, key, 0, Duration::ZERO, None);
        let recorder = &self.stage.recorder;
        match self.present.client.peek(key).await {
            Ok((Read::Nothing, token)) => recorder.read(invocation, token, None),
            Ok((Read::Text(text), token)) => recorder.read(invocation, token, Some(&text)),
            Ok((Read::Unseen, token)) => recorder.done_with(invocation, token),
            Err(_) => recorder.complete(invocation, Outcome::NotApplied),
        }
    }

    /// Does nothing for so long; longer if the client's process stands still meanwhile.
    async fn keep(&self, ms: u64) {
        self.stage.sleep(Duration::from_millis(ms)).await;
        self.present.link.thaw().await;
    }

    fn answered(
        &self,
        invocation: Invocation,
        answer: Result<bool, Failure>,
        sent: u64,
        hold: &mut Hold,
        ends: bool,
    ) {
        let outcome = match answer {
            Ok(true) => Outcome::Done,
            Ok(false) => Outcome::Refused,
            Err(failure) => return self.failed(invocation, &failure, sent, false),
        };
        self.stage.recorder.complete(invocation, outcome);
        if ends || outcome == Outcome::Refused {
            hold.over_at
                .get_or_insert_with(|| self.stage.recorder.now());
        }
    }

    /// Notes a failure, as definite as the link can tell.
    fn failed(&self, invocation: Invocation, failure: &Failure, sent: u64, is_acquire: bool) {
        let traffic = self.present.link.traffic();
        let recorder = &self.stage.recorder;
        if failure.effect == Effect::NotApplied || self.sent() == sent {
            recorder.complete(invocation, Outcome::NotApplied);
        } else if traffic.is_settled() && !(is_acquire && self.stage.line) {
            recorder.over(invocation);
        } else {
            drop(invocation);
        }
    }

    /// Notes that a request of an acquire may still arrive, and take the lock for nobody.
    fn ghost(&self, acquire: &Invocation, repeated: bool) {
        if repeated {
            self.stage.recorder.ghost(acquire);
        }
    }

    /// Notes that an acquire of unknown outcome is being undone in the background.
    fn undone(&self, key: &str) {
        drop(self.invoke(Step::Release, key, 0, Duration::ZERO, None));
    }

    /// How many requests of this client were sent so far.
    fn sent(&self) -> u64 {
        let traffic = self.present.link.traffic();
        traffic.forwarded.saturating_add(traffic.under_way)
    }

    fn invoke(
        &self,
        step: Step,
        key: &str,
        token: u64,
        ttl: Duration,
        value: Option<&str>,
    ) -> Invocation {
        let ttl_ns = u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX);
        let who = (self.present.number, self.task);
        self.stage
            .recorder
            .invoke(who, key, step, token, ttl_ns, value)
    }

    fn believe(&self, hold: &Hold) {
        let until = hold.over_at.map_or(hold.held.valid_until, |over| {
            over.min(hold.held.valid_until)
        });
        self.stage.recorder.believe(&hold.held.key, |key| Belief {
            key,
            client: self.present.number,
            task: self.task,
            token: hold.held.token,
            from: hold.believed_from.as_nanos(),
            until: until.as_nanos(),
        });
    }
}

fn ask(stage: &Stage, key: u8, wait_ms: u64) -> Ask {
    Ask {
        key: name(stage, key),
        ttl: stage.ttl,
        wait: Duration::from_millis(wait_ms),
    }
}

/// The names that are used: odd ones too, and such as are alike but for their end.
fn name(stage: &Stage, key: u8) -> String {
    let name = match key {
        0 => "stock",
        1 => "stock/{17}:lock",
        2 => "Stock",
        3 => "stock/\u{1F512} \u{e9}",
        _ => return format!("{}stock/{key}", stage.prefix),
    };
    format!("{}{name}", stage.prefix)
}
