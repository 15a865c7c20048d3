//! [`FaultyBackend`]: any backend, with replies lost, requests lost and calls that hang.
//!
//! What happens is scripted call by call, or it is up to a [`Link`], which a plan disturbs.

mod link;

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, ready};
use lock_core::{
    Acquire, Acquisition, Alarms, Capabilities, Commit, Effect, Error, ErrorKind, Finding,
    ForcedRelease, Hints, LockBackend, LockInfo, LockName, OwnerId, Peeked, Release, Renew,
    Renewal, Stored,
};
use serde::{Deserialize, Serialize};

pub use link::{Link, Traffic, Weather};

/// A step of [`LockBackend`] that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepKind {
    /// [`LockBackend::acquire`].
    Acquire,
    /// [`LockBackend::commit`].
    Commit,
    /// [`LockBackend::peek`].
    Peek,
    /// [`LockBackend::release`].
    Release,
    /// [`LockBackend::renew`].
    Renew,
    /// [`LockBackend::watch`].
    Watch,
}

/// What happens to one call. Both kinds matter: before the effect and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// Nothing.
    None,
    /// The call fails at once and for certain: nothing was sent.
    Refuse,
    /// The request is lost; the caller only learns that no reply came.
    LoseRequest,
    /// The step takes effect and its reply is lost.
    LoseReply,
    /// The call never ends and has no effect.
    HangBefore,
    /// The step takes effect and the call never ends.
    HangAfter,
    /// The step takes effect at once and its reply comes so much later.
    DelayReply(Duration),
    /// The caller gets no reply, and the step takes effect so much later, whoever waits for it.
    Late(Duration),
}

/// A backend around another one, whose next calls can be made to fail, step by step.
///
/// Every call passes two await points of its own, one before its effect and one after, so that a
/// future can be dropped there.
#[derive(Clone, Debug)]
pub struct FaultyBackend {
    inner: Arc<dyn LockBackend>,
    script: Arc<Mutex<Script>>,
    link: Option<Link>,
}

#[derive(Debug, Default)]
struct Script {
    next: BTreeMap<StepKind, VecDeque<Fault>>,
    always: BTreeMap<StepKind, Fault>,
    calls: BTreeMap<StepKind, usize>,
    mute: bool,
}

impl FaultyBackend {
    /// A backend that behaves as the inner one until told otherwise.
    #[must_use]
    pub fn new(inner: impl LockBackend) -> Self {
        Self {
            inner: Arc::new(inner),
            script: Arc::default(),
            link: None,
        }
    }

    /// A backend whose calls travel over this link; nothing is scripted.
    #[must_use]
    pub fn over(inner: Arc<dyn LockBackend>, link: Link) -> Self {
        link.put_to_use();
        Self {
            inner,
            script: Arc::default(),
            link: Some(link),
        }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what happens to the next call of the step; several of them queue up.
    pub fn next(&self, step: StepKind, fault: Fault) {
        self.script().next.entry(step).or_default().push_back(fault);
    }

    /// Says what happens to every call of the step for which nothing else is queued.
    pub fn always(&self, step: StepKind, fault: Fault) {
        let _before: Option<Fault> = self.script().always.insert(step, fault);
    }

    /// Says what happens to every call of every step: a server that is gone, or back again.
    pub fn every_step(&self, fault: Fault) {
        for step in [
            StepKind::Acquire,
            StepKind::Commit,
            StepKind::Peek,
            StepKind::Release,
            StepKind::Renew,
            StepKind::Watch,
        ] {
            self.always(step, fault);
        }
    }

    /// From now on no hint and no alarm comes through.
    pub fn mute(&self) {
        self.script().mute = true;
    }

    /// How many calls of the step were made.
    #[must_use]
    pub fn calls(&self, step: StepKind) -> usize {
        self.script().calls.get(&step).copied().unwrap_or(0)
    }

    fn fault(&self, step: StepKind) -> Fault {
        let mut script = self.script();
        let calls = script.calls.entry(step).or_default();
        *calls = calls.saturating_add(1);
        script
            .next
            .get_mut(&step)
            .and_then(VecDeque::pop_front)
            .or_else(|| script.always.get(&step).copied())
            .unwrap_or(Fault::None)
    }

    async fn run<T: Send + 'static>(
        &self,
        step: StepKind,
        call: impl FnOnce(Arc<dyn LockBackend>) -> BoxFuture<'static, Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let call = call(Arc::clone(&self.inner));
        if let Some(link) = &self.link {
            return link.carry(step, call).await;
        }
        let fault = self.fault(step);
        tokio::task::yield_now().await;
        let answer = match fault {
            Fault::None => call.await,
            Fault::Refuse => Err(failure("the connection was refused", Effect::NotApplied)),
            Fault::LoseRequest => Err(failure("the reply is missing", Effect::Unknown)),
            Fault::LoseReply => {
                let _lost = call.await;
                Err(failure("the reply is missing", Effect::Unknown))
            }
            Fault::HangBefore => std::future::pending().await,
            Fault::HangAfter => {
                let _lost = call.await;
                std::future::pending().await
            }
            Fault::DelayReply(delay) => {
                let answer = call.await;
                pause(delay).await;
                answer
            }
            Fault::Late(delay) => {
                drop(tokio::spawn(async move {
                    pause(delay).await;
                    let _lost = call.await;
                }));
                Err(failure("the reply is missing", Effect::Unknown))
            }
        };
        tokio::task::yield_now().await;
        answer
    }
}

fn failure(message: &str, effect: Effect) -> Error {
    Error::new(ErrorKind::Unavailable, message).with_effect(effect)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a fault lasts as long as it is told to"
)]
async fn pause(length: Duration) {
    tokio::time::sleep(length).await;
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockBackend for FaultyBackend {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn as_any(&self) -> Option<&dyn Any> {
        self.inner.as_any()
    }

    async fn acquire(&self, request: &Acquire) -> Result<Acquisition, Error> {
        let request = request.clone();
        self.run(StepKind::Acquire, |inner| {
            Box::pin(async move { inner.acquire(&request).await })
        })
        .await
    }

    async fn renew(&self, requests: &[Renew]) -> Vec<Result<Renewal, Error>> {
        let requests = requests.to_vec();
        let count = requests.len();
        let answer = self
            .run(StepKind::Renew, |inner| {
                Box::pin(async move { Ok(inner.renew(&requests).await) })
            })
            .await;
        match answer {
            Ok(answers) => answers,
            Err(error) => (0..count)
                .map(|_| Err(failure("the renewal failed", error.effect())))
                .collect(),
        }
    }

    async fn commit(&self, request: &Commit) -> Result<Stored, Error> {
        let request = request.clone();
        self.run(StepKind::Commit, |inner| {
            Box::pin(async move { inner.commit(&request).await })
        })
        .await
    }

    async fn release(&self, name: &LockName, owner: OwnerId) -> Result<Release, Error> {
        let name = name.clone();
        self.run(StepKind::Release, |inner| {
            Box::pin(async move { inner.release(&name, owner).await })
        })
        .await
    }

    async fn peek(&self, name: &LockName) -> Result<Option<Peeked>, Error> {
        let name = name.clone();
        self.run(StepKind::Peek, |inner| {
            Box::pin(async move { inner.peek(&name).await })
        })
        .await
    }

    async fn watch(&self, name: &LockName) -> Result<Hints, Error> {
        let name = name.clone();
        if self.script().mute {
            return Ok(Box::pin(futures_util::stream::pending()));
        }
        let hints = self
            .run(StepKind::Watch, |inner| {
                Box::pin(async move { inner.watch(&name).await })
            })
            .await?;
        Ok(match self.link.clone() {
            Some(link) => Box::pin(hints.filter(move |()| ready(!link.loses_hints()))),
            None => hints,
        })
    }

    fn alarms(&self) -> Alarms {
        if self.script().mute {
            return Box::pin(futures_util::stream::pending());
        }
        let alarms = self.inner.alarms();
        match self.link.clone() {
            Some(link) => Box::pin(alarms.filter(move |_| ready(!link.loses_hints()))),
            None => alarms,
        }
    }

    async fn inspect(&self, name: &LockName) -> Result<LockInfo, Error> {
        self.inner.inspect(name).await
    }

    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<LockInfo>, Error> {
        self.inner.list(prefix, limit).await
    }

    async fn force_release(&self, name: &LockName) -> Result<ForcedRelease, Error> {
        self.inner.force_release(name).await
    }

    async fn examine(&self) -> Result<Vec<Finding>, Error> {
        self.inner.examine().await
    }
}
