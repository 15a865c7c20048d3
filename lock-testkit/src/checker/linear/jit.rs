//! The just-in-time search: all configurations at once, event by event.
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "slots, classes and events were numbered by the plan; this is the hot loop"
)]

use super::plan::{Event, Plan};
use super::table::{Config, Table};
use super::{Entry, Found, Model};

/// A search that can be halted and goes on where it was.
pub(super) struct Jit<'a, M: Model> {
    model: &'a M,
    history: &'a [Entry<M::Op>],
    plan: Plan,
    event: usize,
    /// What is open, by slot.
    open: [usize; 64],
    open_mask: u64,
    /// The slots of operations that only observe, and of those that reset.
    observers: u64,
    resetters: u64,
    available: Vec<u8>,
    /// The next goal that closes.
    goal: usize,
    frontier: Vec<Config<M::State>>,
    /// While an operation closes: where it has not taken effect yet, and where it has.
    before: Table<M::State>,
    after: Table<M::State>,
    is_closing: bool,
    steps: u64,
}

impl<'a, M: Model> Jit<'a, M> {
    pub(super) fn new(model: &'a M, history: &'a [Entry<M::Op>], plan: Plan) -> Self {
        let first = Config {
            state: model.initial(),
            done: 0,
            used: [0; 32],
        };
        Self {
            model,
            history,
            event: 0,
            open: [0; 64],
            open_mask: 0,
            observers: 0,
            resetters: 0,
            available: vec![0; plan.classes.len()],
            goal: 0,
            frontier: vec![first],
            before: Table::new(),
            after: Table::new(),
            is_closing: false,
            steps: 0,
            plan,
        }
    }

    /// Goes on for about so many steps of the model; says how many it took.
    pub(super) fn run(&mut self, allowance: u64) -> (u64, Option<Found>) {
        self.steps = 0;
        loop {
            let Some(event) = self.plan.events.get(self.event).copied() else {
                return (self.steps, Some(Found::Legal));
            };
            match event {
                Event::Open { entry, slot } => self.open(entry, slot),
                Event::More { class } => {
                    if let Some(available) = self.available.get_mut(class) {
                        *available = available.saturating_add(1);
                    }
                }
                Event::Close { entry, slot } => {
                    if !self.close(entry, slot, allowance) {
                        return (self.steps, None);
                    }
                    if self.frontier.is_empty() {
                        return (self.steps, Some(Found::Stuck(entry)));
                    }
                }
            }
            self.event += 1;
            if self.steps > allowance {
                return (self.steps, None);
            }
        }
    }

    fn open(&mut self, entry: usize, slot: u32) {
        let bit = 1 << slot;
        self.open[slot as usize] = entry;
        self.open_mask |= bit;
        let op = &self.history[entry].op;
        if !self.model.observes(op) {
            if self.model.resets(op) {
                self.resetters |= bit;
            }
            return;
        }
        self.observers |= bit;
        self.steps += self.frontier.len() as u64;
        for config in &mut self.frontier {
            if self
                .model
                .step(&config.state, &self.history[entry])
                .is_some()
            {
                config.done |= bit;
            }
        }
    }

    /// Has the operation take effect in every configuration. `false` if it ran out of allowance.
    fn close(&mut self, entry: usize, slot: u32, allowance: u64) -> bool {
        let bit = 1_u64 << slot;
        if !self.is_closing {
            while self
                .plan
                .goals
                .get(self.goal)
                .is_some_and(|g| g.closed < self.event)
            {
                self.goal += 1;
            }
            let optional = self.history[entry].optional;
            for config in std::mem::take(&mut self.frontier) {
                let is_done = config.done & bit != 0;
                if is_done || optional {
                    self.keep(config.clone(), bit);
                }
                // What is optional may yet have had its effect.
                if !is_done {
                    self.before.insert(config, self.observers);
                }
            }
            self.is_closing = true;
        }
        while let Some(config) = self.before.pop() {
            self.expand(&config, bit);
            if self.steps > allowance {
                return false;
            }
        }
        self.before.clear();
        self.after.drain_into(&mut self.frontier);
        self.open_mask &= !bit;
        self.observers &= !bit;
        self.resetters &= !bit;
        self.is_closing = false;
        true
    }

    /// Adds to what is after the closing operation, whose slot becomes free.
    fn keep(&mut self, mut config: Config<M::State>, bit: u64) {
        config.done &= !bit;
        self.after.insert(config, self.observers & !bit);
    }

    /// All that may take effect next where the closing operation has not yet.
    fn expand(&mut self, config: &Config<M::State>, closing: u64) {
        let mut rest = self.open_mask & !self.observers & !config.done;
        while rest != 0 {
            let slot = rest.trailing_zeros();
            rest &= rest - 1;
            let mut next = config.clone();
            next.done |= 1 << slot;
            self.apply(next, self.open[slot as usize], closing);
        }
        for class in 0..self.available.len() {
            let used = config.used[class];
            if used < self.available[class] {
                let mut next = config.clone();
                next.used[class] += 1;
                let member = self.plan.classes[class].members[usize::from(used)];
                self.apply(next, member, closing);
            }
        }
    }

    fn apply(&mut self, mut next: Config<M::State>, entry: usize, closing: u64) {
        self.steps += 1;
        let Some(state) = self.model.step(&next.state, &self.history[entry]) else {
            return;
        };
        let is_free = self.history[entry].optional && state == next.state;
        if is_free {
            return;
        }
        next.state = state;
        let mut rest = self.open_mask & self.observers & !next.done;
        while rest != 0 {
            let slot = rest.trailing_zeros();
            rest &= rest - 1;
            self.steps += 1;
            let observer = &self.history[self.open[slot as usize]];
            if self.model.step(&next.state, observer).is_some() {
                next.done |= 1 << slot;
            }
        }
        if !self.has_a_way(&next) {
            return;
        }
        if next.done & closing != 0 {
            self.keep(next, closing);
        } else {
            self.before.insert(next, self.observers);
        }
    }

    /// Whether the next observer that must be placed can still be, as far as the model knows.
    fn has_a_way(&self, config: &Config<M::State>) -> bool {
        for goal in &self.plan.goals[self.goal..] {
            if goal.opened < self.event && config.done & (1 << goal.slot) != 0 {
                continue;
            }
            let may_reset = self.resetters & !config.done != 0
                || self.plan.resets[goal.closed] > self.plan.resets[self.event]
                || (self.plan.classes.iter().zip(&self.available)).any(|(c, n)| c.resets && *n > 0);
            return may_reset
                || self
                    .model
                    .may_reach(&config.state, &self.history[goal.entry].op);
        }
        true
    }
}
