//! [`Recorder`]: writes a history while clients run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lock_core::{Clock, Moment};

use super::{Belief, History, Key, Mark, MarkKind, NEVER, Operation, Outcome, Step, Value};

/// Writes a history while clients run; all of them share it and its clock.
#[derive(Debug)]
pub struct Recorder {
    clock: Arc<dyn Clock>,
    history: Mutex<History>,
}

/// An operation that was invoked. If it is dropped, as with a cancelled future, its outcome stays
/// unknown for ever.
#[derive(Debug)]
#[must_use = "an invocation that is not completed stays unknown"]
pub struct Invocation {
    at: usize,
}

impl Recorder {
    /// A recorder of nothing yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            history: Mutex::default(),
        }
    }

    /// Notes that a client is about to send a request. `token` and `ttl_ns` are 0 and `value` is
    /// `None` where the step has none.
    pub fn invoke(
        &self,
        (client, task): (u32, u16),
        key: &str,
        step: Step,
        token: u64,
        ttl_ns: u64,
        value: Option<&str>,
    ) -> Invocation {
        let mut history = self.lock();
        let key = history.key(key);
        let value = value.map_or(Value::UNSEEN, |text| history.value(text));
        // Under the mutex, so that stamps are in the order of the operations.
        let at = history.push(Operation {
            invoked: self.clock.now().as_nanos(),
            returned: NEVER,
            token,
            ttl_ns,
            key,
            client,
            task,
            value,
            step,
            outcome: Outcome::Unknown,
        });
        Invocation { at }
    }

    /// Notes the answer to a step that neither grants nor reads.
    pub fn complete(&self, invocation: Invocation, outcome: Outcome) {
        self.answer(&invocation, outcome, |_, _| ());
    }

    /// Notes a grant or a peek: the token and the value, `None` if none was ever written.
    pub fn read(&self, invocation: Invocation, token: u64, value: Option<&str>) {
        self.answer(&invocation, Outcome::Done, |operation, history| {
            operation.token = token;
            operation.value = value.map_or(Value::NONE, |text| history.value(text));
        });
    }

    /// Notes a grant whose value is not of interest, or the token of a lease ended by force.
    pub fn done_with(&self, invocation: Invocation, token: u64) {
        self.answer(&invocation, Outcome::Done, |operation, _| {
            operation.token = token;
        });
    }

    /// Notes that an operation of unknown outcome can take effect no longer.
    pub fn over(&self, invocation: Invocation) {
        self.answer(&invocation, Outcome::Unknown, |_, _| ());
    }

    /// Notes for how long a client believed that it held a lock.
    pub fn believe(&self, key: &str, note: impl FnOnce(Key) -> Belief) {
        let mut history = self.lock();
        let key = history.key(key);
        history.believe(note(key));
    }

    /// Notes something that was done to the run, from a moment until now.
    pub fn mark(&self, from: Moment, client: Option<u32>, text: impl Into<String>) {
        self.note(MarkKind::Fault, from, client, text.into());
    }

    /// Notes that the store was restarted, crashed or failed over, from a moment until now.
    pub fn restarted(&self, from: Moment, text: impl Into<String>) {
        self.note(MarkKind::Restart, from, None, text.into());
    }

    fn note(&self, kind: MarkKind, from: Moment, client: Option<u32>, text: String) {
        let until = self.clock.now().as_nanos();
        self.lock().mark(Mark {
            from: from.as_nanos(),
            until,
            client,
            kind,
            text,
        });
    }

    /// Notes that from now on nothing is at fault any more.
    pub fn heal(&self) {
        let now = self.clock.now().as_nanos();
        self.lock().heal_at(now);
    }

    /// The present moment, by the clock of the history.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// What was recorded.
    #[must_use]
    pub fn history(&self) -> History {
        self.lock().clone()
    }

    fn answer(
        &self,
        invocation: &Invocation,
        outcome: Outcome,
        note: impl FnOnce(&mut Operation, &mut History),
    ) {
        let returned = self.clock.now().as_nanos();
        let mut history = self.lock();
        let Some(mut operation) = history.operations().get(invocation.at).copied() else {
            return;
        };
        (operation.returned, operation.outcome) = (returned, outcome);
        note(&mut operation, &mut history);
        if let Some(there) = history.operation_mut(invocation.at) {
            *there = operation;
        }
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
