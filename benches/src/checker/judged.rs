//! Histories as a run under faults makes them, judged by all rules.

use lock_testkit::checker::liveness::Limits;
use lock_testkit::history::{Belief, History, Key, NEVER, Operation, Outcome, Step, Value};
use lock_testkit::judge::{Rules, judge};
use lock_testkit::spec::{Bound, Verdict};

use crate::{Dice, Row, timed};

const HISTORIES: u64 = 256;
const OPERATIONS: usize = 250;
const TTL_NS: u64 = 20_000_000;

pub(crate) fn row() -> Row {
    let histories: Vec<History> = (0..HISTORIES).map(simulate).collect();
    let limits = Limits::new(2_000_000, 20_000_000).push(10_000_000);
    let rules = Rules::new(Bound::DEFAULT).durable().limits(limits);
    let (took, valid) = timed(21, || {
        let verdicts = histories.iter().map(|history| judge(history, &rules));
        verdicts
            .filter(|verdict| *verdict == Verdict::Valid)
            .count()
    });
    let each = took.as_secs_f64() / HISTORIES as f64;
    Row::new(
        format!(
            "all rules, {OPERATIONS} operations of two keys with waits, beliefs and unknown outcomes"
        ),
        format!(
            "{:.1} µs a history, {:.0} histories/s, {valid} of {HISTORIES} valid",
            each * 1e6,
            1.0 / each
        ),
    )
}

/// Two keys that four clients hold in turn: each waits while the one before it holds, others give
/// up meanwhile; in the first half some releases and acquires have no known outcome.
fn simulate(seed: u64) -> History {
    let mut history = History::new();
    let keys = [history.key("a"), history.key("b")];
    let mut turns = keys.map(|key| Turns {
        key,
        now: 1_000_000,
        asked: 500_000,
        token: 0,
        data: Value::NONE,
    });
    let mut dice = Dice(seed);
    while history.operations().len() < OPERATIONS {
        let is_faulty = history.operations().len() < OPERATIONS / 2;
        for turns in &mut turns {
            turns.take(&mut history, &mut dice, is_faulty);
        }
        if is_faulty {
            let latest = turns.iter().map(|turns| turns.now).max();
            history.heal_at(latest.unwrap_or_default());
        }
    }
    history
}

struct Turns {
    key: Key,
    now: u64,
    /// When whoever is granted next began to wait.
    asked: u64,
    token: u64,
    data: Value,
}

impl Turns {
    fn take(&mut self, history: &mut History, dice: &mut Dice, is_faulty: bool) {
        self.token += 1 + dice.below(3);
        let client = u32::try_from(self.token % 4).unwrap_or_default();
        let granted = self.now + 200_000 + dice.below(500_000);
        let operation = |step, outcome, invoked, returned| Operation {
            invoked,
            returned,
            token: self.token,
            ttl_ns: TTL_NS,
            key: self.key,
            client,
            task: 0,
            value: Value::UNSEEN,
            step,
            outcome,
        };
        let grant = operation(Step::Acquire, Outcome::Done, self.asked, granted);
        history.push(Operation {
            value: self.data,
            ..grant
        });
        let mut now = granted;
        if dice.below(2) == 0 {
            history.push(operation(Step::Renew, Outcome::Done, now, now + 300_000));
            now += 400_000;
        }
        for _ in 0..dice.below(3) {
            let until = now + dice.below(1_000_000);
            let refused = operation(Step::Acquire, Outcome::Refused, now, until);
            history.push(Operation {
                token: 0,
                ..refused
            });
        }
        self.asked = now + dice.below(500_000);
        now += 1_000_000;
        if is_faulty && dice.below(12) == 0 {
            let lost = operation(Step::Acquire, Outcome::Unknown, now - 500_000, NEVER);
            history.push(Operation { token: 0, ..lost });
        }
        let is_unknown = is_faulty && dice.below(8) == 0;
        let (outcome, returned) = match is_unknown {
            true => (Outcome::Unknown, NEVER),
            false => (Outcome::Done, now + 400_000),
        };
        let mut end = operation(Step::Release, outcome, now, returned);
        if !is_unknown && dice.below(3) != 0 {
            let text = format!("[{}]", self.token);
            (end.step, end.value) = (Step::CommitRelease, history.value(&text));
            self.data = end.value;
        }
        history.push(end);
        history.believe(Belief {
            key: self.key,
            client,
            task: 0,
            token: self.token,
            from: granted,
            until: now,
        });
        self.now = now + 300_000;
    }
}
