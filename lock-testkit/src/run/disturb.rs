//! [`Disturber`]: the clients of a run, and what the plan does to them and to the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use super::Stage;
use crate::SetupError;
use crate::fault::{Link, StepKind, Weather};
use crate::plan::{NetworkFault, Plan, PlannedFault};
use crate::signal::Signal;
use crate::subject::{Client, ServerFault, World};

/// The clients of a run as they are now.
#[derive(Clone)]
pub(super) struct Disturber {
    world: Arc<dyn World>,
    slots: Arc<Vec<Slot>>,
    /// The links of all clients that there ever were.
    links: Arc<Mutex<Vec<Link>>>,
    weather: Weather,
    seed: u64,
    /// Held by whoever does something to the store; what of it failed.
    server: Arc<tokio::sync::Mutex<Option<SetupError>>>,
}

/// One client's place; after a crash another takes it.
struct Slot {
    present: Mutex<Present>,
    /// How often it crashed.
    crashes: Arc<Signal>,
    /// Held while another client takes the place, so that each has a number of its own.
    succession: tokio::sync::Mutex<()>,
}

/// The client that has the place now.
#[derive(Clone)]
pub(super) struct Present {
    pub(super) client: Arc<dyn Client>,
    pub(super) link: Link,
    /// Its number in the history.
    pub(super) number: u32,
}

impl Slot {
    fn present(&self) -> MutexGuard<'_, Present> {
        lock(&self.present)
    }
}

impl Disturber {
    pub(super) async fn new(
        plan: &Plan,
        world: Arc<dyn World>,
        stage: &Stage,
    ) -> Result<Self, SetupError> {
        let mut slots = Vec::new();
        let mut links = Vec::new();
        for (number, _) in (0_u32..).zip(&plan.clients) {
            let link = link(stage, plan.weather, plan.seed, number);
            let client = world.client(number, link.clone()).await?;
            links.push(link.clone());
            slots.push(Slot {
                present: Mutex::new(Present {
                    client,
                    link,
                    number,
                }),
                crashes: Arc::default(),
                succession: tokio::sync::Mutex::default(),
            });
        }
        Ok(Self {
            world,
            links: Arc::new(Mutex::new(links)),
            slots: Arc::new(slots),
            weather: plan.weather,
            seed: plan.seed,
            server: Arc::default(),
        })
    }

    /// The client that has this place now; `None` if there is no such place.
    pub(super) fn present(&self, client: u32) -> Option<Present> {
        Some(self.slot(client)?.present().clone())
    }

    /// How often the client crashed, and news of it.
    pub(super) fn crashes(&self, client: u32) -> Option<Arc<Signal>> {
        Some(Arc::clone(&self.slot(client)?.crashes))
    }

    fn slot(&self, client: u32) -> Option<&Slot> {
        self.slots.get(usize::try_from(client).ok()?)
    }

    /// Starts everything that the plan does to clients and store.
    pub(super) fn start(&self, plan: &Plan, stage: &Stage) -> Disturbing {
        let mut tasks = JoinSet::new();
        for fault in &plan.faults {
            if let PlannedFault::Call {
                client,
                step,
                nth,
                fault,
            } = fault
            {
                if let Some(present) = self.present(*client) {
                    present.link.at(*step, *nth, *fault);
                }
                continue;
            }
            let (this, stage, fault) = (self.clone(), stage.clone(), fault.clone());
            drop(tasks.spawn(async move { this.disturb(&fault, &stage).await }));
        }
        Disturbing { tasks }
    }

    async fn disturb(&self, fault: &PlannedFault, stage: &Stage) -> Result<(), SetupError> {
        let ms = Duration::from_millis;
        match fault {
            PlannedFault::Call { .. } => {}
            PlannedFault::Crash { client, at_ms } => {
                stage.sleep(ms(*at_ms)).await;
                self.crash(*client, stage).await?;
            }
            PlannedFault::Freeze {
                client,
                at_ms,
                for_ms,
            } => {
                stage.sleep(ms(*at_ms)).await;
                let Some(present) = self.present(*client) else {
                    return Ok(());
                };
                let from = stage.clock.now();
                present.link.freeze(true);
                stage.sleep(ms(*for_ms)).await;
                present.link.freeze(false);
                let whom = Some(present.number);
                stage.recorder.mark(from, whom, "stands still");
            }
            PlannedFault::Network {
                client,
                at_ms,
                for_ms,
                fault,
            } => {
                stage.sleep(ms(*at_ms)).await;
                let Some(present) = self.present(*client) else {
                    return Ok(());
                };
                let from = stage.clock.now();
                self.network(&present, Some(fault)).await?;
                stage.sleep(ms(*for_ms)).await;
                self.network(&present, None).await?;
                stage
                    .recorder
                    .mark(from, Some(present.number), network_text(fault));
            }
            PlannedFault::Server { at_ms, fault } => {
                stage.sleep(ms(*at_ms)).await;
                self.server(fault.clone(), stage.clone()).await?;
            }
        }
        Ok(())
    }

    /// Does something to the store, to its end even if whoever waits for it goes away: a store that
    /// stands still must go on.
    async fn server(&self, fault: ServerFault, stage: Stage) -> Result<(), SetupError> {
        let mut turn = Arc::clone(&self.server).lock_owned().await;
        let world = Arc::clone(&self.world);
        let done = tokio::spawn(async move {
            let from = stage.clock.now();
            match world.server(&fault).await {
                Ok(true) => match fault {
                    ServerFault::FailOver | ServerFault::Kill { .. } => {
                        stage.recorder.restarted(from, fault.text());
                    }
                    ServerFault::ClockStep { .. }
                    | ServerFault::FlushScripts
                    | ServerFault::Pause { .. } => stage.recorder.mark(from, None, fault.text()),
                },
                Ok(false) => {}
                Err(error) => *turn = Some(error),
            }
        });
        done.await
            .map_err(|e| SetupError::new("a fault of the store panicked").with_source(e))
    }

    async fn crash(&self, client: u32, stage: &Stage) -> Result<(), SetupError> {
        let Some(slot) = self.slot(client) else {
            return Ok(());
        };
        let _turn = slot.succession.lock().await;
        let old = slot.present().clone();
        old.link.lose(true, true);
        old.link.lose_hints(true);
        let from = stage.clock.now();
        stage.recorder.mark(from, Some(old.number), "crashes");
        let number = old.number.saturating_add(SUCCESSOR);
        let link = link(stage, self.weather, self.seed, number);
        let client = self.world.client(number, link.clone()).await?;
        lock(&self.links).push(link.clone());
        *slot.present() = Present {
            client,
            link,
            number,
        };
        slot.crashes.set(slot.crashes.now().saturating_add(1));
        Ok(())
    }

    async fn network(
        &self,
        present: &Present,
        fault: Option<&NetworkFault>,
    ) -> Result<(), SetupError> {
        let link = &present.link;
        let is_done = self.world.network(present.number, fault).await?;
        match fault {
            Some(_) if is_done => {}
            Some(NetworkFault::BlackHole { requests, replies }) => link.lose(*requests, *replies),
            Some(NetworkFault::HintsLost) => link.lose_hints(true),
            Some(NetworkFault::RenewalsStarved) => link.starve(Some(StepKind::Renew)),
            Some(
                NetworkFault::HalfOpen
                | NetworkFault::Refuse
                | NetworkFault::Reset
                | NetworkFault::Slow { .. }
                | NetworkFault::Sliced,
            ) => {}
            None => {
                link.lose(false, false);
                link.lose_hints(false);
                link.starve(None);
            }
        }
        Ok(())
    }

    /// Ends every fault, and waits until nothing is under way any more.
    pub(super) async fn heal(&self, stage: &Stage) -> Result<(), SetupError> {
        if let Some(error) = self.server.lock().await.take() {
            return Err(error);
        }
        for slot in &*self.slots {
            let present = slot.present().clone();
            present.link.heal();
            let _own: bool = self.world.network(present.number, None).await?;
        }
        // Whoever stood still sends what it was about to send.
        stage.sleep(Duration::from_millis(2)).await;
        let until = stage.clock.now().after(UNDER_WAY_MAX);
        let links = lock(&self.links).clone();
        for link in &links {
            while link.traffic().under_way > 0 && stage.clock.now() < until {
                stage.sleep(Duration::from_millis(1)).await;
            }
        }
        if links.iter().all(|link| link.traffic().is_settled()) {
            stage.recorder.settle(!stage.line);
        }
        stage.recorder.heal();
        Ok(())
    }
}

/// The faults of a plan, while they last.
pub(super) struct Disturbing {
    tasks: JoinSet<Result<(), SetupError>>,
}

impl Disturbing {
    /// No more of them begin. Those that did to a client are lifted by [`Disturber::heal`].
    pub(super) async fn stop(mut self) -> Result<(), SetupError> {
        while let Some(ended) = self.tasks.try_join_next() {
            ended.map_err(|e| SetupError::new("a fault panicked").with_source(e))??;
        }
        self.tasks.shutdown().await;
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn link(stage: &Stage, weather: Weather, seed: u64, number: u32) -> Link {
    let seed = seed.rotate_left(17) ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Link::new(Arc::clone(&stage.clock), weather, seed)
}

fn network_text(fault: &NetworkFault) -> &'static str {
    match fault {
        NetworkFault::BlackHole {
            requests: true,
            replies: true,
        } => "is cut off",
        NetworkFault::BlackHole { requests: true, .. } => "its requests are lost",
        NetworkFault::BlackHole { .. } => "its replies are lost",
        NetworkFault::HalfOpen => "its connections are half open",
        NetworkFault::HintsLost => "its wake-ups are lost",
        NetworkFault::Refuse => "is refused connections",
        NetworkFault::RenewalsStarved => "its renewals get no turn",
        NetworkFault::Reset => "its connections are reset",
        NetworkFault::Sliced => "its bytes come in pieces",
        NetworkFault::Slow { .. } => "its network is slow",
    }
}

/// The number of a client that takes another's place is so much larger.
const SUCCESSOR: u32 = 100;

/// A message that is held for longer than this is not waited for.
const UNDER_WAY_MAX: Duration = Duration::from_secs(30);
