//! The backend, and lock-core's client on it, on files of their own: see `file.rs`. Other processes
//! are this test binary again: see `other.rs`.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::future_not_send,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and waits on other processes with a bound"
)]

mod cancellation;
mod crash;
mod file;
mod input;
mod line;
mod locks;
mod other;
mod plans;
mod processes;
mod queue;
mod steps;

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use lock_core::{
    Acquire, Acquisition, Alarm, Alarms, Commit, Entropy, FencingToken, FormatTag, Grant, Hints,
    Label, LockBackend, LockName, OwnerId, Refusal, Renew, Renewal, State, Stored, SystemEntropy,
    Then, Ttl,
};
use lock_sqlite::SqliteBackend;

/// For how long to wait for what must happen: far longer than it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn name(text: &str) -> LockName {
    LockName::new(text).unwrap()
}

fn owner() -> OwnerId {
    OwnerId::draw(&SystemEntropy as &dyn Entropy)
}

fn ttl(ms: u64) -> Ttl {
    Ttl::new(Duration::from_millis(ms)).unwrap()
}

/// Asks for a lease that no test outlives.
fn asks(lock: &str, owner: OwnerId) -> Acquire {
    Acquire::new(name(lock), owner, ttl(60_000), Label::new("test").unwrap())
}

fn commits(lock: &str, owner: OwnerId, grant: &Grant, sequence: u32, text: &str) -> Commit {
    Commit::new(
        name(lock),
        owner,
        grant.token,
        sequence,
        state(text),
        Then::Keep,
    )
}

fn state(text: &str) -> State {
    State::new(FormatTag::JSON, text.as_bytes().to_vec())
}

async fn granted(backend: &SqliteBackend, request: &Acquire) -> Grant {
    match backend.acquire(request).await.unwrap() {
        Acquisition::Granted(grant) => grant,
        refused => panic!("expected a grant, got {refused:?}"),
    }
}

async fn refused(backend: &SqliteBackend, request: &Acquire) -> Refusal {
    match backend.acquire(request).await.unwrap() {
        Acquisition::Refused(refusal) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

async fn renewed(
    backend: &SqliteBackend,
    lock: &str,
    owner: OwnerId,
    token: FencingToken,
) -> Renewal {
    let request = Renew::new(name(lock), owner, token, ttl(60_000));
    backend.renew(&[request]).await.remove(0).unwrap()
}

fn is_committed(stored: &Stored) -> bool {
    matches!(stored, Stored::Committed { .. })
}

/// Asks until it is granted.
async fn granted_in_time(backend: &SqliteBackend, request: &Acquire) -> Grant {
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
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    in_time(looking).await
}

async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it must happen in time")
}

async fn hinted(hints: &mut Hints) {
    assert_eq!(in_time(hints.next()).await, Some(()));
}

/// Waits for this alarm; others may come before it.
async fn alarmed(alarms: &mut Alarms, expected: Alarm) {
    let looking = async { while alarms.next().await.expect("the stream goes on") != expected {} };
    in_time(looking).await;
}
