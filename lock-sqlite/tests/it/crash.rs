//! `kill -9` of a process that writes: the file is usable at once and nothing is lost.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use lock_core::{LockClient, LockOptions};
use lock_sqlite::SqliteBackend;

use crate::file::Locks;
use crate::other::{self, Other};
use crate::{in_time, until};

const KILLS: usize = 20;

fn short() -> LockOptions {
    LockOptions::builder()
        .ttl(std::time::Duration::from_millis(500))
        .build()
        .unwrap()
}

/// What a writer says once a commit is acknowledged: the value and its token.
fn acknowledged(text: &str) -> Vec<(u64, u64)> {
    // The last line may be torn by the kill.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| {
            let (value, token) = line.split_once(' ').unwrap();
            (value.parse().unwrap(), token.parse().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn a_writer_that_is_killed_twenty_times_loses_no_committed_update() {
    if let Some(file) = other::asked_for() {
        return write_on(file).await;
    }
    let locks = Locks::new();
    let (mut last_value, mut last_token) = (0, 0);
    for round in 0..KILLS {
        let log = locks.folder().join(format!("log-{round}"));
        // Two of them, so that the one that is killed is often in the middle of the other's wait.
        let mut writers = [0, 1].map(|_| {
            Other::start(
                "crash::a_writer_that_is_killed_twenty_times_loses_no_committed_update",
                &log,
            )
        });
        acknowledged_at_least(&log, 3 + round % 5).await;
        writers[round % 2].kill();
        writers[1 - round % 2].kill();
        let mut says = acknowledged(&fs::read_to_string(&log).unwrap());
        says.sort_unstable();
        let client = LockClient::new(locks.backend().await);
        let count = client.mutex::<u64>("count").unwrap();
        let guard = in_time(count.lock()).await.unwrap();
        let highest = says.last().unwrap().0;
        // Each of the two may have been killed between its commit and its word.
        assert!(
            (highest..=highest + 2).contains(&*guard),
            "{} is stored and {highest} was acknowledged",
            *guard
        );
        for (value, token) in says {
            assert!(value > last_value, "{value} after {last_value}");
            assert!(token > last_token, "{token} after {last_token}");
            (last_value, last_token) = (value, token);
        }
        last_value = *guard;
        assert!(guard.token().get() > last_token);
        last_token = guard.token().get();
        guard.release().await.unwrap();
        let sound: String = sqlx::query_scalar("PRAGMA integrity_check")
            .fetch_one(&mut locks.connection().await)
            .await
            .unwrap();
        assert_eq!(sound, "ok");
    }
}

async fn acknowledged_at_least(log: &std::path::Path, count: usize) {
    until(async || {
        let text = fs::read_to_string(log).unwrap_or_default();
        (acknowledged(&text).len() >= count).then_some(())
    })
    .await
}

/// The other part of the test above: it counts on, and says each value that was committed and its
/// token.
async fn write_on(log: PathBuf) {
    let path = log.parent().unwrap().join("locks.db");
    let client = LockClient::builder(SqliteBackend::open(path).await.unwrap())
        .options(short())
        .build();
    let count = client.mutex::<u64>("count").unwrap();
    let mut log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .unwrap();
    loop {
        let mut guard = in_time(count.lock()).await.unwrap();
        *guard += 1;
        let mut line = String::new();
        writeln!(line, "{} {}", *guard, guard.token()).unwrap();
        guard.commit().await.unwrap();
        // One write, so that the lines of two processes do not mix.
        log.write_all(line.as_bytes()).unwrap();
    }
}
