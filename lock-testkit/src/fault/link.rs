//! [`Link`]: the way between one client and its store, which plans disturb.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use lock_core::{Clock, Effect, Error, Moment};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{Fault, StepKind, failure};
use crate::dice::Dice;
use crate::signal::Signal;

/// How long requests and replies travel, and how often they are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Weather {
    /// The longest time that one way takes, in milliseconds; each message draws its own.
    pub latency_ms_max: u64,
    /// Of a million messages so many are lost.
    pub loss_ppm: u32,
    /// After so many milliseconds without a reply a call fails.
    pub request_timeout_ms: u64,
}

impl Weather {
    /// Nothing is lost and nothing takes time of its own: for links over a real network.
    pub const CALM: Self = Self {
        latency_ms_max: 0,
        loss_ppm: 0,
        request_timeout_ms: 0,
    };

    /// Up to `latency_ms_max` each way, so many of a million messages lost.
    #[must_use]
    pub const fn new(latency_ms_max: u64, loss_ppm: u32, request_timeout_ms: u64) -> Self {
        Self {
            latency_ms_max,
            loss_ppm,
            request_timeout_ms,
        }
    }
}

/// What went over a link so far: tells whether a call that failed can have taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Traffic {
    /// Whether the calls of a backend go over the link at all; without that it tells nothing.
    pub is_used: bool,
    /// Requests that reached the store.
    pub forwarded: u64,
    /// Requests that still may reach the store, or are being worked on there.
    pub under_way: u64,
    /// Requests of which the store's own driver could not tell what became of them.
    pub unsure: u64,
}

impl Traffic {
    /// Whether it is known that no request can take effect any more.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        self.is_used && self.under_way == 0 && self.unsure == 0
    }
}

/// The way between one client and its store. Clones are the same link.
///
/// A message that was sent travels on even if whoever sent it goes away, as on a real line.
#[derive(Clone)]
pub struct Link {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    weather: Weather,
    state: Mutex<State>,
    /// 1 while the client's process stands still.
    frozen: Signal,
}

#[derive(Debug)]
struct State {
    dice: Dice,
    requests_lost: bool,
    replies_lost: bool,
    hints_lost: bool,
    starved: Option<StepKind>,
    rules: BTreeMap<(StepKind, u32), Fault>,
    calls: BTreeMap<StepKind, u32>,
    traffic: Traffic,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("weather", &self.shared.weather)
            .finish_non_exhaustive()
    }
}

impl Link {
    /// A link with this weather; chance comes from the seed.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, weather: Weather, seed: u64) -> Self {
        let state = State {
            dice: Dice::new(seed),
            requests_lost: false,
            replies_lost: false,
            hints_lost: false,
            starved: None,
            rules: BTreeMap::new(),
            calls: BTreeMap::new(),
            traffic: Traffic::default(),
        };
        Self {
            shared: Arc::new(Shared {
                clock,
                weather,
                state: Mutex::new(state),
                frozen: Signal::default(),
            }),
        }
    }

    /// Says what happens to the `nth` call of the step, counted from 0 over the link's whole life.
    pub fn at(&self, step: StepKind, nth: u32, fault: Fault) {
        let _before: Option<Fault> = self.state().rules.insert((step, nth), fault);
    }

    /// Loses every request, every reply, or both, until told otherwise.
    pub fn lose(&self, requests: bool, replies: bool) {
        let mut state = self.state();
        (state.requests_lost, state.replies_lost) = (requests, replies);
    }

    /// Makes every call of this step hang while it lasts: a task that gets no turn to run.
    pub fn starve(&self, step: Option<StepKind>) {
        self.state().starved = step;
    }

    /// Loses every hint and every alarm, until told otherwise: the push channel alone is cut.
    pub fn lose_hints(&self, lost: bool) {
        self.state().hints_lost = lost;
    }

    /// A backend's calls go over it from now on.
    pub(super) fn put_to_use(&self) {
        self.state().traffic.is_used = true;
    }

    pub(super) fn loses_hints(&self) -> bool {
        let state = self.state();
        state.hints_lost || state.replies_lost
    }

    /// The client's process stands still: no call begins and no answer is heard.
    pub fn freeze(&self, frozen: bool) {
        self.shared.frozen.set(u32::from(frozen));
    }

    /// Nothing is at fault any more, apart from the weather's latency.
    pub fn heal(&self) {
        self.lose(false, false);
        self.lose_hints(false);
        self.starve(None);
        self.freeze(false);
        let mut state = self.state();
        state.rules.clear();
        state.dice.calm = true;
    }

    /// What went over it so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.state().traffic
    }

    /// Waits while the client's process stands still.
    pub async fn thaw(&self) {
        self.shared.frozen.until(|frozen| frozen == 0).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// How the next call of the step fares.
    fn draw(&self, step: StepKind) -> Trip {
        let weather = self.shared.weather;
        let mut state = self.state();
        let calls = state.calls.entry(step).or_default();
        let nth = *calls;
        *calls = calls.saturating_add(1);
        let fault = state.rules.remove(&(step, nth)).unwrap_or(Fault::None);
        let longest = weather.latency_ms_max;
        let mut latency = || Duration::from_millis(state.dice.up_to(longest));
        let (out, back) = (latency(), latency());
        let mut is_lost = || state.dice.is_unlucky(weather.loss_ppm);
        let (request_lost, reply_lost) = (is_lost(), is_lost());
        Trip {
            fault,
            out,
            back,
            request_lost: request_lost || state.requests_lost || state.starved == Some(step),
            reply_lost: reply_lost || state.replies_lost,
        }
    }

    /// Takes one call over the link, as [`FaultyBackend`](super::FaultyBackend) does with each step:
    /// for a client of one's own, each of whose requests then fares as the plan says. `step` and the
    /// count of its calls are what a plan addresses.
    ///
    /// # Errors
    /// What the call fails with, or what a missing reply is: of unknown effect.
    ///
    /// # Cancel safety
    /// Safe to drop: a call that was sent travels on, and its reply is lost.
    pub async fn carry<T: Send + 'static>(
        &self,
        step: StepKind,
        call: BoxFuture<'static, Result<T, Error>>,
    ) -> Result<T, Error> {
        self.thaw().await;
        let trip = self.draw(step);
        let started = self.shared.clock.now();
        let (answered, answer) = oneshot::channel();
        if trip.fault == Fault::Refuse {
            return Err(failure("the connection was refused", Effect::NotApplied));
        }
        let is_lost = matches!(trip.fault, Fault::LoseRequest | Fault::HangBefore);
        if is_lost || trip.request_lost {
            drop(answered);
        } else {
            self.under_way(1);
            // CANCEL: what was sent travels on without its sender.
            drop(tokio::spawn(self.clone().deliver(trip, call, answered)));
        }
        let answer = if self.is_sure(&trip) {
            answer.await.unwrap_or_else(|_| Err(missing()))
        } else {
            self.reply(answer, trip.fault, started).await
        };
        self.thaw().await;
        answer
    }

    /// Whether the reply comes in time for certain, so that no timer is needed: on a simulated network
    /// the store answers at once.
    fn is_sure(&self, trip: &Trip) -> bool {
        let weather = self.shared.weather;
        let limit = Duration::from_millis(weather.request_timeout_ms);
        let is_clean = trip.fault == Fault::None && !trip.request_lost && !trip.reply_lost;
        weather.latency_ms_max > 0 && is_clean && trip.out.saturating_add(trip.back) < limit
    }

    async fn deliver<T>(
        self,
        trip: Trip,
        call: BoxFuture<'static, Result<T, Error>>,
        answered: oneshot::Sender<Result<T, Error>>,
    ) {
        let late = if let Fault::Late(late) = trip.fault {
            late
        } else {
            Duration::ZERO
        };
        self.pause(trip.out.saturating_add(late)).await;
        let answer = call.await;
        {
            let is_unsure = answer
                .as_ref()
                .is_err_and(|e| e.effect() != Effect::NotApplied);
            let mut state = self.state();
            let traffic = &mut state.traffic;
            traffic.under_way = traffic.under_way.saturating_sub(1);
            traffic.forwarded = traffic.forwarded.saturating_add(1);
            traffic.unsure = traffic.unsure.saturating_add(u64::from(is_unsure));
        }
        if matches!(
            trip.fault,
            Fault::HangAfter | Fault::Late(_) | Fault::LoseReply
        ) {
            return;
        }
        let held_back = if let Fault::DelayReply(delay) = trip.fault {
            delay
        } else {
            Duration::ZERO
        };
        self.pause(trip.back.saturating_add(held_back)).await;
        if !trip.reply_lost {
            // Whoever asked may be gone.
            let _gone = answered.send(answer);
        }
    }

    /// Waits for the answer, or for the time after which none is expected.
    async fn reply<T>(
        &self,
        answer: oneshot::Receiver<Result<T, Error>>,
        fault: Fault,
        started: Moment,
    ) -> Result<T, Error> {
        let limit = Duration::from_millis(self.shared.weather.request_timeout_ms);
        let is_bounded = !limit.is_zero() && !matches!(fault, Fault::DelayReply(_));
        let waits = is_bounded.then(|| started.after(limit));
        let mut answer = answer;
        let gone = matches!(fault, Fault::HangBefore | Fault::HangAfter);
        let until = async {
            match waits {
                Some(until) => self.shared.clock.sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            answer = &mut answer => match answer {
                Ok(answer) => return answer,
                Err(_) if gone || waits.is_some() => {}
                Err(_) => return Err(missing()),
            },
            () = until => return Err(missing()),
        }
        // Nobody will answer: it takes the whole time to find that out.
        match waits {
            Some(until) => self.shared.clock.sleep_until(until).await,
            None => std::future::pending().await,
        }
        Err(missing())
    }

    fn under_way(&self, more: u64) {
        let mut state = self.state();
        state.traffic.under_way = state.traffic.under_way.saturating_add(more);
    }

    async fn pause(&self, length: Duration) {
        if !length.is_zero() {
            let until = self.shared.clock.now().after(length);
            self.shared.clock.sleep_until(until).await;
        }
    }
}

fn missing() -> Error {
    failure("no reply came in time", Effect::Unknown)
}

/// How one call fares.
#[derive(Clone, Copy, Debug)]
struct Trip {
    fault: Fault,
    out: Duration,
    back: Duration,
    request_lost: bool,
    reply_lost: bool,
}
