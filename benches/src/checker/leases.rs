//! Lease histories as a right lock makes them: eight clients on one key, two thirds refused tries.

use lock_testkit::checker::token;
use lock_testkit::history::{History, Key, NEVER, Operation, Outcome, Step, Value};
use lock_testkit::spec::{Bound, Verdict};

use crate::{Dice, Row, timed};

const CLIENTS: u32 = 8;
const TTL_NS: u64 = 20_000_000;
const BOUND: Bound = Bound::timed(500, 1_000_000);

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (count, runs) in [(100_000, 9), (1_000_000, 9), (10_000_000, 3)] {
        let history = simulate(count, 0);
        let (took, verdict) = timed(runs, || token::check(&history, BOUND, 0));
        let speed = count as f64 / took.as_secs_f64() / 1e6;
        let verdict = say(&verdict);
        rows.push(Row::new(
            format!("token check, {count} operations of one key"),
            format!(
                "{:.1} ms, {speed:.0} Mop/s, {}, {verdict}",
                took.as_secs_f64() * 1e3,
                resident()
            ),
        ));
    }
    // All that the pass cannot settle by itself is among them, so the general checker has its say.
    let history = simulate(1_000, 12);
    let (took, verdict) = timed(9, || token::check(&history, BOUND, 50_000_000));
    rows.push(Row::new(
        "token check, 1000 operations of one key, 12 of them never answered",
        format!("{:.2} ms, {}", took.as_secs_f64() * 1e3, say(&verdict)),
    ));
    let (took, verdict) = timed(9, || token::check(&orphan(), BOUND, 50_000_000));
    rows.push(Row::new(
        "the same, with refusals that only an unanswered acquire explains",
        format!("{:.2} ms, {}", took.as_secs_f64() * 1e3, say(&verdict)),
    ));
    rows
}

fn say(verdict: &Verdict) -> &'static str {
    if *verdict == Verdict::Valid {
        "valid"
    } else if matches!(verdict, Verdict::Invalid(_)) {
        "INVALID"
    } else {
        "undecided"
    }
}

/// A right lock: a grant, tries that are refused meanwhile, renewals now and then, and an end by
/// release, commit or expiry. `unanswered` operations, none of them a grant, keep their outcome.
fn simulate(count: usize, unanswered: usize) -> History {
    let mut history = History::new();
    history.reserve(count);
    let key = history.key("stock");
    let every = count.checked_div(unanswered).unwrap_or(usize::MAX);
    let mut world = World {
        dice: Dice(7),
        history,
        key,
        now: 1_000_000,
        token: 0,
        holder: 0,
        data: Value::NONE,
        count,
        every,
        next: every / 2,
    };
    while world.history.operations().len() < count {
        world.lease();
    }
    world.history
}

struct World {
    dice: Dice,
    history: History,
    key: Key,
    now: u64,
    token: u64,
    holder: u32,
    data: Value,
    count: usize,
    /// One of so many is not answered, and this is the next.
    every: usize,
    next: usize,
}

impl World {
    fn lease(&mut self) {
        self.token += 1 + self.dice.below(3);
        self.holder = u32::try_from(self.dice.below(u64::from(CLIENTS))).unwrap_or_default();
        self.push(Step::Acquire, Outcome::Done, self.data);
        let mut end = self.now + TTL_NS;
        for _ in 0..2 + self.dice.below(6) {
            self.now += self.dice.below(1_000_000);
            self.push(Step::Acquire, Outcome::Refused, Value::UNSEEN);
        }
        if self.dice.below(4) == 0 {
            self.now += 10_000;
            self.push(Step::Renew, Outcome::Done, Value::UNSEEN);
            end = self.now + TTL_NS;
        }
        self.now += 100_000;
        match self.dice.below(20) {
            0 => self.now = end,
            1..=9 => self.push(Step::Release, Outcome::Done, Value::UNSEEN),
            _ => {
                self.data = self.history.value(&self.token.to_string());
                self.push(Step::CommitRelease, Outcome::Done, self.data);
            }
        }
        self.now += 1_000 + self.dice.below(1_200_000);
    }

    /// An operation that takes effect now, with a round trip of up to 1.2 ms around it.
    fn push(&mut self, step: Step, outcome: Outcome, value: Value) {
        let at = self.history.operations().len();
        if at >= self.count {
            return;
        }
        let is_try = outcome == Outcome::Refused;
        let mut operation = Operation {
            invoked: self.now.saturating_sub(50_000 + self.dice.below(550_000)),
            returned: self.now + 50_000 + self.dice.below(550_000),
            token: if is_try { 0 } else { self.token },
            ttl_ns: TTL_NS,
            key: self.key,
            client: (self.holder + u32::from(is_try)) % CLIENTS,
            task: 0,
            value,
            step,
            outcome,
        };
        let is_grant = step == Step::Acquire && outcome == Outcome::Done;
        if at >= self.next && !is_grant {
            (operation.returned, operation.outcome) = (NEVER, Outcome::Unknown);
            self.next += self.every;
        }
        self.history.push(operation);
    }
}

/// A thousand operations with twelve acquires that were never answered, each of which held the lock
/// for a while unseen: tries are refused, and only such an acquire explains it.
fn orphan() -> History {
    let mut history = History::new();
    let key = history.key("stock");
    let mut now = 1_000_000_u64;
    for round in 0..100_u64 {
        let token = 2 * round + 1;
        let mut push = |now: u64, step, outcome, token, returned: u64| {
            history.push(Operation {
                invoked: now,
                returned,
                token,
                ttl_ns: TTL_NS,
                key,
                client: 0,
                task: 0,
                value: Value::UNSEEN,
                step,
                outcome,
            });
        };
        push(now, Step::Acquire, Outcome::Done, token, now + 100_000);
        for _ in 0..4 {
            now += 200_000;
            push(now, Step::Acquire, Outcome::Refused, 0, now + 100_000);
        }
        now += 200_000;
        push(now, Step::Release, Outcome::Done, token, now + 100_000);
        now += 200_000;
        if round % 9 == 4 || round == 99 {
            push(now, Step::Acquire, Outcome::Unknown, 0, NEVER);
            for _ in 0..4 {
                now += 400_000;
                push(now, Step::Acquire, Outcome::Refused, 0, now + 100_000);
            }
            now += TTL_NS;
        } else {
            for _ in 0..4 {
                push(now, Step::Renew, Outcome::Refused, token, now + 100_000);
                now += 200_000;
            }
        }
    }
    history
}

/// The memory that this process has resident, where the system tells.
fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or_else(
        || "resident memory unknown".to_owned(),
        |kib| format!("{} MB resident at most", kib / 1024),
    )
}
