//! [`Recorder`]: writes a history while clients run.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lock_core::{Clock, Moment};

use super::{Belief, History, Key, Mark, NEVER, Operation, Outcome, Step, Value};

/// Writes a history while clients run; all of them share it and its clock.
#[derive(Debug)]
pub struct Recorder {
    clock: Arc<dyn Clock>,
    /// The stamp given last, where no two may be equal.
    last: Option<AtomicU64>,
    history: Mutex<History>,
    /// Forced releases that named a token of which it is not known yet whether anybody saw its grant.
    forced: Mutex<Vec<usize>>,
}

/// An operation that was invoked. If it is dropped, as with a cancelled future, its outcome stays
/// unknown for ever.
#[derive(Debug)]
#[must_use = "an invocation that is not completed stays unknown"]
pub struct Invocation {
    at: usize,
}

impl Invocation {
    /// Where its operation stands in the history.
    pub(crate) const fn place(&self) -> usize {
        self.at
    }
}

impl Recorder {
    /// A recorder of nothing yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            last: None,
            history: Mutex::default(),
            forced: Mutex::default(),
        }
    }

    /// A recorder that gives no stamp twice: where the clock stands still, as a virtual one does, it
    /// goes on by a nanosecond, so that stamps tell in which order things happened. That is less
    /// than clocks are trusted for, and far less is left to be found out by the checkers.
    #[must_use]
    pub fn in_order(clock: Arc<dyn Clock>) -> Self {
        Self {
            last: Some(AtomicU64::new(0)),
            ..Self::new(clock)
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
            invoked: self.now().as_nanos(),
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
        let until = self.now().as_nanos();
        self.lock().mark(Mark {
            from: from.as_nanos(),
            until,
            client,
            text: text.into(),
        });
    }

    /// Notes that from now on nothing is at fault any more.
    pub fn heal(&self) {
        let now = self.now().as_nanos();
        self.lock().heal_at(now);
    }

    /// Notes that nothing that was asked so far can take effect from now on.
    pub fn settle(&self) {
        let now = self.now().as_nanos();
        self.lock().settle(now);
    }

    /// The present moment, by the clock of the history.
    #[must_use]
    pub fn now(&self) -> Moment {
        let now = self.clock.now();
        let Some(last) = &self.last else {
            return now;
        };
        let later = |last: u64| now.as_nanos().max(last.saturating_add(1));
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        match last.fetch_update(set, fetch, |last| Some(later(last))) {
            Ok(last) | Err(last) => Moment::from_nanos(later(last)),
        }
    }

    /// Notes that a client stopped waiting and told the store so, which it began to do at `since`.
    /// Until then the lock may have been kept for it.
    pub fn left(&self, invocation: Invocation, since: Moment) {
        let now = self.now().as_nanos();
        let waited = self.lock().operations().get(invocation.at).copied();
        self.over(invocation);
        if let Some(waited) = waited {
            let mut history = self.lock();
            let _at: usize = history.push(Operation {
                invoked: since.as_nanos().min(now),
                returned: now,
                ttl_ns: 0,
                step: Step::Release,
                outcome: Outcome::Done,
                ..waited
            });
        }
    }

    /// What was recorded.
    #[must_use]
    pub fn history(&self) -> History {
        let mut history = self.lock().clone();
        let forced = self.forced.lock().unwrap_or_else(PoisonError::into_inner);
        if !forced.is_empty() {
            let granted: HashSet<(Key, u64)> = history
                .operations()
                .iter()
                .filter(|o| o.step == Step::Acquire && o.outcome == Outcome::Done)
                .map(|o| (o.key, o.token))
                .collect();
            for at in &*forced {
                if let Some(operation) = history.operation_mut(*at)
                    && !granted.contains(&(operation.key, operation.token))
                {
                    operation.token = 0;
                }
            }
        }
        history
    }

    /// Notes the token of a lease that was ended by force, or none if nobody saw its grant, which
    /// may come later.
    pub(crate) fn forced(&self, invocation: Invocation, token: u64) {
        let mut forced = self.forced.lock().unwrap_or_else(PoisonError::into_inner);
        forced.push(invocation.at);
        drop(forced);
        self.done_with(invocation, token);
    }

    /// The present moment, which may be the same as that of another stamp.
    pub(crate) fn clock_now(&self) -> Moment {
        self.clock.now()
    }

    /// Notes an operation with its stamps.
    pub(crate) fn note(&self, make: impl FnOnce(&mut History) -> Operation) -> Invocation {
        let mut history = self.lock();
        let operation = make(&mut history);
        let at = history.push(operation);
        Invocation { at }
    }

    /// Changes an operation that was noted.
    pub(crate) fn amend(&self, invocation: &Invocation, change: impl FnOnce(&mut Operation)) {
        if let Some(operation) = self.lock().operation_mut(invocation.at) {
            change(operation);
        }
    }

    /// Notes an answer; the operation stays in the hands of the caller.
    pub(crate) fn answer(
        &self,
        invocation: &Invocation,
        outcome: Outcome,
        note: impl FnOnce(&mut Operation, &mut History),
    ) {
        let returned = self.now().as_nanos();
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
