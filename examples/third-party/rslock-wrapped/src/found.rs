//! What lock-testkit finds: the plan, the fault that goes with it, and how it is judged.

use lock_testkit::Weather;
use lock_testkit::history::History;
use lock_testkit::judge::{Rules, judge};
use lock_testkit::plan::{Act, End, Plan, Work};
use lock_testkit::proxy::Requests;
use lock_testkit::spec::Verdict;

/// The ttl of the plan.
pub const TTL_MS: u64 = 3_000;

/// The extension's request: the script's only call that names a ttl.
pub const EXTENDS: fn() -> Requests =
    || Requests::command("EVALSHA").containing(TTL_MS.to_string());

/// One client takes the lock, extends it once and works on for a third of the ttl. The other comes
/// later, and waits for as long as the ttl at most.
#[must_use]
pub fn lost_extension() -> Plan {
    let holds = |wait_ms, work| Act::Hold {
        key: 0,
        wait_ms,
        work,
        end: End::Release,
    };
    let first = holds(0, vec![Work::Renew, Work::Keep { ms: TTL_MS / 3 }]);
    let second = vec![
        Act::Rest { ms: TTL_MS / 10 },
        holds(TTL_MS, vec![Work::Keep { ms: TTL_MS / 30 }]),
    ];
    Plan {
        seed: 0,
        ttl_ms: TTL_MS,
        keys: 1,
        weather: Weather::CALM,
        clients: vec![vec![vec![first]], vec![second]],
        faults: Vec::new(),
    }
}

/// What a history of rslock shows, which has no tokens.
#[must_use]
pub fn verdict(history: &History) -> Verdict {
    judge(history, &Rules::tokenless())
}
