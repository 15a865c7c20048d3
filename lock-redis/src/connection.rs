//! The one connection of a client: made anew when it breaks, and watched in the background.
//!
//! # Invariants
//! 1. At most one attempt to connect runs at a time; those who waited for it share its failure.
//! 2. No task keeps the connector alive: the keeper holds a weak reference and is aborted with it.
//! 3. A connection serves only after tracking is armed and the client's channel is subscribed, so
//!    whoever registered for pushes before a request of his was sent misses none.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_core::{Clock, Durability, Entropy, Moment, SystemEntropy};
use redis::{Cmd, Value};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::config::RedisOptions;
use crate::error::{Aftermath, Failure};
use crate::keys::Keys;
use crate::link::{self, Link};
use crate::scripts::Script;
use crate::wakeups::Wakeups;

/// Makes, keeps and replaces the connection.
pub(crate) struct Connector {
    pub(crate) options: RedisOptions,
    pub(crate) wakeups: Arc<Wakeups>,
    /// The server's address, for messages.
    pub(crate) at: String,
    /// The client's own channel.
    pub(crate) channel: String,
    clock: Arc<dyn Clock>,
    current: Mutex<Option<Live>>,
    gate: tokio::sync::Mutex<Gate>,
    /// How many attempts to connect have ended.
    attempts: AtomicU64,
    facts: Mutex<Facts>,
    keepers: Mutex<Vec<AbortHandle>>,
}

/// What is known of the attempts to connect; whoever holds it makes the next one.
#[derive(Debug, Default)]
struct Gate {
    failure: Option<Failure>,
    failures_in_a_row: u32,
    not_before: Option<Moment>,
    connected_before: bool,
}

/// A connection that serves.
#[derive(Clone)]
pub(crate) struct Live {
    link: Link,
    life: Arc<Life>,
}

/// What was found out about the server when the connection was made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    /// Client tracking is armed.
    pub(crate) tracking: bool,
    pub(crate) durability: Durability,
}

/// Whether the driver of a connection still runs.
#[derive(Debug, Default)]
pub(crate) struct Life {
    ended: AtomicBool,
    notify: Notify,
    silence: Mutex<Silence>,
}

/// For how long requests have waited in vain since the last answer. Callers may give up sooner than
/// the connection's own bound, each by itself, so their waits are added up; what overlaps counts
/// once.
#[derive(Debug)]
struct Silence {
    total: Duration,
    counted_until: Moment,
}

impl Default for Silence {
    fn default() -> Self {
        Self {
            total: Duration::ZERO,
            counted_until: Moment::from_nanos(0),
        }
    }
}

impl Life {
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    /// An answer came: no wait before it was in vain.
    fn answered(&self, now: Moment) {
        *lock(&self.silence) = Silence {
            total: Duration::ZERO,
            counted_until: now,
        };
    }

    /// Adds a wait in vain; returns how long there was no answer in all.
    fn unanswered(&self, from: Moment, until: Moment) -> Duration {
        let mut silence = lock(&self.silence);
        let more = until.since(from.max(silence.counted_until));
        silence.total = silence.total.saturating_add(more);
        silence.counted_until = silence.counted_until.max(until);
        silence.total
    }

    fn is_over(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    async fn over(&self) {
        let mut notified = std::pin::pin!(self.notify.notified());
        // Registered before the look, or an end between the two would be missed.
        notified.as_mut().enable();
        if !self.is_over() {
            notified.await;
        }
    }
}

impl Connector {
    pub(crate) fn new(
        options: RedisOptions,
        wakeups: Arc<Wakeups>,
        channel: String,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            at: options.address(),
            options,
            wakeups,
            channel,
            clock,
            current: Mutex::default(),
            gate: tokio::sync::Mutex::default(),
            attempts: AtomicU64::new(0),
            facts: Mutex::default(),
            keepers: Mutex::default(),
        }
    }

    pub(crate) fn facts(&self) -> Facts {
        *lock(&self.facts)
    }

    /// Runs a script, by its hash if the server knows it. The arguments are added by `args`, which
    /// is called once for each time that the script is sent.
    pub(crate) async fn run(
        self: &Arc<Self>,
        script: &Script,
        keys: &[Keys],
        args: impl Fn(&mut Cmd) + Send + Sync,
    ) -> Result<(Value, Live), Failure> {
        let live = self.live().await?;
        let mut cmd = script.by_hash(keys);
        args(&mut cmd);
        let mut answer = self.send(&live, &cmd).await;
        if matches!(&answer, Err(f) if f.aftermath == Aftermath::MissingScript) {
            let mut cmd = script.whole(keys);
            args(&mut cmd);
            answer = Box::pin(self.send(&live, &cmd)).await;
        }
        answer.map(|value| (value, live))
    }

    /// Sends a plain command.
    pub(crate) async fn ask(self: &Arc<Self>, cmd: &Cmd) -> Result<Value, Failure> {
        let live = self.live().await?;
        self.send(&live, cmd).await
    }

    /// Sends a plain command to the primary that has this slot; without one, to the server.
    pub(crate) async fn ask_node(
        self: &Arc<Self>,
        cmd: Cmd,
        slot: Option<u16>,
    ) -> Result<Value, Failure> {
        let live = self.live().await?;
        let bound = self.options.request_timeout;
        match self.within(bound, live.link.query_node(cmd, slot)).await {
            Some(answer) => answer.map_err(|error| Failure::sending(error, &self.at)),
            None => Err(Failure::no_answer(&self.at, bound)),
        }
    }

    /// A slot of each primary of the cluster; a single server has none.
    pub(crate) async fn primaries(self: &Arc<Self>) -> Result<Vec<Option<u16>>, Failure> {
        if !self.options.cluster {
            return Ok(vec![None]);
        }
        let answer = self.ask(redis::cmd("CLUSTER").arg("SLOTS")).await?;
        let unexpected = || Failure::unexpected("CLUSTER SLOTS");
        let Value::Array(ranges) = answer else {
            return Err(unexpected());
        };
        // Each range: first slot, last slot, primary, replicas.
        let mut slots = HashMap::new();
        for range in &ranges {
            let Value::Array(range) = range else {
                return Err(unexpected());
            };
            let [Value::Int(first), _, primary, ..] = &range[..] else {
                return Err(unexpected());
            };
            slots.insert(format!("{primary:?}"), u16::try_from(*first).ok());
        }
        Ok(slots.into_values().collect())
    }

    /// Sends a command on this very connection, and gives it up if it does not answer.
    pub(crate) async fn send(&self, live: &Live, cmd: &Cmd) -> Result<Value, Failure> {
        let bound = self.options.request_timeout;
        let waiting = Waiting {
            connector: self,
            live,
            since: self.clock.now(),
        };
        // CANCEL: the driver drops a request that was not written yet, and the answer of one that was.
        let answer = self.within(bound, live.link.query(cmd)).await;
        if answer.is_some() {
            live.life.answered(self.clock.now());
        }
        drop(waiting);
        let failure = match answer {
            Some(Ok(value)) => return Ok(value),
            Some(Err(error)) => Failure::sending(error, &self.at),
            None => Failure::no_answer(&self.at, bound),
        };
        if failure.aftermath == Aftermath::Replace {
            self.retire(live);
        }
        Err(failure)
    }

    /// The connection that stands, or a new one.
    pub(crate) async fn live(self: &Arc<Self>) -> Result<Live, Failure> {
        if let Some(live) = self.standing() {
            return Ok(live);
        }
        let bound = self.options.connect_timeout.saturating_add(BACKOFF_MAX);
        // Boxed, since it is large and seldom needed: the future of each request would carry it.
        match self.within(bound, Box::pin(self.reconnect())).await {
            Some(result) => result,
            None => Err(Failure::not_connected(&self.at, bound)),
        }
    }

    async fn reconnect(self: &Arc<Self>) -> Result<Live, Failure> {
        let seen = self.attempts.load(Ordering::Acquire);
        let mut gate = self.gate.lock().await;
        if let Some(live) = self.standing() {
            return Ok(live);
        }
        if self.attempts.load(Ordering::Acquire) != seen
            && let Some(failure) = &gate.failure
        {
            return Err(failure.clone());
        }
        if let Some(moment) = gate.not_before {
            self.clock.sleep_until(moment).await;
        }
        let bound = self.options.connect_timeout;
        let life = Arc::new(Life::default());
        let opening = link::open(self, &life, gate.connected_before);
        // CANCEL: a connection that is half made is closed, and the next in the queue begins anew.
        let opened = self
            .within(bound, opening)
            .await
            .unwrap_or_else(|| Err(Failure::not_connected(&self.at, bound)));
        self.attempts.fetch_add(1, Ordering::AcqRel);
        match opened {
            Ok((link, facts)) => {
                let again = std::mem::replace(
                    &mut *gate,
                    Gate {
                        connected_before: true,
                        // A connection that breaks at once is not replaced at once.
                        not_before: Some(self.clock.now().after(RECONNECT_MIN)),
                        ..Gate::default()
                    },
                );
                let live = Live { link, life };
                *lock(&self.facts) = facts;
                *lock(&self.current) = Some(live.clone());
                self.keep(&live.life);
                if again.connected_before {
                    self.wakeups.stir();
                }
                Ok(live)
            }
            Err(failure) => {
                gate.failures_in_a_row = gate.failures_in_a_row.saturating_add(1);
                let pause = backoff(gate.failures_in_a_row);
                gate.not_before = Some(self.clock.now().after(pause));
                gate.failure = Some(failure.clone());
                Err(failure)
            }
        }
    }

    /// Waits in the background for this connection to end, and makes a new one for as long as
    /// somebody waits for pushes.
    fn keep(self: &Arc<Self>, life: &Arc<Life>) {
        let connector = Arc::downgrade(self);
        let life = Arc::clone(life);
        let task = tokio::spawn(async move {
            life.over().await;
            loop {
                let Some(connector) = connector.upgrade() else {
                    return;
                };
                if !connector.wakeups.is_wanted() || connector.live().await.is_ok() {
                    return;
                }
            }
        });
        let mut keepers = lock(&self.keepers);
        keepers.retain(|keeper| !keeper.is_finished());
        keepers.push(task.abort_handle());
    }

    /// Gives a connection up, so that the next request makes a new one. A cluster's heals itself.
    fn retire(&self, live: &Live) {
        if !live.link.heals_itself() {
            live.life.end();
        }
    }

    fn standing(&self) -> Option<Live> {
        let mut current = lock(&self.current);
        if current.as_ref().is_some_and(|live| live.life.is_over()) {
            *current = None;
        }
        current.clone()
    }

    async fn within<F: Future + Send>(&self, length: Duration, future: F) -> Option<F::Output> {
        let end = self.clock.now().after(length);
        tokio::select! {
            biased;
            output = future => Some(output),
            () = self.clock.sleep_until(end) => None,
        }
    }

    /// Ends the tasks and closes the connection: the backend is gone.
    pub(crate) fn close(&self) {
        for keeper in lock(&self.keepers).drain(..) {
            keeper.abort();
        }
        *lock(&self.current) = None;
        self.wakeups.close();
    }
}

/// A request that waits for its answer. Dropped, it counts as one that waited in vain: after an
/// answer that is no time at all.
struct Waiting<'a> {
    connector: &'a Connector,
    live: &'a Live,
    since: Moment,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let now = self.connector.clock.now();
        let silent_for = self.live.life.unanswered(self.since, now);
        if silent_for >= self.connector.options.request_timeout {
            self.connector.retire(self.live);
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("options", &self.options)
            .field("connected", &self.standing().is_some())
            .finish_non_exhaustive()
    }
}

/// The shortest time from one connection to the next.
const RECONNECT_MIN: Duration = Duration::from_millis(50);

/// The longest pause before an attempt to connect.
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// 10 ms, 20 ms, … up to the longest, of which a random half, so that clients that lost one server
/// do not come back all at once.
fn backoff(failures_in_a_row: u32) -> Duration {
    let doubled = Duration::from_millis(5)
        .saturating_mul(1 << failures_in_a_row.min(10))
        .min(BACKOFF_MAX);
    let mut byte = [0];
    SystemEntropy.fill(&mut byte);
    let share = f64::from(byte[0]) / f64::from(u8::MAX);
    doubled.mul_f64(0.5 + share * 0.5)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is replaced whole, so it is valid even if a holder panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
