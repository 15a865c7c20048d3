//! [`Hand`]: one client of the backend, with what the cases say often.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{
    Acquire, Acquisition, Commit, FencingToken, ForcedRelease, FormatTag, Grant, Label,
    LockBackend, LockName, OwnerId, Peeked, Previous, Refusal, Release, Renew, Renewal, State,
    Stored, SystemEntropy, Then, Ttl,
};

use super::case::{Broken, ensure};
use super::stage::Stage;
use crate::subject::ServedStore;

/// One client of the backend.
#[derive(Clone)]
pub(super) struct Hand {
    pub(super) backend: Arc<dyn LockBackend>,
    stage: Stage,
    /// A store that lasts as long as the hand.
    store: Option<Arc<dyn ServedStore>>,
}

/// A lease that no case outlives.
pub(super) const LONG: Duration = Duration::from_secs(300);

/// A lease that is over soon.
pub(super) const SHORT: Duration = Duration::from_millis(100);

/// What the holder says of itself.
pub(super) const LABEL: &str = "lock-testkit";

pub(super) fn owner() -> OwnerId {
    OwnerId::draw(&SystemEntropy)
}

pub(super) fn text(text: &str) -> State {
    State::new(FormatTag::JSON, text.as_bytes().to_vec())
}

impl Hand {
    pub(super) const fn new(stage: Stage, backend: Arc<dyn LockBackend>) -> Self {
        Self {
            backend,
            stage,
            store: None,
        }
    }

    /// The same, which keeps its store alive.
    pub(super) fn keeping(mut self, store: &Arc<dyn ServedStore>) -> Self {
        self.store = Some(Arc::clone(store));
        self
    }

    /// A request for a lock of this case, by a new owner, for a long lease.
    pub(super) fn asks(&self, name: &str) -> Result<Acquire, Broken> {
        self.asks_for(name, LONG)
    }

    pub(super) fn asks_for(&self, name: &str, ttl: Duration) -> Result<Acquire, Broken> {
        Ok(Acquire::new(
            self.stage.name(name)?,
            owner(),
            Ttl::new(ttl)?,
            Label::new(LABEL)?,
        ))
    }

    pub(super) async fn granted(&self, request: &Acquire) -> Result<Grant, Broken> {
        let answer = self.backend.acquire(request).await?;
        let Acquisition::Granted(grant) = answer else {
            return Err(Broken::new(format!(
                "an acquire was to be granted, and was answered {answer:?}"
            )));
        };
        Ok(grant)
    }

    pub(super) async fn refused(&self, request: &Acquire) -> Result<Refusal, Broken> {
        let answer = self.backend.acquire(request).await?;
        let Acquisition::Refused(refusal) = answer else {
            return Err(Broken::new(format!(
                "an acquire was to be refused, and was answered {answer:?}"
            )));
        };
        Ok(refusal)
    }

    pub(super) async fn ended(&self, request: &Acquire) -> Result<(), Broken> {
        let answer = self.backend.acquire(request).await?;
        ensure(answer == Acquisition::Ended, || {
            format!("an acquire was to be answered Ended, and was answered {answer:?}")
        })
    }

    /// Asks until it is granted.
    pub(super) async fn granted_in_time(&self, request: &Acquire) -> Result<Grant, Broken> {
        let ask = || async {
            let answer = self.backend.acquire(request).await?;
            if let Acquisition::Granted(grant) = answer {
                return Ok(Some(grant));
            }
            Ok(None)
        };
        self.stage.until("a grant", ask).await
    }

    /// Asks for a lease under a new owner until it is granted.
    pub(super) async fn next(&self, name: &str) -> Result<(Acquire, Grant), Broken> {
        let request = self.asks(name)?;
        let grant = self.granted_in_time(&request).await?;
        Ok((request, grant))
    }

    pub(super) async fn renew(
        &self,
        request: &Acquire,
        token: FencingToken,
        ttl: Duration,
    ) -> Result<Renewal, Broken> {
        let renew = Renew::new(request.name.clone(), request.owner, token, Ttl::new(ttl)?);
        let mut answers = self.backend.renew(&[renew]).await;
        ensure(answers.len() == 1, || {
            format!("one renewal was answered {} times", answers.len())
        })?;
        answers
            .pop()
            .ok_or_else(|| Broken::new("a renewal was not answered"))?
            .map_err(Broken::from)
    }

    pub(super) async fn renewed(&self, request: &Acquire, grant: &Grant) -> Result<(), Broken> {
        let answer = self.renew(request, grant.token, LONG).await?;
        ensure(matches!(answer, Renewal::Renewed { .. }), || {
            format!("a renewal was to succeed, and was answered {answer:?}")
        })
    }

    pub(super) async fn commit(
        &self,
        request: &Acquire,
        token: FencingToken,
        sequence: u32,
        state: State,
        then: Then,
    ) -> Result<Stored, Broken> {
        let (name, owner) = (request.name.clone(), request.owner);
        let commit = Commit::new(name, owner, token, sequence, state, then);
        Ok(self.backend.commit(&commit).await?)
    }

    /// Commits and keeps the lease; fails if that is refused.
    pub(super) async fn committed(
        &self,
        request: &Acquire,
        grant: &Grant,
        sequence: u32,
        value: &str,
    ) -> Result<(), Broken> {
        let token = grant.token;
        let stored = self
            .commit(request, token, sequence, text(value), Then::Keep)
            .await?;
        ensure(matches!(stored, Stored::Committed { .. }), || {
            format!("a commit was to succeed, and was answered {stored:?}")
        })
    }

    /// Commits; fails if that is not refused.
    pub(super) async fn fenced(
        &self,
        request: &Acquire,
        token: FencingToken,
        sequence: u32,
        value: &str,
    ) -> Result<(), Broken> {
        let stored = self
            .commit(request, token, sequence, text(value), Then::Keep)
            .await?;
        ensure(matches!(stored, Stored::Lost { .. }), || {
            format!("a commit was to be refused, and was answered {stored:?}")
        })
    }

    pub(super) async fn release(&self, request: &Acquire) -> Result<Release, Broken> {
        Ok(self.backend.release(&request.name, request.owner).await?)
    }

    pub(super) async fn released(&self, request: &Acquire) -> Result<(), Broken> {
        let answer = self.release(request).await?;
        ensure(answer == Release::Released, || {
            format!("a release was to succeed, and was answered {answer:?}")
        })
    }

    pub(super) async fn not_held(&self, request: &Acquire) -> Result<(), Broken> {
        let answer = self.release(request).await?;
        ensure(answer == Release::NotHeld, || {
            format!("a release was to be answered NotHeld, and was answered {answer:?}")
        })
    }

    pub(super) async fn forced(&self, name: &LockName) -> Result<(), Broken> {
        let answer = self.backend.force_release(name).await?;
        ensure(matches!(answer, ForcedRelease::Released(_)), || {
            format!("a forced release was to succeed, and was answered {answer:?}")
        })
    }

    pub(super) async fn peek(&self, name: &LockName) -> Result<Option<Peeked>, Broken> {
        Ok(self.backend.peek(name).await?)
    }

    /// The value must be this text.
    pub(super) async fn reads(&self, name: &LockName, value: &str) -> Result<(), Broken> {
        let found = self.peek(name).await?;
        let is_it = found.as_ref().is_some_and(|p| p.state == text(value));
        ensure(is_it, || {
            let found = found.map(|p| String::from_utf8_lossy(p.state.bytes()).into_owned());
            format!("the value was to be {value:?}, and is {found:?}")
        })
    }

    /// A grant whose lease is over without a release.
    pub(super) async fn lapsed(&self, name: &str) -> Result<(Acquire, Grant), Broken> {
        let request = self.asks_for(name, SHORT)?;
        let grant = self.granted(&request).await?;
        let free = || async {
            let info = self.backend.inspect(&request.name).await?;
            Ok(info.holder.is_none().then_some(()))
        };
        self.stage.until("the end of a lease", free).await?;
        Ok((request, grant))
    }
}

/// How the lease before is said to have ended.
pub(super) fn previous_is(grant: &Grant, expected: Previous) -> Result<(), Broken> {
    super::case::same("how the lease before ended", &grant.previous, &expected)
}
