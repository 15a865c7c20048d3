//! [`Class`]: what is at fault in a plan.

use std::time::Duration;

use lock_core::Durability;

use super::TTL;
use crate::dice::Dice;
use crate::fault::{Fault, StepKind};
use crate::plan::{Mix, NetworkFault, Plan, PlannedFault};
use crate::subject::{ServerFault, Traits};

/// What is at fault in a plan.
pub(super) struct Class {
    pub(super) name: &'static str,
    /// Without a network of its own the store cannot have these faults.
    pub(super) needs_network: bool,
    /// What is done to the server.
    pub(super) server: &'static [ServerFault],
    /// What the store must survive for values and leases to outlast the fault.
    pub(super) survives: Option<Durability>,
    /// Whether the server's clock jumps, so that a lease may end at any time.
    pub(super) is_untimed: bool,
    kind: Kind,
}

/// What is done to clients.
#[derive(Clone, Copy)]
enum Kind {
    Calls(fn(&mut Dice) -> Fault),
    Crash,
    Freeze,
    Network(&'static [NetworkFault]),
    Nothing,
    Server,
}

const fn class(name: &'static str, kind: Kind) -> Class {
    Class {
        name,
        needs_network: false,
        server: &[],
        survives: None,
        is_untimed: false,
        kind,
    }
}

const fn network(name: &'static str, faults: &'static [NetworkFault]) -> Class {
    Class {
        needs_network: true,
        ..class(name, Kind::Network(faults))
    }
}

const fn server(name: &'static str, server: &'static [ServerFault]) -> Class {
    Class {
        server,
        ..class(name, Kind::Server)
    }
}

/// All classes, by the sentences of their cases.
pub(super) const CLASSES: &[Class] = &[
    class("calm", Kind::Nothing),
    class("lost-replies", Kind::Calls(lost)),
    class("late-requests", Kind::Calls(late)),
    class("partitions", Kind::Network(&PARTITIONS)),
    network("resets", &RESETS),
    class("frozen-clients", Kind::Freeze),
    class("crashes", Kind::Crash),
    class(
        "starved-renewals",
        Kind::Network(&[NetworkFault::RenewalsStarved]),
    ),
    class("lost-hints", Kind::Network(&[NetworkFault::HintsLost])),
    network("slow-and-sliced", &SLOW),
    server(
        "server-pause",
        &[
            ServerFault::Pause { for_ms: 150 },
            ServerFault::Pause { for_ms: 500 },
        ],
    ),
    Class {
        survives: Some(Durability::Restart),
        ..server(
            "server-kill",
            &[
                ServerFault::Kill { down_ms: 50 },
                ServerFault::Kill { down_ms: 400 },
            ],
        )
    },
    server("script-cache-loss", &[ServerFault::FlushScripts]),
    Class {
        survives: Some(Durability::Failover),
        ..server("failover", &[ServerFault::FailOver])
    },
    Class {
        is_untimed: true,
        ..server(
            "clock-step",
            &[
                ServerFault::ClockStep { by_ms: 2_000 },
                ServerFault::ClockStep { by_ms: -2_000 },
            ],
        )
    },
];

const PARTITIONS: [NetworkFault; 3] = [
    NetworkFault::BlackHole {
        requests: true,
        replies: true,
    },
    NetworkFault::BlackHole {
        requests: true,
        replies: false,
    },
    NetworkFault::BlackHole {
        requests: false,
        replies: true,
    },
];

const RESETS: [NetworkFault; 3] = [
    NetworkFault::HalfOpen,
    NetworkFault::Refuse,
    NetworkFault::Reset,
];

const SLOW: [NetworkFault; 3] = [
    NetworkFault::Slow { ms: 5 },
    NetworkFault::Slow { ms: 40 },
    NetworkFault::Sliced,
];

fn lost(dice: &mut Dice) -> Fault {
    match dice.up_to(3) {
        0 => Fault::LoseRequest,
        _ => Fault::LoseReply,
    }
}

fn late(dice: &mut Dice) -> Fault {
    let delay = Duration::from_millis(dice.up_to(ms(TTL).saturating_mul(2)));
    match dice.up_to(3) {
        0 => Fault::DelayReply(delay),
        _ => Fault::Late(delay),
    }
}

fn ms(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

impl Class {
    /// What plans of this class are made of, without their faults.
    pub(super) fn mix(&self, traits: &Traits) -> Mix {
        let mut mix = Mix::served(traits).ttl_ms(ms(TTL));
        (mix.acts, mix.faults) = (5, 0);
        mix
    }

    /// The seed of a plan of this class in a run.
    pub(super) fn seed(&self, seed: u64, number: u32) -> u64 {
        // FNV-1a of the name, so that no two classes draw the same plans.
        let hash = self
            .name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        let mut dice = Dice::new(seed ^ hash);
        dice.next().wrapping_add(u64::from(number))
    }

    /// The plan with faults of this class, drawn from its seed.
    pub(super) fn with_faults(&self, mut plan: Plan) -> Plan {
        let mut dice = Dice::new(plan.seed);
        let count = match self.kind {
            Kind::Nothing => 0,
            Kind::Calls(_) => dice.up_to(6).saturating_add(2),
            Kind::Server => dice.up_to(1).saturating_add(1),
            Kind::Crash | Kind::Freeze | Kind::Network(_) => dice.up_to(2).saturating_add(1),
        };
        let clients = u64::try_from(plan.clients.len().saturating_sub(1)).unwrap_or(0);
        for _ in 0..count {
            let client = u32::try_from(dice.up_to(clients)).unwrap_or(0);
            plan.faults.extend(self.fault(&mut dice, client));
        }
        plan
    }

    fn fault(&self, dice: &mut Dice, client: u32) -> Option<PlannedFault> {
        let at_ms = dice.up_to(ms(TTL).saturating_mul(4));
        let for_ms = dice.up_to(ms(TTL).saturating_mul(2)).saturating_add(1);
        Some(match self.kind {
            Kind::Nothing => return None,
            Kind::Calls(fault) => PlannedFault::Call {
                client,
                step: pick(dice, &STEPS).copied()?,
                nth: u32::try_from(dice.up_to(5)).unwrap_or(0),
                fault: fault(dice),
            },
            Kind::Crash => PlannedFault::Crash { client, at_ms },
            Kind::Freeze => PlannedFault::Freeze {
                client,
                at_ms,
                for_ms,
            },
            Kind::Network(faults) => PlannedFault::Network {
                client,
                at_ms,
                for_ms,
                fault: pick(dice, faults)?.clone(),
            },
            Kind::Server => PlannedFault::Server {
                at_ms,
                fault: pick(dice, self.server)?.clone(),
            },
        })
    }
}

const STEPS: [StepKind; 4] = [
    StepKind::Acquire,
    StepKind::Commit,
    StepKind::Release,
    StepKind::Renew,
];

fn pick<'a, T>(dice: &mut Dice, of: &'a [T]) -> Option<&'a T> {
    let last = of.len().checked_sub(1)?;
    let at = dice.up_to(u64::try_from(last).ok()?);
    of.get(usize::try_from(at).ok()?)
}
