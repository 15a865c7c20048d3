//! Draws plans for proptest.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Union;

use super::{Act, End, NetworkFault, Plan, PlannedFault, Work};
use crate::fault::{Fault, StepKind, Weather};
use crate::subject::{ServerFault, Traits};

/// What plans are made of.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct Mix {
    /// The ttl of every lease, in milliseconds.
    pub ttl_ms: u64,
    /// How many clients at most.
    pub clients: usize,
    /// How many tasks a client has at most.
    pub tasks: usize,
    /// How many acts a task has at most.
    pub acts: usize,
    /// How many names at most.
    pub keys: u8,
    /// How many faults at most.
    pub faults: usize,
    /// The network where it is simulated.
    pub weather: Weather,
    /// Whether leases are prolonged.
    pub renews: bool,
    /// Whether values are written and read.
    pub state: bool,
    /// Whether acquires wait; otherwise each is one attempt, until everything is healed.
    pub waits: bool,
    /// Whether acquires are dropped half-way.
    pub cancels: bool,
    /// How leases end, and how often in proportion.
    pub ends: Vec<(u32, End)>,
    /// The steps of which single calls may fail.
    pub calls: Vec<StepKind>,
    /// Whether clients may stand still.
    pub freezes: bool,
    /// Whether clients may crash.
    pub crashes: bool,
    /// What may be done to the store.
    pub server: Vec<ServerFault>,
    /// What may be done to the network of a client.
    pub network: Vec<NetworkFault>,
}

impl Mix {
    /// Four clients, eight acts each, in virtual time, on a network that loses two messages of a
    /// hundred.
    pub fn simulated(traits: &Traits) -> Self {
        Self {
            ttl_ms: 100,
            clients: 4,
            tasks: 2,
            acts: 8,
            keys: 2,
            faults: 4,
            weather: Weather::new(3, 20_000, 25),
            renews: traits.renews,
            state: traits.state,
            waits: true,
            cancels: true,
            ends: vec![
                (12, End::Commit),
                (4, End::Release),
                (1, End::ReleaseTwice),
                (1, End::Abandon),
            ],
            calls: vec![
                StepKind::Acquire,
                StepKind::Commit,
                StepKind::Release,
                StepKind::Renew,
            ],
            freezes: true,
            crashes: true,
            server: Vec::new(),
            network: vec![
                NetworkFault::BlackHole {
                    requests: true,
                    replies: false,
                },
                NetworkFault::BlackHole {
                    requests: false,
                    replies: true,
                },
                NetworkFault::HintsLost,
                NetworkFault::RenewalsStarved,
            ],
        }
    }

    /// Three clients, four acts each, in real time: the network that is disturbed is a real one.
    pub fn served(traits: &Traits) -> Self {
        Self {
            ttl_ms: 400,
            clients: 3,
            acts: 4,
            weather: Weather::new(0, 0, 2_000),
            network: vec![
                NetworkFault::BlackHole {
                    requests: true,
                    replies: true,
                },
                NetworkFault::BlackHole {
                    requests: false,
                    replies: true,
                },
                NetworkFault::HalfOpen,
                NetworkFault::HintsLost,
                NetworkFault::Refuse,
                NetworkFault::RenewalsStarved,
                NetworkFault::Reset,
                NetworkFault::Slow { ms: 20 },
                NetworkFault::Sliced,
            ],
            ..Self::simulated(traits)
        }
    }

    /// Leases of this length.
    pub const fn ttl_ms(mut self, ttl_ms: u64) -> Self {
        self.ttl_ms = ttl_ms;
        self
    }

    /// Nothing goes wrong by chance or by plan, apart from what the clients do themselves.
    pub fn calm(mut self) -> Self {
        self.weather.loss_ppm = 0;
        self.calls.clear();
        self.network.clear();
        (self.freezes, self.crashes, self.cancels) = (false, false, false);
        self
    }

    /// The store may suffer this.
    pub fn server(mut self, faults: impl IntoIterator<Item = ServerFault>) -> Self {
        self.server.extend(faults);
        self
    }
}

/// Plans of this mix. They shrink: whole clients and tasks, then faults, then acts, then times.
pub fn plans(mix: &Mix) -> BoxedStrategy<Plan> {
    let Mix {
        ttl_ms,
        weather,
        keys,
        ..
    } = *mix;
    let task = vec(act(mix), 1..=mix.acts);
    let client = vec(task, 1..=mix.tasks);
    let clients = vec(client, 1..=mix.clients);
    let faults = match fault(mix) {
        Some(fault) => vec(fault, 0..=mix.faults).boxed(),
        None => Just(Vec::new()).boxed(),
    };
    // The seed decides nothing that a smaller one would make simpler.
    let seed = any::<u64>().no_shrink();
    (clients, faults, 1..=keys, seed)
        .prop_map(move |(clients, faults, keys, seed)| Plan {
            seed,
            ttl_ms,
            keys,
            weather,
            clients: clients
                .into_iter()
                .map(|tasks| with_keys(tasks, keys))
                .collect(),
            faults,
        })
        .boxed()
}

/// Brings the numbers of names into bounds.
fn with_keys(mut tasks: Vec<Vec<Act>>, keys: u8) -> Vec<Vec<Act>> {
    for act in tasks.iter_mut().flatten() {
        match act {
            Act::Cancel { key, .. } | Act::Hold { key, .. } | Act::Peek { key } => {
                *key = key.checked_rem(keys).unwrap_or(0);
            }
            Act::Rest { .. } => {}
        }
    }
    tasks
}

fn act(mix: &Mix) -> BoxedStrategy<Act> {
    let ttl = mix.ttl_ms;
    let key = || 0..mix.keys.max(1);
    let wait = if mix.waits {
        prop_oneof![2 => Just(0), 3 => 0..=ttl.saturating_mul(4)].boxed()
    } else {
        Just(0).boxed()
    };
    let work = vec(work(mix), 0..4);
    let hold =
        (key(), wait.clone(), work, end(mix)).prop_map(|(key, wait_ms, work, end)| Act::Hold {
            key,
            wait_ms,
            work,
            end,
        });
    let rest = (0..=ttl).prop_map(|ms| Act::Rest { ms });
    let mut kinds = vec![(10, hold.boxed()), (1, rest.boxed())];
    if mix.cancels {
        let cancel = (key(), wait, 0_u32..6).prop_map(|(key, wait_ms, polls)| Act::Cancel {
            key,
            wait_ms,
            polls,
        });
        kinds.push((1, cancel.boxed()));
    }
    if mix.state {
        kinds.push((1, key().prop_map(|key| Act::Peek { key }).boxed()));
    }
    Union::new_weighted(kinds).boxed()
}

fn work(mix: &Mix) -> BoxedStrategy<Work> {
    let ttl = mix.ttl_ms;
    // Mostly shorter than the lease; now and then a pause that outlives it.
    let keep = prop_oneof![
        5 => 0..=ttl / 4,
        1 => ttl / 4..=ttl.saturating_mul(2),
    ];
    let keep = keep.prop_map(|ms| Work::Keep { ms });
    match (mix.renews, mix.state) {
        (true, true) => {
            prop_oneof![4 => keep, 2 => Just(Work::Renew), 2 => Just(Work::Save)].boxed()
        }
        (true, false) => prop_oneof![4 => keep, 2 => Just(Work::Renew)].boxed(),
        (false, true) => prop_oneof![4 => keep, 2 => Just(Work::Save)].boxed(),
        (false, false) => keep.boxed(),
    }
}

fn end(mix: &Mix) -> BoxedStrategy<End> {
    let ends = mix.ends.iter().copied();
    let ends = ends.filter(|(weight, end)| *weight > 0 && (mix.state || *end != End::Commit));
    let kinds: Vec<_> = ends.map(|(weight, end)| (weight, Just(end))).collect();
    if kinds.is_empty() {
        return Just(End::Release).boxed();
    }
    Union::new_weighted(kinds).boxed()
}

/// One thing that is done to clients or store; `None` if this mix does nothing to them.
fn fault(mix: &Mix) -> Option<BoxedStrategy<PlannedFault>> {
    let ttl = mix.ttl_ms;
    let clients = u32::try_from(mix.clients).unwrap_or(u32::MAX).max(1);
    let client = || 0..clients;
    let when = || 0..=ttl.saturating_mul(8);
    let long = || 1..=ttl.saturating_mul(2);
    let freeze =
        (client(), when(), long()).prop_map(|(client, at_ms, for_ms)| PlannedFault::Freeze {
            client,
            at_ms,
            for_ms,
        });
    let crash =
        (client(), when()).prop_map(|(client, at_ms)| PlannedFault::Crash { client, at_ms });
    let mut kinds = Vec::new();
    if !mix.calls.is_empty() {
        let step = proptest::sample::select(mix.calls.clone());
        let call = (client(), step, 0_u32..12, call_fault(ttl));
        let call = call.prop_map(|(client, step, nth, fault)| PlannedFault::Call {
            client,
            step,
            nth,
            fault,
        });
        kinds.push(call.boxed());
    }
    if mix.freezes {
        kinds.push(freeze.boxed());
    }
    if mix.crashes {
        kinds.push(crash.boxed());
    }
    if !mix.network.is_empty() {
        let fault = proptest::sample::select(mix.network.clone());
        let network =
            (client(), when(), long(), fault).prop_map(|(client, at_ms, for_ms, fault)| {
                PlannedFault::Network {
                    client,
                    at_ms,
                    for_ms,
                    fault,
                }
            });
        kinds.push(network.boxed());
    }
    if !mix.server.is_empty() {
        let fault = proptest::sample::select(mix.server.clone());
        let server =
            (when(), fault).prop_map(|(at_ms, fault)| PlannedFault::Server { at_ms, fault });
        kinds.push(server.boxed());
    }
    (!kinds.is_empty()).then(|| Union::new(kinds).boxed())
}

fn call_fault(ttl: u64) -> impl Strategy<Value = Fault> {
    let late = move || (0..=ttl.saturating_mul(2)).prop_map(std::time::Duration::from_millis);
    prop_oneof![
        Just(Fault::Refuse),
        Just(Fault::LoseRequest),
        Just(Fault::LoseReply),
        late().prop_map(Fault::DelayReply),
        late().prop_map(Fault::Late),
    ]
}
