//! [`Injected`]: a fault that was injected, and [`Fate`]: what became of each request it hit.
#![expect(
    clippy::disallowed_methods,
    reason = "real connections are watched in real time"
)]

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::lock;
use super::requests::{Fault, Hold, Requests};
use crate::SetupError;
use crate::resp::Request;

/// What became of a request that a fault hit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fate {
    /// The connection's number, from 0 in the order of acceptance.
    pub connection: u64,
    /// The command's name.
    pub command: String,
    /// Whether its bytes were handed to the server. If not, it had no effect.
    pub forwarded: bool,
    /// What became of its reply.
    pub reply: ReplyFate,
}

/// What became of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyFate {
    /// It was handed to the client.
    Delivered,
    /// The server has not answered.
    None,
    /// The server answered, so the request was executed, and the client has not heard of it.
    Withheld,
}

/// A fault that was injected: tells when it strikes, and delivers what it holds.
#[derive(Clone)]
pub struct Injected {
    rule: Arc<Rule>,
}

impl Injected {
    pub(super) fn new(rule: Arc<Rule>) -> Self {
        Self { rule }
    }

    /// The requests that were hit so far, in the order in which they came.
    #[must_use]
    pub fn fates(&self) -> Vec<Fate> {
        self.rule.fates.borrow().clone()
    }

    /// Waits until a request has been hit.
    ///
    /// # Errors
    /// If none was within [`Injected::PATIENCE`].
    ///
    /// # Cancel safety
    /// Safe to drop: it does nothing but wait.
    pub async fn reached(&self) -> Result<Fate, SetupError> {
        self.wait("was hit", |_| true).await
    }

    /// Waits until a request that was hit has been handed to the server.
    ///
    /// # Errors
    /// If none was within [`Injected::PATIENCE`].
    ///
    /// # Cancel safety
    /// Safe to drop: it does nothing but wait.
    pub async fn forwarded(&self) -> Result<Fate, SetupError> {
        self.wait("was forwarded", |fate| fate.forwarded).await
    }

    /// Waits until the server has answered a request that was hit: it has been executed then.
    ///
    /// # Errors
    /// If it did not within [`Injected::PATIENCE`].
    ///
    /// # Cancel safety
    /// Safe to drop: it does nothing but wait.
    pub async fn answered(&self) -> Result<Fate, SetupError> {
        self.wait("was answered", |fate| fate.reply != ReplyFate::None)
            .await
    }

    /// Delivers what is held until told, now and from now on.
    pub fn deliver(&self) {
        self.rule.told.send_replace(true);
    }

    /// Hits no further requests. What is held stays held.
    pub fn cancel(&self) {
        self.rule.cancelled.store(true, Ordering::SeqCst);
    }

    async fn wait(
        &self,
        what: &str,
        is_it: impl Fn(&Fate) -> bool + Send + Sync,
    ) -> Result<Fate, SetupError> {
        let mut fates = self.rule.fates.subscribe();
        let found = tokio::time::timeout(Self::PATIENCE, async {
            fates.wait_for(|fates| fates.iter().any(&is_it)).await
        });
        let found = match found.await {
            Ok(Ok(fates)) => fates.iter().find(|fate| is_it(fate)).cloned(),
            Ok(Err(_)) | Err(_) => None,
        };
        found.ok_or_else(|| {
            SetupError::new(format!(
                "no request {what} within {} s: {self:?}",
                Self::PATIENCE.as_secs()
            ))
        })
    }

    /// For how long a wait goes on: 10 s.
    pub const PATIENCE: Duration = Duration::from_secs(10);
}

impl fmt::Debug for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Injected")
            .field("requests", &self.rule.requests)
            .field("fault", &self.rule.fault)
            .field("matching", &self.rule.seen.load(Ordering::SeqCst))
            .field("fates", &self.rule.fates.borrow())
            .finish_non_exhaustive()
    }
}

/// A fault with the requests that it is for.
pub(super) struct Rule {
    requests: Requests,
    fault: Fault,
    /// How many requests matched so far.
    seen: AtomicU64,
    cancelled: AtomicBool,
    told: watch::Sender<bool>,
    fates: watch::Sender<Vec<Fate>>,
}

impl Rule {
    pub(super) fn new(requests: Requests, fault: Fault) -> Self {
        Self {
            requests,
            fault,
            seen: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
            told: watch::Sender::new(false),
            fates: watch::Sender::new(Vec::new()),
        }
    }

    /// Whether the request is one of those this rule is for.
    fn strikes(&self, request: &Request) -> bool {
        !self.cancelled.load(Ordering::SeqCst)
            && self.requests.matches(request)
            && self
                .requests
                .includes(self.seen.fetch_add(1, Ordering::SeqCst))
    }
}

/// One request that a fault hit.
#[derive(Clone)]
pub(super) struct Hit {
    rule: Arc<Rule>,
    index: usize,
}

impl Hit {
    /// Asks all rules about a request: each counts it, the first that is for it hits it.
    pub(super) fn find(
        rules: &Mutex<Vec<Arc<Rule>>>,
        number: u64,
        request: &Request,
    ) -> Option<Self> {
        let mut hit = None;
        for rule in lock(rules).iter() {
            if rule.strikes(request) && hit.is_none() {
                let mut index = 0;
                rule.fates.send_modify(|fates| {
                    index = fates.len();
                    fates.push(Fate {
                        connection: number,
                        command: request.command().to_owned(),
                        forwarded: false,
                        reply: ReplyFate::None,
                    });
                });
                hit = Some(Self {
                    rule: Arc::clone(rule),
                    index,
                });
            }
        }
        hit
    }

    pub(super) fn fault(&self) -> Fault {
        self.rule.fault
    }

    pub(super) fn mark(&self, change: impl FnOnce(&mut Fate)) {
        self.rule.fates.send_modify(|fates| {
            if let Some(fate) = fates.get_mut(self.index) {
                change(fate);
            }
        });
    }

    pub(super) async fn wait(&self, hold: Hold) {
        match hold {
            Hold::For(length) => tokio::time::sleep(length).await,
            Hold::UntilTold => {
                // The sender is in the rule, which we hold: it cannot be gone.
                drop(self.rule.told.subscribe().wait_for(|told| *told).await);
            }
        }
    }
}
