//! [`Recorder`]: writes a history while clients run.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lock_core::{Clock, Moment};

use super::{Belief, History, Key, Mark, MarkKind, NEVER, Operation, Outcome, Step, Value};

/// Writes a history while clients run; all of them share it and its clock.
#[derive(Debug)]
pub struct Recorder {
    clock: Arc<dyn Clock>,
    written: Mutex<Written>,
    /// Forced releases that named a token of which it is not known yet whether anybody saw its grant.
    forced: Mutex<Vec<usize>>,
}

/// What was recorded so far.
#[derive(Debug, Default)]
struct Written {
    history: History,
    /// The last stamp. No two are alike, so what came first has the smaller one, however coarse the
    /// clock.
    last: u64,
}

impl Written {
    fn stamp(&mut self, clock: &dyn Clock) -> u64 {
        self.last = clock.now().as_nanos().max(self.last.saturating_add(1));
        self.last
    }
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
            written: Mutex::default(),
            forced: Mutex::default(),
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
        // Under the mutex, so that stamps are in the order of the operations.
        let mut written = self.lock();
        let invoked = written.stamp(&*self.clock);
        let history = &mut written.history;
        let key = history.key(key);
        let value = value.map_or(Value::UNSEEN, |text| history.value(text));
        let at = history.push(Operation {
            invoked,
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
        let history = &mut self.lock().history;
        let key = history.key(key);
        history.believe(note(key));
    }

    /// Notes something that was done to the run, from a moment until now.
    pub fn mark(&self, from: Moment, client: Option<u32>, text: impl Into<String>) {
        self.mark_as(MarkKind::Fault, from, client, text.into());
    }

    /// Notes that the store was restarted, crashed or failed over, from a moment until now.
    pub fn restarted(&self, from: Moment, text: impl Into<String>) {
        self.mark_as(MarkKind::Restart, from, None, text.into());
    }

    fn mark_as(&self, kind: MarkKind, from: Moment, client: Option<u32>, text: String) {
        let mut written = self.lock();
        let until = written.stamp(&*self.clock);
        written.history.mark(Mark {
            from: from.as_nanos(),
            until,
            client,
            kind,
            text,
        });
    }

    /// Notes that from now on nothing is at fault any more.
    pub fn heal(&self) {
        let mut written = self.lock();
        let now = written.stamp(&*self.clock);
        written.history.heal_at(now);
    }

    /// Notes that a request of this acquire may arrive once more, take the lock for nobody, and let
    /// go of it at any time.
    pub fn ghost(&self, acquire: &Invocation) {
        let history = &mut self.lock().history;
        let Some(acquire) = history.operations().get(acquire.at).copied() else {
            return;
        };
        let ghost = Operation {
            returned: NEVER,
            outcome: Outcome::Unknown,
            ..acquire
        };
        let _at: usize = history.push(ghost);
        let _at: usize = history.push(release_of(ghost));
    }

    /// Notes that nothing that was asked so far can take effect from now on; acquires only if they
    /// did not stand in a line, from which they may be granted later.
    pub fn settle(&self, acquires: bool) {
        let mut written = self.lock();
        let now = written.stamp(&*self.clock);
        let history = &mut written.history;
        history.settle(now, acquires);
        if acquires {
            return;
        }
        // A place in line may become a lease that ends at any time.
        let abandoned = |o: &&Operation| o.step == Step::Acquire && o.outcome == Outcome::Unknown;
        let abandoned = history.operations().iter().filter(abandoned);
        let releases: Vec<Operation> = abandoned.map(|o| release_of(*o)).collect();
        for release in releases {
            let _at: usize = history.push(release);
        }
    }

    /// The present moment: later than whatever was noted before it.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::from_nanos(self.lock().stamp(&*self.clock))
    }

    /// Notes that a client stopped waiting and told the store so, which it began to do at `since`.
    /// Until then the lock may have been kept for it.
    pub fn left(&self, invocation: Invocation, since: Moment) {
        let waited = self.lock().history.operations().get(invocation.at).copied();
        self.over(invocation);
        if let Some(waited) = waited {
            let mut written = self.lock();
            let returned = written.stamp(&*self.clock);
            let _at: usize = written.history.push(Operation {
                invoked: since.as_nanos().min(returned),
                returned,
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
        let mut history = self.lock().history.clone();
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
        let history = &mut self.lock().history;
        let operation = make(history);
        let at = history.push(operation);
        Invocation { at }
    }

    /// Changes an operation that was noted.
    pub(crate) fn amend(&self, invocation: &Invocation, change: impl FnOnce(&mut Operation)) {
        if let Some(operation) = self.lock().history.operation_mut(invocation.at) {
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
        let mut written = self.lock();
        let returned = written.stamp(&*self.clock);
        let history = &mut written.history;
        let Some(mut operation) = history.operations().get(invocation.at).copied() else {
            return;
        };
        (operation.returned, operation.outcome) = (returned, outcome);
        note(&mut operation, history);
        if let Some(there) = history.operation_mut(invocation.at) {
            *there = operation;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A release that may end the lease of an acquire whose grant nobody saw.
const fn release_of(acquire: Operation) -> Operation {
    Operation {
        returned: NEVER,
        ttl_ns: 0,
        value: Value::UNSEEN,
        step: Step::Release,
        outcome: Outcome::Unknown,
        ..acquire
    }
}
