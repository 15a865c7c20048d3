//! Several processes on one file.

use std::path::PathBuf;
use std::time::Duration;

use lock_core::{LockClient, LockOptions, Previous};
use lock_sqlite::{SqliteBackend, SqliteOptions};
use rustix::process::Signal;

use crate::file::Locks;
use crate::other::{self, Other};
use crate::{PATIENCE, in_time, until};

const WORKERS: usize = 4;
const TURNS: u32 = 25;

#[tokio::test]
async fn four_processes_count_together_and_none_starves() {
    if let Some(file) = other::asked_for() {
        return count_along(file).await;
    }
    let locks = Locks::new();
    // None of them finds the file: they make it together.
    let mut workers: Vec<Other> = (0..WORKERS)
        .map(|number| {
            Other::start_number(
                "processes::four_processes_count_together_and_none_starves",
                &locks.path(),
                number,
            )
        })
        .collect();
    for worker in &mut workers {
        let status = worker.end().await;
        assert!(status.success(), "{status}");
    }
    let client = LockClient::new(locks.backend().await);
    let count = client.mutex::<Vec<u32>>("count").unwrap();
    assert_eq!(count.peek().await.unwrap().value, vec![TURNS; WORKERS]);
}

/// Each of them writes at once, to stand in line or to be granted.
#[tokio::test]
async fn thirty_two_processes_that_come_at_once_each_get_their_turn() {
    if let Some(file) = other::asked_for() {
        return take_one_turn(file).await;
    }
    let locks = Locks::new();
    let test = "processes::thirty_two_processes_that_come_at_once_each_get_their_turn";
    let mut workers: Vec<Other> = (0..32).map(|_| Other::start(test, &locks.path())).collect();
    for worker in &mut workers {
        let status = worker.end().await;
        assert!(status.success(), "{status}");
    }
    let client = LockClient::new(locks.backend().await);
    let count = client.mutex::<u32>("count").unwrap();
    assert_eq!(count.peek().await.unwrap().value, 32);
}

/// The other part of the test above.
async fn take_one_turn(path: PathBuf) {
    let options = SqliteOptions::at(path).unwrap();
    // A machine that is busy with other tests may be slow to start so many.
    let options = options.busy_timeout(PATIENCE);
    let patient = LockOptions::builder()
        .request_timeout(PATIENCE)
        .patience(PATIENCE)
        .build()
        .unwrap();
    let client = LockClient::builder(options.connect().await.unwrap())
        .options(patient)
        .build();
    let count = client.mutex::<u32>("count").unwrap();
    let mut guard = in_time(count.lock()).await.unwrap();
    *guard += 1;
    guard.commit().await.unwrap();
}

/// The other part of the first test.
async fn count_along(path: PathBuf) {
    let client = LockClient::new(SqliteBackend::open(path).await.unwrap());
    let count = client.mutex::<Vec<u32>>("count").unwrap();
    for _ in 0..TURNS {
        let mut guard = in_time(count.lock()).await.unwrap();
        guard.resize(WORKERS, 0);
        guard[other::number()] += 1;
        guard.commit().await.unwrap();
    }
}

fn short() -> LockOptions {
    LockOptions::builder()
        .ttl(Duration::from_secs(1))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_process_stopped_past_its_ttl_is_fenced_out() {
    if let Some(file) = other::asked_for() {
        return hold_and_commit(file).await;
    }
    let locks = Locks::new();
    let client = LockClient::new(locks.backend().await);
    let holder = Other::start(
        "processes::a_process_stopped_past_its_ttl_is_fenced_out",
        &locks.path(),
    );
    let says = |file: &str| std::fs::read_to_string(locks.folder().join(file)).ok();
    until(async || says("holding")).await;
    holder.signal(Signal::STOP);
    let mutex = client.mutex::<u32>("m").unwrap();
    let mut next = in_time(mutex.lock()).await.unwrap();
    assert!(matches!(next.previous(), Previous::Abandoned { .. }));
    assert_eq!(*next, 0);
    *next = 2;
    next.commit().await.unwrap();
    std::fs::write(locks.folder().join("go"), "").unwrap();
    holder.signal(Signal::CONT);
    let outcome = until(async || says("outcome").filter(|text| text.ends_with('.'))).await;
    assert_eq!(outcome, "lease lost, held: false.");
    assert_eq!(mutex.peek().await.unwrap().value, 2);
}

/// The other part of the test above: it holds the lock, changes the value, and commits when told;
/// then it says what came of it.
async fn hold_and_commit(path: PathBuf) {
    let folder = path.parent().unwrap().to_owned();
    let client = LockClient::builder(SqliteBackend::open(path).await.unwrap())
        .options(short())
        .build();
    let mut guard = client.mutex::<u32>("m").unwrap().lock().await.unwrap();
    *guard = 1;
    std::fs::write(folder.join("holding"), "").unwrap();
    until(async || folder.join("go").exists().then_some(())).await;
    // The look at the lease comes before the next await, on which the driver may run.
    let held = guard.is_held();
    let outcome = match guard.commit().await {
        Ok(()) => "committed.".to_owned(),
        Err(error) => format!("{}, held: {held}.", error.kind()),
    };
    std::fs::write(folder.join("outcome"), outcome).unwrap();
}
