//! Many leases on a store that is slow: it is asked no faster than it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use lock_core::{
    Acquire, Acquisition, Alarms, Capabilities, Commit, Error, ForcedRelease, Hints, LockBackend,
    LockGuard, LockInfo, LockName, OwnerId, Peeked, Release, Renew, Renewal, Stored,
};

use super::*;

/// Renews one request after the other, and goes on though nobody waits for the answer any more.
#[derive(Debug)]
struct OneByOne {
    inner: Arc<MemoryBackend>,
    gate: Arc<tokio::sync::Mutex<()>>,
    each: Duration,
    asked: Arc<AtomicUsize>,
    asked_max: AtomicUsize,
}

#[async_trait]
impl LockBackend for OneByOne {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn acquire(&self, request: &Acquire) -> Result<Acquisition, Error> {
        self.inner.acquire(request).await
    }

    async fn renew(&self, requests: &[Renew]) -> Vec<Result<Renewal, Error>> {
        let asked = self.asked.fetch_add(requests.len(), Ordering::Relaxed) + requests.len();
        self.asked_max.fetch_max(asked, Ordering::Relaxed);
        let (inner, gate) = (Arc::clone(&self.inner), Arc::clone(&self.gate));
        let (requests, asked) = (requests.to_vec(), Arc::clone(&self.asked));
        let takes = self.each * u32::try_from(requests.len()).unwrap();
        let renewed = tokio::spawn(async move {
            let _turn = gate.lock().await;
            tokio::time::sleep(takes).await;
            asked.fetch_sub(requests.len(), Ordering::Relaxed);
            inner.renew(&requests).await
        });
        renewed.await.unwrap()
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
}

#[tokio::test(start_paused = true)]
async fn more_leases_than_a_store_renews_in_time_are_renewed_later_and_kept() {
    let store = Arc::new(OneByOne {
        inner: Arc::new(MemoryBackend::new()),
        gate: Arc::default(),
        // All of them take nearly twice the renew interval, and end just before the leases would.
        each: Duration::from_micros(450),
        asked: Arc::default(),
        asked_max: AtomicUsize::new(0),
    });
    let backend: Arc<dyn LockBackend> = Arc::clone(&store) as _;
    let locks = lock_core::LockClientBuilder::new(backend)
        .options(options())
        .build();
    let mut guards = Vec::new();
    for number in 0..4000 {
        let mutex = locks.mutex::<()>(format!("m{number}")).unwrap();
        guards.push(mutex.lock().await.unwrap());
    }
    tokio::time::sleep(TTL * 20).await;
    let kept = guards.iter().filter(|guard| guard.is_held()).count();
    assert_eq!(kept, guards.len());
    let asked = store.asked_max.load(Ordering::Relaxed);
    assert!(asked <= 1024, "{asked} leases were asked for at once");
    futures_util::future::join_all(guards.into_iter().map(LockGuard::release)).await;
}
