//! Small random histories: a right run, with intervals around its moments, and often one change.
#![expect(clippy::arithmetic_side_effects, reason = "numbers are small")]

use super::super::super::cases::Dice;
use crate::history::{History, Key, NEVER, Operation, Outcome, Step, Value};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Everything,
    Plain,
    Values,
}

pub(super) fn grant(key: Key, invoked: u64, returned: u64, token: u64, ttl_ns: u64) -> Operation {
    Operation {
        invoked,
        returned,
        token,
        ttl_ns,
        key,
        client: 0,
        task: 0,
        value: Value::UNSEEN,
        step: Step::Acquire,
        outcome: Outcome::Done,
    }
}

struct World {
    dice: Dice,
    kind: Kind,
    history: History,
    key: Key,
    values: Vec<Value>,
    now: u64,
    holder: Option<u64>,
    expires: u64,
    last: u64,
    data: (Value, u64),
    written: u64,
}

pub(super) fn generate(kind: Kind, seed: u64) -> History {
    let mut history = History::new();
    let key = history.key("k");
    let values = (0..20).map(|n| history.value(&n.to_string())).collect();
    let mut world = World {
        dice: Dice(seed),
        kind,
        history,
        key,
        values,
        now: 3,
        holder: None,
        expires: 0,
        last: 0,
        data: (Value::NONE, 0),
        written: 0,
    };
    let count = 2 + world.dice.below(7);
    for _ in 0..count {
        world.step();
    }
    let mut operations = world.history.operations().to_vec();
    if world.dice.one_in(2) {
        world.change(&mut operations);
    }
    let mut history = History::new();
    history.key("k");
    for n in 0..20 {
        history.value(&n.to_string());
    }
    for operation in operations {
        history.push(operation);
    }
    history
}

impl World {
    fn step(&mut self) {
        self.now += self.dice.below(3);
        if self.holder.is_some() && self.now >= self.expires && self.dice.one_in(2) {
            self.holder = None;
        }
        let value = if self.kind == Kind::Plain {
            Value::UNSEEN
        } else {
            self.data.0
        };
        let token = match self.holder {
            Some(token) if !self.dice.one_in(4) => token,
            _ => self.dice.below(self.last + 2),
        };
        let holds = self.holder == Some(token) && token != 0;
        let mut operation = grant(self.key, self.now, self.now, token, 1 + self.dice.below(6));
        operation.outcome = if holds {
            Outcome::Done
        } else {
            Outcome::Refused
        };
        let steps = if self.kind == Kind::Plain { 6 } else { 10 };
        match self.dice.below(steps) {
            0..=2 => self.acquire(&mut operation, value),
            3 => {
                operation.step = Step::Renew;
                if holds {
                    self.expires = self.expires.max(self.now + operation.ttl_ns);
                }
            }
            4 | 5 if self.kind == Kind::Everything && self.dice.one_in(3) => {
                self.force(&mut operation);
            }
            4 | 5 => {
                operation.step = Step::Release;
                if holds {
                    self.holder = None;
                }
            }
            6 => {
                operation.step = Step::Peek;
                operation.outcome = Outcome::Done;
                (operation.value, operation.token) = self.data;
            }
            _ => self.commit(&mut operation, holds),
        }
        if self.dice.one_in(5) && operation.step != Step::Peek {
            operation.outcome = Outcome::Unknown;
            if operation.step == Step::Acquire {
                operation.token = 0;
            }
        }
        self.widen(&mut operation);
        self.history.push(operation);
    }

    fn acquire(&mut self, operation: &mut Operation, value: Value) {
        operation.value = value;
        if self.holder.is_some() {
            operation.outcome = Outcome::Refused;
            operation.token = 0;
            return;
        }
        self.last += 1 + self.dice.below(2);
        operation.token = self.last;
        operation.outcome = Outcome::Done;
        self.holder = Some(self.last);
        self.expires = self.now + operation.ttl_ns;
    }

    fn force(&mut self, operation: &mut Operation) {
        operation.step = Step::ForceRelease;
        operation.token = self.holder.unwrap_or(0);
        operation.outcome = match self.holder.take() {
            Some(_) => Outcome::Done,
            None => Outcome::Refused,
        };
    }

    fn commit(&mut self, operation: &mut Operation, holds: bool) {
        self.written += u64::from(self.kind == Kind::Values || !self.dice.one_in(4));
        operation.value = self.values[usize::try_from(self.written).unwrap()];
        operation.step = Step::Commit;
        if holds {
            self.data = (operation.value, operation.token);
        }
        if self.dice.one_in(2) {
            operation.step = Step::CommitRelease;
            if holds {
                self.holder = None;
            }
        }
    }

    fn widen(&mut self, operation: &mut Operation) {
        operation.invoked -= self.dice.below(3);
        operation.returned += self.dice.below(4);
        if operation.outcome == Outcome::Unknown && self.dice.one_in(2) {
            operation.returned = NEVER;
        }
    }

    /// Changes one thing, which often makes it wrong.
    fn change(&mut self, operations: &mut Vec<Operation>) {
        let count = u64::try_from(operations.len()).unwrap();
        let at = usize::try_from(self.dice.below(count)).unwrap();
        let operation = &mut operations[at];
        match self.dice.below(6) {
            0 => operation.token = self.dice.below(self.last + 2),
            1 if operation.outcome != Outcome::Unknown => {
                let refuse = operation.outcome == Outcome::Done && operation.step != Step::Peek;
                operation.outcome = if refuse {
                    Outcome::Refused
                } else {
                    Outcome::Done
                };
            }
            2 if self.kind != Kind::Plain => {
                let value = self.dice.below(self.written + 1);
                operation.value = self.values[usize::try_from(value).unwrap()];
            }
            3 => operation.ttl_ns += self.dice.below(8),
            4 => drop(operations.remove(at)),
            _ if operation.returned != NEVER => {
                let by = self.dice.below(6);
                operation.invoked += by;
                operation.returned += by;
            }
            _ => {}
        }
    }
}
