//! [`Stage`]: what a case has to play on.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lock_core::{Capabilities, Clock, Entropy, LockBackend, LockName, SystemEntropy};
use tokio::sync::OnceCell;

use super::case::Broken;
use super::hand::Hand;
use super::pulse::Pulse;
use super::settings::Settings;
use crate::SetupError;
use crate::fault::{FaultyBackend, Link, Weather};
use crate::proxy::{Direction, Proxy, Shape};
use crate::subject::{Served, Setup, Subject};

/// What all cases of a run share.
pub(super) struct Shared {
    pub(super) setup: Arc<dyn Setup>,
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) pulse: Pulse,
    pub(super) started: lock_core::Moment,
    /// Bounds how many plans run at once.
    pub(super) plans: tokio::sync::Semaphore,
    /// So many plans of a class run at once.
    pub(super) plans_of_a_class: usize,
    /// Bounds how many stores of their own are up at once.
    pub(super) stores: tokio::sync::Semaphore,
    /// The store of all cases that do it no harm, started with the first of them.
    store: OnceCell<Arc<Served>>,
}

impl Shared {
    pub(super) fn new(
        setup: Arc<dyn Setup>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        cases: usize,
    ) -> Self {
        // A case that has the process to itself takes what others would have taken.
        let is_alone = cases == 1;
        let plans = settings.arguments.threads.unwrap_or(PLANS_AT_ONCE);
        Self {
            plans_of_a_class: if is_alone { 12 } else { 4 },
            setup,
            settings,
            pulse: Pulse::default(),
            started: clock.now(),
            clock,
            plans: tokio::sync::Semaphore::new(plans.min(PLANS_AT_ONCE)),
            stores: tokio::sync::Semaphore::new(if is_alone { 6 } else { STORES_AT_ONCE }),
            store: OnceCell::new(),
        }
    }

    /// The store that is shared.
    pub(super) async fn store(&self) -> Result<Arc<Served>, SetupError> {
        let start = || async { Served::start(&*self.setup).await.map(Arc::new) };
        self.store.get_or_try_init(start).await.map(Arc::clone)
    }
}

/// What a case has to play on: names of its own, and clients of the store.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) id: &'static str,
    pub(super) shared: Arc<Shared>,
    prefix: Arc<str>,
}

impl Stage {
    pub(super) fn new(shared: Arc<Shared>, id: &'static str) -> Self {
        let mut random = [0; 8];
        SystemEntropy.fill(&mut random);
        Self {
            id,
            shared,
            prefix: format!("{:016x}/", u64::from_le_bytes(random)).into(),
        }
    }

    /// What every name of this case begins with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn name(&self, text: &str) -> Result<LockName, Broken> {
        Ok(LockName::new(format!("{}{text}", self.prefix))?)
    }

    pub(super) async fn served(&self) -> Result<Arc<Served>, Broken> {
        Ok(self.shared.store().await?)
    }

    pub(super) async fn capabilities(&self) -> Result<Capabilities, Broken> {
        Ok(self.served().await?.traits().capabilities)
    }

    /// One more client of the shared store, past any network of ours.
    pub(super) async fn backend(&self) -> Result<Arc<dyn LockBackend>, Broken> {
        let served = self.served().await?;
        Ok(served.connect(served.store().address()).await?)
    }

    /// The same, with what cases say often.
    pub(super) async fn hand(&self) -> Result<Hand, Broken> {
        Ok(Hand::new(self.clone(), self.backend().await?))
    }

    /// One more client of the shared store, behind a network that can be cut.
    pub(super) async fn behind_a_line(&self) -> Result<(Arc<dyn LockBackend>, Line), Broken> {
        let served = self.served().await?;
        let Some(address) = served.store().address() else {
            // A lost call must end by itself.
            let weather = Weather::new(0, 0, 2_000);
            let link = Link::new(Arc::clone(&self.shared.clock), weather, 0);
            let backend = served.connect(None).await?;
            let backend = FaultyBackend::over(backend, link.clone());
            return Ok((Arc::new(backend), Line::Link(link)));
        };
        let proxy = Proxy::start_opaque(address).await?;
        let backend = served.connect(Some(proxy.addr())).await?;
        Ok((backend, Line::Proxy(proxy)))
    }

    /// What clocks of different rate may make of so long a lease, and a millisecond.
    pub(super) fn slack(ttl: Duration) -> Duration {
        (ttl / 2_000).saturating_add(Duration::from_millis(1))
    }

    /// By how much a lease may last longer than asked for.
    pub(super) async fn granularity(&self) -> Result<Duration, Broken> {
        Ok(self.served().await?.traits().granularity)
    }

    /// Lets pass what a store that keeps to its granularity needs to end a lease of this ttl, and to
    /// forget what went with it.
    pub(super) async fn outlast(&self, ttl: Duration) -> Result<(), Broken> {
        let granularity = self.granularity().await?;
        let twice = granularity.saturating_mul(2);
        self.sleep(ttl.saturating_mul(4).saturating_add(twice))
            .await;
        Ok(())
    }

    pub(super) fn now(&self) -> lock_core::Moment {
        self.shared.clock.now()
    }

    pub(super) async fn sleep(&self, length: Duration) {
        let until = self.now().after(length);
        self.shared.clock.sleep_until(until).await;
    }

    /// For how long what must happen is waited for: far longer than it takes on a busy machine.
    pub(super) fn patience(&self) -> Duration {
        self.shared.pulse.bound(PATIENCE)
    }

    /// Waits for something that must happen.
    pub(super) async fn in_time<T>(
        &self,
        what: &str,
        something: impl Future<Output = T>,
    ) -> Result<T, Broken> {
        let patience = self.patience();
        match self.within(patience, something).await {
            Some(done) => Ok(done),
            None => Err(Broken::new(format!(
                "{what} did not happen within {} s",
                patience.as_secs()
            ))),
        }
    }

    /// Waits for something for so long.
    pub(super) async fn within<T>(
        &self,
        length: Duration,
        something: impl Future<Output = T>,
    ) -> Option<T> {
        let until = self.now().after(length);
        tokio::select! {
            biased;
            done = something => Some(done),
            () = self.shared.clock.sleep_until(until) => None,
        }
    }

    /// Looks again and again until there is something.
    pub(super) async fn until<T, F>(
        &self,
        what: &str,
        mut look: impl FnMut() -> F,
    ) -> Result<T, Broken>
    where
        F: Future<Output = Result<Option<T>, Broken>>,
    {
        let looking = async {
            loop {
                if let Some(found) = look().await? {
                    return Ok(found);
                }
                self.sleep(LOOK).await;
            }
        };
        self.in_time(what, looking).await?
    }

    /// Polls a future so often, letting everything else run in between, and then drops it; `Some` if
    /// it was done before.
    pub(super) async fn dropped_after<T>(
        &self,
        polls: u32,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut future = pin!(future);
        for poll in 0..polls {
            let polled = future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(done) = polled {
                return Some(done);
            }
            if poll < 3 {
                tokio::task::yield_now().await;
            } else {
                self.sleep(Duration::from_millis(1)).await;
            }
        }
        None
    }
}

/// The way between one client and the store.
pub(super) enum Line {
    Link(Link),
    Proxy(Proxy),
}

impl Line {
    /// Nothing passes any more in either direction.
    pub(super) fn cut(&self) {
        match self {
            Self::Link(link) => {
                link.lose(true, true);
                link.lose_hints(true);
            }
            Self::Proxy(proxy) => {
                proxy.black_hole(Direction::ToServer);
                proxy.black_hole(Direction::ToClient);
            }
        }
    }

    /// Every message takes so long each way, where there is a network.
    pub(super) fn slow(&self, latency: Duration) {
        if let Self::Proxy(proxy) = self {
            let shape = Shape::new().latency(latency);
            proxy.shape(Direction::ToServer, shape);
            proxy.shape(Direction::ToClient, shape);
        }
    }

    /// Resets every connection; `false` if there are none.
    pub(super) fn reset(&self) -> bool {
        match self {
            Self::Link(_) => false,
            Self::Proxy(proxy) => {
                proxy.reset_all();
                true
            }
        }
    }
}

/// For how long what must happen is waited for on a machine that is never late.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// So many plans run at once: they mostly wait.
const PLANS_AT_ONCE: usize = 24;

/// So many stores of their own are up at once.
const STORES_AT_ONCE: usize = 3;
