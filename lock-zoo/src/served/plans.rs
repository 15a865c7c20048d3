//! The plans by which locks on real servers are driven. Each addresses what is to go wrong: a single
//! request by its number, or a moment with so much time around it that a busy machine meets it.

use std::time::Duration;

use lock_testkit::plan::{Act, End, Plan, PlannedFault, Work};
use lock_testkit::subject::ServerFault;
use lock_testkit::{Fault, StepKind, Weather};

/// The first holder's process stands still for longer than its lease, and then releases.
pub(super) fn overrun() -> Plan {
    let mut plan = three(200);
    plan.faults = vec![PlannedFault::Freeze {
        client: 0,
        at_ms: 100,
        for_ms: 700,
    }];
    plan
}

/// The first holder is told of its own lease so late that another has the lock by then.
pub(super) fn release_in_two_steps() -> Plan {
    let mut plan = three(50);
    plan.faults = vec![late_reply(StepKind::Release, 700)];
    plan
}

/// One acquires and keeps the lock for so long, and two wait for it.
fn three(keep_ms: u64) -> Plan {
    let first = vec![hold(0, keep_ms, End::Release)];
    let other = || vec![Act::Rest { ms: 200 }, hold(5_000, 380, End::Release)];
    plan(TTL_MS, vec![vec![first], vec![other()], vec![other()]])
}

/// A client goes away between its first request and the second.
pub(super) fn crash_between() -> Plan {
    let first = vec![hold(0, 10, End::Release)];
    let other = vec![Act::Rest { ms: 700 }];
    let mut plan = plan(200, vec![vec![first], vec![other]]);
    plan.faults = vec![
        late_reply(StepKind::Acquire, 5_000),
        PlannedFault::Crash {
            client: 0,
            at_ms: 500,
        },
    ];
    plan
}

/// One holds the lock, another asks for it meanwhile.
pub(super) fn meet() -> Plan {
    let first = vec![hold(2_000, 500, End::Release)];
    let other = vec![Act::Rest { ms: 200 }, hold(0, 100, End::Release)];
    plan(TTL_MS, vec![vec![first], vec![other]])
}

/// The same between two tasks of one process.
pub(super) fn meet_at_home() -> Plan {
    let first = vec![hold(2_000, 500, End::Release)];
    let other = vec![Act::Rest { ms: 200 }, hold(0, 100, End::Release)];
    plan(TTL_MS, vec![vec![first, other]])
}

/// One is refused, and another is granted twice before the first tries again.
pub(super) fn refused_first() -> Plan {
    let one = || hold(2_000, 400, End::Release);
    let first = vec![one(), hold(2_000, 10, End::Release)];
    let attempt = || hold(0, 10, End::Release);
    let other = vec![
        Act::Rest { ms: 200 },
        attempt(),
        Act::Rest { ms: 1_000 },
        attempt(),
    ];
    plan(5_000, vec![vec![first], vec![other]])
}

/// The reply to an acquire is lost.
pub(super) fn no_reply() -> Plan {
    let first = vec![hold(0, 10, End::Release)];
    let other = vec![Act::Rest { ms: 1_200 }, hold(0, 10, End::Release)];
    let mut plan = plan(TTL_MS, vec![vec![first], vec![other]]);
    plan.weather = Weather::new(0, 0, 500);
    plan.faults = vec![call(StepKind::Acquire, Fault::LoseReply)];
    plan
}

/// The server forgets its scripts between the acquire and the renewal.
pub(super) fn scripts_lost() -> Plan {
    let first = vec![Act::Hold {
        key: 0,
        wait_ms: 2_000,
        work: vec![Work::Keep { ms: 800 }, Work::Renew, Work::Keep { ms: 20 }],
        end: End::Release,
    }];
    let mut plan = plan(5_000, vec![vec![first]]);
    plan.faults = vec![PlannedFault::Server {
        at_ms: 400,
        fault: ServerFault::FlushScripts,
    }];
    plan
}

/// A lease is granted late in a transaction, and another waits for it.
pub(super) fn long_transaction() -> Plan {
    let first = vec![Act::Rest { ms: 600 }, hold(2_000, 600, End::Release)];
    let other = vec![Act::Rest { ms: 700 }, hold(5_000, 50, End::Release)];
    plan(800, vec![vec![first], vec![other]])
}

/// The server is killed and comes back while a lease is in force.
pub(super) fn killed() -> Plan {
    gone(ServerFault::Kill { down_ms: 0 })
}

/// The server is gone for good while a lease is in force, and another takes its place.
pub(super) fn failed_over() -> Plan {
    gone(ServerFault::FailOver)
}

fn gone(fault: ServerFault) -> Plan {
    let first = vec![hold(2_000, 0, End::Abandon)];
    let other = vec![Act::Rest { ms: 700 }, hold(30_000, 10, End::Release)];
    let mut plan = plan(4_000, vec![vec![first], vec![other]]);
    plan.faults = vec![PlannedFault::Server { at_ms: 400, fault }];
    plan
}

/// One holds the lock for most of its lease, another waits for it.
pub(super) fn long_hold() -> Plan {
    let first = vec![hold(2_000, 1_600, End::Release)];
    let other = vec![Act::Rest { ms: 200 }, hold(6_000, 1_500, End::Release)];
    plan(2_000, vec![vec![first], vec![other]])
}

/// A lease that is not of whole seconds, and another waits for it.
pub(super) fn odd_ttl() -> Plan {
    let first = vec![hold(2_000, 1_850, End::Release)];
    let other = vec![Act::Rest { ms: 200 }, hold(6_000, 10, End::Release)];
    plan(1_900, vec![vec![first], vec![other]])
}

fn hold(wait_ms: u64, keep_ms: u64, end: End) -> Act {
    Act::Hold {
        key: 0,
        wait_ms,
        work: vec![Work::Keep { ms: keep_ms }],
        end,
    }
}

fn late_reply(step: StepKind, ms: u64) -> PlannedFault {
    call(step, Fault::DelayReply(Duration::from_millis(ms)))
}

/// What happens to the first such request of the first client.
fn call(step: StepKind, fault: Fault) -> PlannedFault {
    PlannedFault::Call {
        client: 0,
        step,
        nth: 0,
        fault,
    }
}

fn plan(ttl_ms: u64, clients: Vec<Vec<Vec<Act>>>) -> Plan {
    Plan {
        seed: 1,
        ttl_ms,
        keys: 1,
        weather: Weather::CALM,
        clients,
        faults: Vec::new(),
    }
}

const TTL_MS: u64 = 500;
