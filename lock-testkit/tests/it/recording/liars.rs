//! Stores that are wrong in one way each: the recorded history of ordinary clients shows it.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use lock_core::{
    Acquire, Acquisition, Alarms, Capabilities, Commit, Error, FencingToken, ForcedRelease, Grant,
    Hints, LockBackend, LockInfo, LockName, OwnerId, Peeked, Release, Renew, Renewal, Stored,
};

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// Now and then a commit is acknowledged and not made.
    Committed,
    /// Now and then who should be refused is granted.
    Granted,
    /// Now and then a grant has the token of the one before.
    Token,
}

#[derive(Clone, Debug)]
struct Liar {
    inner: Arc<MemoryBackend>,
    lie: Lie,
    asked: Arc<AtomicU32>,
}

impl Liar {
    fn lies(&self, lie: Lie) -> bool {
        self.lie == lie && self.asked.fetch_add(1, Ordering::Relaxed) % 3 == 2
    }
}

#[async_trait]
impl LockBackend for Liar {
    fn kind(&self) -> &'static str {
        "liar"
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn acquire(&self, request: &Acquire) -> Result<Acquisition, Error> {
        let mut answer = self.inner.acquire(request).await?;
        if let Acquisition::Refused(_) = answer
            && self.lies(Lie::Granted)
        {
            let last = self.inner.inspect(&request.name).await?.last_token;
            let next = FencingToken::new(last.map_or(1, |last| last.get() + 1));
            answer = Acquisition::Granted(Grant::new(next, request.ttl));
        }
        if let Acquisition::Granted(grant) = &mut answer
            && self.lies(Lie::Token)
        {
            grant.token = FencingToken::new(grant.token.get() - 1);
        }
        Ok(answer)
    }

    async fn renew(&self, requests: &[Renew]) -> Vec<Result<Renewal, Error>> {
        self.inner.renew(requests).await
    }

    async fn commit(&self, request: &Commit) -> Result<Stored, Error> {
        if self.lies(Lie::Committed) {
            let _released = self.inner.release(&request.name, request.owner).await?;
            return Ok(Stored::Committed { others_wait: false });
        }
        self.inner.commit(request).await
    }

    async fn release(&self, name: &LockName, owner: OwnerId) -> Result<Release, Error> {
        self.inner.release(name, owner).await
    }

    async fn peek(&self, name: &LockName) -> Result<Option<Peeked>, Error> {
        self.inner.peek(name).await
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
        self.inner.force_release(name).await
    }
}

/// Three clients of a liar take turns, some of them impatiently.
async fn seen_of(lie: Lie) -> History {
    let mut stage = Stage::new();
    let asked = Arc::new(AtomicU32::new(0));
    let mut tasks = Vec::new();
    for number in 0..3 {
        let liar = Liar {
            inner: Arc::new(stage.store.another_client()),
            lie,
            asked: Arc::clone(&asked),
        };
        let (locks, faulty) = stage.client_of(liar, number);
        let script = vec![Act::Commit, Act::Hold(20), Act::Within(5), Act::Commit];
        faulty.next(StepKind::Acquire, Fault::LoseReply);
        tasks.push(tokio::spawn(play(locks, faulty, script)));
    }
    for task in tasks {
        task.await.unwrap();
    }
    stage.history()
}

fn found(lie: Lie) -> Property {
    broken(&in_virtual_time(seen_of(lie)))
}

#[test]
fn a_commit_that_was_acknowledged_and_not_made_is_found() {
    assert_eq!(found(Lie::Committed), Property::Fn4);
}

#[test]
fn a_grant_to_who_should_be_refused_is_found() {
    // The token that it is told is the next one's too.
    assert_eq!(found(Lie::Granted), Property::Tk2);
}

#[test]
fn a_token_that_does_not_grow_is_found() {
    assert_eq!(found(Lie::Token), Property::Tk2);
}
