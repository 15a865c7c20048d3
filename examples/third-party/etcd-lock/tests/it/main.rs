//! The backend, and lock-core's client on it, against an etcd of their own.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::large_futures,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and waits on a real server with a bound"
)]

mod client;
mod faults;
mod keeping;
mod member;
mod server;
mod steps;

use std::future::Future;
use std::time::Duration;

use etcd_lock::EtcdBackend;
use lock_core::{
    Acquire, Acquisition, Commit, FencingToken, FormatTag, Grant, Label, LockBackend, LockName,
    OwnerId, Refusal, Renew, Renewal, State, Stored, SystemEntropy, Then, Ttl,
};

/// For how long to wait for what must happen: far longer than it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn name(text: &str) -> LockName {
    LockName::new(text).unwrap()
}

fn owner() -> OwnerId {
    OwnerId::draw(&SystemEntropy)
}

fn ttl(ms: u64) -> Ttl {
    Ttl::new(Duration::from_millis(ms)).unwrap()
}

/// Asks for a lease that no test outlives.
fn asks(lock: &str, owner: OwnerId) -> Acquire {
    let label = Label::new("test").unwrap();
    Acquire::new(name(lock), owner, ttl(600_000), label)
}

fn commits(lock: &str, owner: OwnerId, grant: &Grant, sequence: u32, text: &str) -> Commit {
    let (token, state) = (grant.token, state(text));
    Commit::new(name(lock), owner, token, sequence, state, Then::Keep)
}

fn state(text: &str) -> State {
    State::new(FormatTag::JSON, text.as_bytes().to_vec())
}

async fn granted(backend: &EtcdBackend, request: &Acquire) -> Grant {
    match backend.acquire(request).await.unwrap() {
        Acquisition::Granted(grant) => grant,
        other => panic!("expected a grant, got {other:?}"),
    }
}

async fn refused(backend: &EtcdBackend, request: &Acquire) -> Refusal {
    match backend.acquire(request).await.unwrap() {
        Acquisition::Refused(refusal) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

async fn renewed(
    backend: &EtcdBackend,
    lock: &str,
    owner: OwnerId,
    token: FencingToken,
) -> Renewal {
    let request = Renew::new(name(lock), owner, token, ttl(600_000));
    backend.renew(&[request]).await.remove(0).unwrap()
}

fn is_committed(stored: &Stored) -> bool {
    matches!(stored, Stored::Committed { .. })
}

/// Asks until it is granted.
async fn granted_in_time(backend: &EtcdBackend, request: &Acquire) -> Grant {
    until(|| async {
        match backend.acquire(request).await {
            Ok(Acquisition::Granted(grant)) => Some(grant),
            _ => None,
        }
    })
    .await
}

/// Looks again and again until there is something.
async fn until<T, F: Future<Output = Option<T>>>(mut look: impl FnMut() -> F) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    in_time(looking).await
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    waited.expect("it must happen in time")
}
