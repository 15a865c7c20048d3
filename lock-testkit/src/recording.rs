//! [`RecordingBackend`]: any backend, and a history of what its client asks and is answered.
//!
//! It knows what its client knows and no more, so what the client cannot know is recorded as
//! unknown, and a history of a lock that is right is never judged wrong.
//!
//! # What becomes an operation
//! - All attempts of an owner up to its grant are one [`Acquire`](Step::Acquire), from the first
//!   attempt on. Each refusal on the way is an operation of its own besides: it says that another had
//!   the lock at that moment.
//! - An attempt whose reply is missing may have taken the lock, or may do so yet, apart from the
//!   grant that came later. It stays as one more acquire of unknown outcome.
//! - Where the store keeps a line, a refused owner that stands in it may have the lock kept for it,
//!   and may miss its turn. That is an acquire of unknown outcome without a length.
//! - Attempts of a commit with one token and sequence are one operation. A release names the token
//!   of its owner's grant, or 0 if nobody saw one.
//! - A release or renewal of an owner that may have a second lease, because a reply is missing, may
//!   be about that one. It is recorded as something that may have happened.
//! - A call that is dropped stays unknown for ever.
//! - Each grant is of one token, so that a lease does not pass from one waiter of a process to the
//!   next: every use of the lock is asked of the store, and seen. Updates share commits as ever.
//!
//! Every client of the store must be recorded, and its names must be new: what was there before, or
//! is done behind the recorder's back, looks like a fault of the store.

mod ledger;
mod outcome;
mod task;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{
    Acquire, Acquisition, Alarms, Capabilities, Commit, Error, Finding, ForcedRelease, Hints,
    LockBackend, LockInfo, LockName, LockOptions, OwnerId, Peeked, Release, Renew, Renewal, Stored,
};

use crate::history::{History, Outcome, Recorder, Step};
use ledger::Ledger;

pub(crate) use ledger::{Broken, Ending};
pub(crate) use task::Tasks;

/// A backend around another one that records what is asked of it.
///
/// # Examples
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use lock_core::{LockClient, MemoryBackend, SystemClock};
/// use lock_testkit::checker::token;
/// use lock_testkit::history::Recorder;
/// use lock_testkit::recording::RecordingBackend;
/// use lock_testkit::spec::{Bound, Verdict};
///
/// let recorder = Arc::new(Recorder::new(Arc::new(SystemClock::new())));
/// let store = Arc::new(MemoryBackend::new());
/// let locks = LockClient::new(RecordingBackend::new(store, Arc::clone(&recorder), 0));
/// locks.mutex::<u64>("counter")?.update(|n| { *n += 1; Ok(()) }).await?;
///
/// let history = recorder.history();
/// assert_eq!(history.operations().len(), 2);
/// assert_eq!(token::check(&history, Bound::DEFAULT, 100_000), Verdict::Valid);
/// # Ok::<(), lock_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct RecordingBackend {
    inner: Arc<dyn LockBackend>,
    ledger: Arc<Ledger>,
}

impl RecordingBackend {
    /// Records what is asked of this backend, as done by the client of this number.
    #[must_use]
    pub fn new(backend: Arc<dyn LockBackend>, recorder: Arc<Recorder>, client: u32) -> Self {
        Self::among(backend, recorder, client, Arc::default())
    }

    /// The same, with task numbers that others use too.
    pub(crate) fn among(
        backend: Arc<dyn LockBackend>,
        recorder: Arc<Recorder>,
        client: u32,
        tasks: Arc<Tasks>,
    ) -> Self {
        let has_line = backend.capabilities().line;
        Self {
            inner: backend,
            ledger: Arc::new(Ledger::new(recorder, (client, tasks), has_line)),
        }
    }

    /// The options of the client, where they are not the default: for how long it believes in a
    /// lease, and for how long it waits for an answer.
    #[must_use]
    pub fn of_client_with(self, options: &LockOptions) -> Self {
        self.ledger
            .believe_by(Some(options.drift_allowance()), options.request_timeout());
        self
    }

    /// Adds to a copy of the history what the client believes of the leases that it has now; beliefs
    /// that ended are there already.
    pub fn add_beliefs(&self, history: &mut History) {
        self.ledger.add_beliefs(history);
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockBackend for RecordingBackend {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn as_any(&self) -> Option<&dyn Any> {
        self.inner.as_any()
    }

    async fn acquire(&self, request: &Acquire) -> Result<Acquisition, Error> {
        // One token a grant: of what passes inside a process the store knows nothing, and neither
        // would the history.
        let mut request = request.clone();
        request.reserve = 1;
        let attempt = self.ledger.attempt(&request);
        let answer = self.inner.acquire(&request).await;
        attempt.answered(&answer);
        answer
    }

    async fn renew(&self, requests: &[Renew]) -> Vec<Result<Renewal, Error>> {
        let renewals: Vec<_> = requests.iter().map(|r| self.ledger.renewal(r)).collect();
        let answers = self.inner.renew(requests).await;
        for (renewal, answer) in renewals.into_iter().zip(&answers) {
            renewal.answered(answer);
        }
        answers
    }

    async fn commit(&self, request: &Commit) -> Result<Stored, Error> {
        let writing = self.ledger.writing(request);
        let answer = self.inner.commit(request).await;
        writing.answered(&answer);
        answer
    }

    async fn release(&self, name: &LockName, owner: OwnerId) -> Result<Release, Error> {
        let giving_up = self.ledger.giving_up(name, owner);
        let answer = self.inner.release(name, owner).await;
        giving_up.answered(&answer);
        answer
    }

    async fn peek(&self, name: &LockName) -> Result<Option<Peeked>, Error> {
        let invocation = self.ledger.invoke(name, Step::Peek);
        let answer = self.inner.peek(name).await;
        let recorder = self.ledger.recorder();
        match &answer {
            Ok(peeked) => {
                let text = peeked
                    .as_ref()
                    .map(|peeked| outcome::text_of(&peeked.state));
                let token = peeked.as_ref().map_or(0, |peeked| peeked.token.get());
                recorder.read(invocation, token, text.as_deref());
            }
            Err(_) => recorder.complete(invocation, Outcome::NotApplied),
        }
        answer
    }

    async fn watch(&self, name: &LockName) -> Result<Hints, Error> {
        self.inner.watch(name).await
    }

    fn alarms(&self) -> Alarms {
        self.inner.alarms()
    }

    async fn inspect(&self, name: &LockName) -> Result<LockInfo, Error> {
        self.inner.inspect(name).await
    }

    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<LockInfo>, Error> {
        self.inner.list(prefix, limit).await
    }

    async fn force_release(&self, name: &LockName) -> Result<ForcedRelease, Error> {
        let invocation = self.ledger.invoke(name, Step::ForceRelease);
        let answer = self.inner.force_release(name).await;
        self.ledger.forced(invocation, &answer);
        answer
    }

    async fn examine(&self) -> Result<Vec<Finding>, Error> {
        self.inner.examine().await
    }
}

/// The length of time in nanoseconds.
fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}
