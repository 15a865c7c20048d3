//! A history with a fault at its end.

use lock_testkit::checker::token;
use lock_testkit::history::{
    Belief, History, Mark, MarkKind, NEVER, Operation, Outcome, Step, Value,
};
use lock_testkit::spec::{Bound, Verdict, Violation};

use Outcome::{Done, Refused, Unknown};
use Step::{Acquire, Commit, Peek, Release, Renew};

/// A correct run of so many leases on a lock of this name, then a client that sleeps past its ttl
/// and commits after the next grant; and another lock.
pub(super) fn history(rounds: u64, key: &str, value: &str, fault: &str) -> (History, Violation) {
    let mut scene = Scene::new(key);
    for round in 0..rounds {
        scene.lease(round);
    }
    scene.late_commit(rounds, value, fault);
    let found = token::check(&scene.history, Bound::DEFAULT, 1_000_000);
    let Verdict::Invalid(violation) = found else {
        panic!("{found:?}");
    };
    (scene.history, violation)
}

struct Scene {
    history: History,
    base: Operation,
}

impl Scene {
    fn new(key: &str) -> Self {
        let mut history = History::new();
        let base = Operation {
            invoked: 0,
            returned: 0,
            token: 0,
            ttl_ns: 500 * TENTH,
            key: history.key(key),
            client: 0,
            task: 0,
            value: Value::UNSEEN,
            step: Acquire,
            outcome: Done,
        };
        Self { history, base }
    }

    /// Times in tenths of a millisecond.
    fn add(
        &mut self,
        (from, until): (u64, u64),
        client: u32,
        token: u64,
        step: Step,
        outcome: Outcome,
    ) {
        self.history.push(Operation {
            invoked: from * TENTH,
            returned: until.saturating_mul(TENTH),
            client,
            token,
            step,
            outcome,
            ..self.base
        });
    }

    fn lease(&mut self, round: u64) {
        let (at, token) = (round * 100, round + 1);
        let client = u32::try_from(round % 4).unwrap();
        self.add((at + 1, at + 9), client, token, Acquire, Done);
        self.add((at + 12, at + 18), (client + 1) % 4, 0, Acquire, Refused);
        let renewed = if round % 7 == 3 { Unknown } else { Done };
        self.add((at + 30, at + 41), client, token, Renew, renewed);
        self.add((at + 60, at + 75), client, token, Release, Done);
    }

    fn late_commit(&mut self, rounds: u64, value: &str, fault: &str) {
        let (at, token) = (rounds * 100, rounds + 1);
        self.add((at, at + 12), 1, token, Acquire, Done);
        self.add((at + 540, at + 724), 0, token + 1, Acquire, Done);
        self.add((at + 600, at + 606), 2, 0, Acquire, Refused);
        self.add((at + 650, NEVER), 3, 0, Acquire, Unknown);
        self.base.value = self.history.value(value);
        self.add((at + 732, at + 739), 1, token, Commit, Done);
        self.add((at + 749, at + 759), 1, 0, Peek, Refused);
        let moment = |tenths: u64| (at + tenths) * TENTH;
        let belief = Belief {
            key: self.base.key,
            client: 1,
            task: 0,
            token,
            from: moment(12),
            until: moment(495),
        };
        self.history.believe(belief);
        self.history.believe(Belief {
            client: 0,
            token: token + 1,
            from: moment(724),
            until: moment(1000),
            ..belief
        });
        self.history.mark(Mark {
            from: moment(250),
            until: moment(728),
            kind: MarkKind::Fault,
            client: Some(1),
            text: fault.to_owned(),
        });
        self.history.heal_at(moment(745));
        self.base.key = self.history.key("other");
        self.add((0, 50), 0, 1, Acquire, Done);
    }
}

const TENTH: u64 = 100_000;
