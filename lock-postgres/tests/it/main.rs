//! The backend, and lock-core's client on it, against a PostgreSQL server of their own: see
//! `server.rs`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and waits on a real server with a bound"
)]

mod fence;
mod input;
mod line;
mod migrations;
mod pooler;
mod server;
mod settings;
mod steps;
mod takers;
mod unlogged;
mod waiting;

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use lock_core::{
    Acquire, Acquisition, Alarm, Alarms, Commit, Entropy, FencingToken, FormatTag, Grant, Hints,
    Label, LockBackend, LockName, OwnerId, Refusal, Renew, Renewal, State, Stored, SystemEntropy,
    Then, Ttl,
};
use lock_postgres::PostgresBackend;

/// For how long to wait for what must happen: far longer than it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

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

async fn granted(backend: &PostgresBackend, request: &Acquire) -> Grant {
    match backend.acquire(request).await.unwrap() {
        Acquisition::Granted(grant) => grant,
        refused => panic!("expected a grant, got {refused:?}"),
    }
}

async fn refused(backend: &PostgresBackend, request: &Acquire) -> Refusal {
    match backend.acquire(request).await.unwrap() {
        Acquisition::Refused(refusal) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

async fn renewed(
    backend: &PostgresBackend,
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
async fn granted_in_time(backend: &PostgresBackend, request: &Acquire) -> Grant {
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
    tokio::time::timeout(PATIENCE, looking)
        .await
        .expect("it must happen in time")
}

async fn hinted(hints: &mut Hints) {
    let hint = tokio::time::timeout(PATIENCE, hints.next()).await;
    assert_eq!(hint.expect("a hint must come in time"), Some(()));
}

/// Waits for this alarm; others may come before it.
async fn alarmed(alarms: &mut Alarms, expected: Alarm) {
    let looking = async { while alarms.next().await.expect("the stream goes on") != expected {} };
    tokio::time::timeout(PATIENCE, looking)
        .await
        .expect("the alarm must come in time");
}
