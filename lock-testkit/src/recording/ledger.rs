//! [`Ledger`]: what was asked under each owner, and which operation it belongs to.

mod acquiring;
mod belief;
mod ending;
mod writing;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_core::{Error, ForcedRelease, LockName, LockOptions, OwnerId};

use super::outcome;
use super::task::Tasks;
use crate::history::{History, Invocation, NEVER, Operation, Outcome, Recorder, Step, Value};
use acquiring::Wait;
use belief::OpenBelief;

pub(crate) use belief::Ending;
use writing::Written;

/// What one client asked so far, by owner.
#[derive(Debug)]
pub(crate) struct Ledger {
    recorder: Arc<Recorder>,
    client: u32,
    tasks: Arc<Tasks>,
    has_line: bool,
    inner: Mutex<Inner>,
    /// Acquires that did not wait.
    tries: Mutex<Vec<usize>>,
    endings: Mutex<HashMap<(String, u64), Ending>>,
}

#[derive(Debug)]
struct Inner {
    owners: HashMap<Id, Owner>,
    /// By how much sooner than the store the client takes a lease for over; `None` is the default.
    drift_allowance: Option<Duration>,
    request_timeout: Duration,
}

type Id = (LockName, OwnerId);

/// What is known of one owner.
#[derive(Debug, Default)]
struct Owner {
    /// Which task asked first.
    task: u16,
    /// The attempts that led to no grant yet.
    wait: Option<Wait>,
    /// The last grant that its client saw.
    token: Option<u64>,
    /// Whether an attempt may have taken the lock unseen, or may do so yet.
    may_have_more: bool,
    /// A place in line, through which the lock may be kept for it.
    place: Option<Invocation>,
    commits: HashMap<(u64, u32), Written>,
    belief: Option<OpenBelief>,
}

/// A commit that was begun, and whose caller went away before there was an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broken {
    pub(crate) operation: Operation,
    /// When the caller went away, in nanoseconds.
    pub(crate) at: u64,
}

impl Ledger {
    pub(super) fn new(
        recorder: Arc<Recorder>,
        (client, tasks): (u32, Arc<Tasks>),
        has_line: bool,
    ) -> Self {
        Self {
            recorder,
            client,
            tasks,
            has_line,
            inner: Mutex::new(Inner {
                owners: HashMap::new(),
                drift_allowance: None,
                request_timeout: LockOptions::default().request_timeout(),
            }),
            tries: Mutex::default(),
            endings: Mutex::default(),
        }
    }

    pub(super) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    pub(super) fn believe_by(&self, drift_allowance: Option<Duration>, request_timeout: Duration) {
        let mut inner = self.inner();
        (inner.drift_allowance, inner.request_timeout) = (drift_allowance, request_timeout);
    }

    /// Notes that a step without an owner is about to be sent.
    pub(super) fn invoke(&self, name: &LockName, step: Step) -> Invocation {
        let who = (self.client, self.tasks.present());
        self.recorder.invoke(who, name.as_str(), step, 0, 0, None)
    }

    /// Notes the answer to a forced release.
    pub(super) fn forced(&self, invocation: Invocation, answer: &Result<ForcedRelease, Error>) {
        let outcome = match answer {
            Ok(ForcedRelease::Released(info)) => {
                let token = info.token.map_or(0, lock_core::FencingToken::get);
                return self.recorder.forced(invocation, token);
            }
            // Nobody holds what is kept for somebody in line, and others are refused all the same.
            Ok(_) if self.has_line => Outcome::NotApplied,
            Ok(_) => Outcome::Refused,
            Err(error) => outcome::of_failure(error),
        };
        if outcome != Outcome::Unknown {
            self.recorder.complete(invocation, outcome);
        }
    }

    /// The commits whose caller went away: those of which the last attempt was dropped sooner than
    /// the client itself gives one up, and not made again.
    pub(crate) fn broken_commits(&self) -> Vec<Broken> {
        let history = self.recorder.history();
        let inner = self.inner();
        let limit = super::nanos(inner.request_timeout);
        let commits = inner
            .owners
            .values()
            .flat_map(|owner| owner.commits.values());
        let mut broken: Vec<Broken> = commits
            .filter_map(|written| written.broken(&history, limit))
            .collect();
        broken.sort_unstable_by_key(|broken| broken.at);
        broken
    }

    /// Where the acquires stand in the history that did not wait, as far as that can be told: where
    /// the store keeps a line, who does not stand in it does not wait.
    pub(crate) fn tries(&self) -> Vec<usize> {
        self.tries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to what is known of an owner.
    fn with<T>(&self, id: &Id, change: impl FnOnce(&mut Owner) -> T) -> T {
        let task = self.tasks.present();
        let mut inner = self.inner();
        let owner = inner.owners.entry(id.clone()).or_insert_with(|| Owner {
            task,
            ..Owner::default()
        });
        change(owner)
    }

    /// Notes that a step of an owner is about to be sent.
    fn begin(
        &self,
        owner: &Owner,
        name: &LockName,
        step: Step,
        token: u64,
        ttl_ns: u64,
        value: Option<&str>,
    ) -> Invocation {
        let who = (self.client, owner.task);
        self.recorder
            .invoke(who, name.as_str(), step, token, ttl_ns, value)
    }

    /// Notes an acquire that was sent at `sent` and whose outcome is settled by its stamps.
    fn note_acquire(
        &self,
        owner: &Owner,
        name: &LockName,
        (sent, returned): (u64, u64),
        ttl_ns: u64,
        outcome: Outcome,
    ) -> Invocation {
        let make = |history: &mut History| Operation {
            invoked: sent,
            returned,
            token: 0,
            ttl_ns,
            key: history.key(name.as_str()),
            client: self.client,
            task: owner.task,
            value: Value::UNSEEN,
            step: Step::Acquire,
            outcome,
        };
        self.recorder.note(make)
    }

    fn now(&self) -> u64 {
        self.recorder.now().as_nanos()
    }

    /// Notes what became of an operation. What is unknown may take effect as late as it likes.
    fn close(&self, invocation: &Invocation, outcome: Outcome) {
        match outcome {
            Outcome::Unknown => self.open(invocation),
            Outcome::Done | Outcome::NotApplied | Outcome::Refused => {
                self.recorder.answer(invocation, outcome, |_, _| ());
            }
        }
    }

    /// Notes that nothing is known of an operation (any more).
    fn open(&self, invocation: &Invocation) {
        self.recorder.amend(invocation, |operation| {
            (operation.returned, operation.outcome) = (NEVER, Outcome::Unknown);
        });
    }

    /// Notes that an operation of unknown outcome can have none from now on.
    fn over(&self, invocation: &Invocation) {
        self.recorder
            .answer(invocation, Outcome::Unknown, |_, _| ());
    }
}
