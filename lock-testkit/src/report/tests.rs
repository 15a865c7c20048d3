#![expect(clippy::arithmetic_side_effects, reason = "moments in tests are small")]

mod bars;
mod pictures;
mod random;
mod sentences;

use super::{Report, core};
use crate::checker::token::check;
use crate::history::{Belief, History, Mark, MarkKind, NEVER, Operation, Outcome, Step, Value};
use crate::spec::{Bound, Property, Verdict, Violation};

/// A history written by hand, in milliseconds.
struct Script {
    history: History,
    key: String,
}

impl Script {
    fn new() -> Self {
        let history = History::new();
        let key = "stock".to_owned();
        Self { history, key }
    }

    /// What a client asks for: times in tenths of a millisecond, 0 for never answered.
    fn add(self, client: u32, times: (u64, u64), step: Step, outcome: Outcome, token: u64) -> Self {
        self.push((client, 0), times, (step, outcome), token, Value::UNSEEN)
    }

    /// The same with a value; "" for nothing.
    fn with(
        mut self,
        client: u32,
        times: (u64, u64),
        (step, outcome): (Step, Outcome),
        token: u64,
        value: &str,
    ) -> Self {
        let value = match value {
            "" => Value::NONE,
            text => self.history.value(text),
        };
        self.push((client, 0), times, (step, outcome), token, value)
    }

    fn push(
        mut self,
        (client, task): (u32, u16),
        (invoked, returned): (u64, u64),
        (step, outcome): (Step, Outcome),
        token: u64,
        value: Value,
    ) -> Self {
        let key = self.history.key(&self.key);
        self.history.push(Operation {
            invoked: invoked * TENTH,
            returned: if returned == 0 {
                NEVER
            } else {
                returned * TENTH
            },
            token,
            ttl_ns: 500 * TENTH,
            key,
            client,
            task,
            value,
            step,
            outcome,
        });
        self
    }

    fn on(mut self, key: &str) -> Self {
        key.clone_into(&mut self.key);
        self
    }

    fn belief(mut self, client: u32, token: u64, (from, until): (u64, u64)) -> Self {
        let key = self.history.key(&self.key);
        self.history.believe(Belief {
            key,
            client,
            task: 0,
            token,
            from: from * TENTH,
            until: until * TENTH,
        });
        self
    }

    fn mark(mut self, client: Option<u32>, (from, until): (u64, u64), text: &str) -> Self {
        self.history.mark(Mark {
            from: from * TENTH,
            until: until * TENTH,
            kind: MarkKind::Fault,
            client,
            text: text.to_owned(),
        });
        self
    }

    /// What the checker finds.
    #[track_caller]
    fn found(&self, property: Property) -> Violation {
        let found = check(&self.history, BOUND, 1_000_000);
        let Verdict::Invalid(violation) = found else {
            panic!("{found:?} where {property} is broken");
        };
        assert_eq!(violation.property, property, "{violation:?}");
        violation
    }

    /// The sentence for what the checker finds.
    #[track_caller]
    fn says(&self, property: Property, sentence: &str) {
        let violation = self.found(property);
        let report = Report::new(&self.history, &violation);
        assert_eq!(report.sentence(), sentence);
    }

    /// The sentence for culprits that another checker would name.
    #[track_caller]
    fn tells(&self, property: Property, culprits: &[usize], sentence: &str) {
        let violation = Violation::new(property, BOUND, culprits);
        let report = Report::new(&self.history, &violation);
        assert_eq!(report.sentence(), sentence);
    }
}

const TENTH: u64 = 100_000;
const BOUND: Bound = Bound::timed(500, 1_000_000);
