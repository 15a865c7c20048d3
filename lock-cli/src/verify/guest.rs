//! A client of the user's store that leaves nothing behind.

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use distributed_mutex::{
    Acquire, Acquisition, Alarms, Capabilities, Clock, Commit, Effect, Error, ErrorKind, Finding,
    ForcedRelease, Hints, Label, LockBackend, LockInfo, LockName, OwnerId, Peeked, Release, Renew,
    Renewal, Stored, SystemClock, SystemEntropy, Ttl,
};
use futures_util::{StreamExt, stream};

/// What all clients of one run share.
#[derive(Debug, Default)]
pub(super) struct Visit {
    names: Mutex<BTreeSet<LockName>>,
    is_over: AtomicBool,
}

impl Visit {
    /// From now on nothing is taken, and every name that was used is forgotten by the store.
    ///
    /// Not all of what stays can be reached, such as a lock that is kept for one who waited for it.
    /// It ends by itself, as it would if we were killed: see [`FORGET_AFTER`].
    pub(super) async fn end(&self, backend: &Arc<dyn LockBackend>) {
        self.is_over.store(true, Ordering::SeqCst);
        let names: Vec<LockName> = {
            let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.iter().cloned().collect()
        };
        let forgotten = stream::iter(names).for_each_concurrent(AT_ONCE, async |name| {
            let _at_last = forget(backend, &name).await;
        });
        let clock = SystemClock::new();
        tokio::select! {
            () = forgotten => {}
            () = clock.sleep_until(clock.now().after(END_MAX)) => {}
        }
    }
}

/// Takes the lock for as short as can be, and asks for its record to be forgotten with the lease.
async fn forget(backend: &Arc<dyn LockBackend>, name: &LockName) -> Result<(), Error> {
    let _freed = backend.force_release(name).await?;
    let owner = OwnerId::draw(&SystemEntropy);
    let mut request = Acquire::new(name.clone(), owner, Ttl::MIN, Label::of_this_process());
    request.forget_after = Some(Duration::ZERO);
    if let Acquisition::Granted(_) = backend.acquire(&request).await? {
        let _given_up = backend.release(name, owner).await?;
    }
    Ok(())
}

/// For so long after its last use the store keeps what could not be taken away: longer than any case
/// relies on it.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// So many names are forgotten at once.
const AT_ONCE: usize = 8;

/// A store that has gone must not keep us.
const END_MAX: Duration = Duration::from_secs(20);

/// One client of the run.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) inner: Arc<dyn LockBackend>,
    pub(super) visit: Arc<Visit>,
}

fn bounded(asked: Option<Duration>) -> Option<Duration> {
    Some(asked.map_or(FORGET_AFTER, |asked| asked.min(FORGET_AFTER)))
}

#[async_trait]
impl LockBackend for Guest {
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
        {
            let names = &self.visit.names;
            let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
            let _is_new = names.insert(request.name.clone());
        }
        if self.visit.is_over.load(Ordering::SeqCst) {
            let over = Error::new(ErrorKind::Unavailable, "the run is over");
            return Err(over.with_effect(Effect::NotApplied));
        }
        let mut request = request.clone();
        request.forget_after = bounded(request.forget_after);
        self.inner.acquire(&request).await
    }

    async fn renew(&self, requests: &[Renew]) -> Vec<Result<Renewal, Error>> {
        let mut requests = requests.to_vec();
        for request in &mut requests {
            request.forget_after = bounded(request.forget_after);
        }
        self.inner.renew(&requests).await
    }

    async fn commit(&self, request: &Commit) -> Result<Stored, Error> {
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

    async fn examine(&self) -> Result<Vec<Finding>, Error> {
        self.inner.examine().await
    }
}
