//! `kill -9` under load: what was confirmed is kept, and tokens still increase.
//!
//! The value counts the commits of each writer by its number, so that an update that was lost, or
//! applied twice, shows beside what the writer was told.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use distributed_mutex::{DistributedMutex, connect};
use lock_core::{BoxError, Effect, Entropy, SystemEntropy};
use lock_testkit::service::{Data, PostgresServerOptions};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::migrated;
use crate::Row;
use crate::turns::now;

const KILLS: u32 = 20;
const WRITERS: u32 = 4;
const NAME: &str = "crash";

type Counts = BTreeMap<u32, u64>;

/// A grant: when it was asked for, when it was there, and its token.
#[derive(Clone, Copy)]
struct Grant {
    asked: u64,
    granted: u64,
    token: u64,
}

/// What a writer was told.
#[derive(Default)]
struct Told {
    writer: u32,
    grants: Vec<Grant>,
    confirmed: u64,
    unknown: u64,
}

/// Some moment between 50 and 450 ms.
async fn some_time() -> Result<(), BoxError> {
    let mut byte = [0];
    SystemEntropy.fill(&mut byte);
    let length = 50 + u64::from(byte[0]) * 400 / 255;
    tokio::time::sleep(Duration::from_millis(length)).await;
    Ok(())
}

/// The server is killed and restarted while clients write.
pub(super) async fn of_the_server() -> Result<Row, BoxError> {
    static STOP: AtomicBool = AtomicBool::new(false);
    let server = PostgresServerOptions::new().durable().start().await?;
    let url = format!("{}?ttl=2s&patience=30s", migrated(&server).await?);
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let mutex = connect(&url).await?.mutex::<Counts>(NAME)?;
        writers.push(tokio::spawn(write_until(&STOP, mutex, writer)));
    }
    let mut told = Vec::new();
    let looking = connect(&url).await?.mutex::<Counts>(NAME)?;
    let mut commits = 0;
    for _ in 0..KILLS {
        // They are in the middle of it again when the server goes.
        commits = until_more(&looking, commits).await?;
        some_time().await?;
        server.kill().await?;
        server.restart(Data::Keep).await?;
    }
    some_time().await?;
    STOP.store(true, Ordering::Relaxed);
    for writer in writers {
        told.push(writer.await??);
    }
    let value = connect(&url)
        .await?
        .mutex::<Counts>(NAME)?
        .peek()
        .await?
        .value;
    let found = judged(&told, &value)?;
    Ok(Row::new(
        format!(
            "PostgreSQL (fsync on) killed by SIGKILL under load of {WRITERS} clients, {KILLS} times"
        ),
        found,
    ))
}

/// Until there are more commits than so many; how many there are.
async fn until_more(mutex: &DistributedMutex<Counts>, than: u64) -> Result<u64, BoxError> {
    for _ in 0..3000 {
        // The first looks after a restart may find connections that broke.
        if let Ok(seen) = mutex.peek().await {
            let commits = seen.value.values().sum();
            if commits > than {
                return Ok(commits);
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err("nobody wrote within 30 s of a restart".into())
}

async fn write_until(
    stop: &AtomicBool,
    mutex: DistributedMutex<Counts>,
    writer: u32,
) -> Result<Told, BoxError> {
    let mut told = Told {
        writer,
        ..Told::default()
    };
    while !stop.load(Ordering::Relaxed) {
        let asked = now();
        let Ok(mut guard) = mutex.lock().await else {
            // Nothing was written. It is tried again.
            continue;
        };
        told.grants.push(Grant {
            asked,
            granted: now(),
            token: guard.token().get(),
        });
        *guard.entry(writer).or_default() += 1;
        match guard.commit().await {
            Ok(()) => told.confirmed += 1,
            Err(error) if error.effect() == Effect::Unknown => told.unknown += 1,
            Err(_) => {}
        }
    }
    Ok(told)
}

/// Writers are killed while others write to the same file.
pub(super) async fn of_writers(url: &str) -> Result<Row, BoxError> {
    let locks = connect(url).await?;
    let mut running = Vec::new();
    let mut told = Vec::new();
    let mut next = 0;
    for kill in 0..KILLS {
        while running.len() < usize::try_from(WRITERS)? {
            running.push(start(url, next)?);
            next += 1;
        }
        // They are in the middle of it when one goes.
        until_written(&locks.mutex(NAME)?, next - 1).await?;
        some_time().await?;
        let (mut child, lines): (Child, JoinHandle<_>) =
            running.remove(usize::try_from(kill % WRITERS)?.min(running.len() - 1));
        child.kill().await?;
        told.push((lines.await?)?);
    }
    for (mut child, lines) in running {
        child.kill().await?;
        told.push((lines.await?)?);
    }
    let guard = locks.mutex::<Counts>(NAME)?.lock().await?;
    told.push(Told {
        writer: u32::MAX,
        grants: vec![Grant {
            asked: u64::MAX,
            granted: u64::MAX,
            token: guard.token().get(),
        }],
        ..Told::default()
    });
    let value = guard.clone();
    guard.release().await?;
    let found = judged(&told, &value)?;
    Ok(Row::new(
        format!("SQLite: one of {WRITERS} writing processes killed by SIGKILL, {KILLS} times"),
        found,
    ))
}

async fn until_written(mutex: &DistributedMutex<Counts>, writer: u32) -> Result<(), BoxError> {
    for _ in 0..3000 {
        if mutex.peek().await?.value.contains_key(&writer) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Err("a writer did not write within 30 s".into())
}

fn start(url: &str, writer: u32) -> Result<(Child, JoinHandle<Result<Told, BoxError>>), BoxError> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["crash-writer", url, &writer.to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let out = child.stdout.take().ok_or("no output")?;
    let lines = tokio::spawn(async move {
        let mut lines = BufReader::new(out).lines();
        let mut told = Told {
            writer,
            // The commit under way when it is killed.
            unknown: 1,
            ..Told::default()
        };
        while let Some(line) = lines.next_line().await? {
            let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
            if let [asked, granted, token] = numbers[..] {
                told.confirmed += 1;
                told.grants.push(Grant {
                    asked,
                    granted,
                    token,
                });
            }
        }
        Ok(told)
    });
    Ok((child, lines))
}

/// One of the processes: a line for each commit that was confirmed.
pub(crate) async fn writer(url: &str, writer: &str) -> Result<(), BoxError> {
    let writer = writer.parse()?;
    let mutex = connect(url).await?.mutex::<Counts>(NAME)?;
    loop {
        let asked = now();
        let mut guard = mutex.lock().await?;
        let (granted, token) = (now(), guard.token());
        *guard.entry(writer).or_default() += 1;
        guard.commit().await?;
        println!("{asked} {granted} {token}");
    }
}

/// Holds what was told against what is stored, and tokens against the order of their grants.
fn judged(told: &[Told], value: &Counts) -> Result<String, BoxError> {
    let (mut confirmed, mut unknown, mut stored) = (0, 0, 0);
    let mut grants = Vec::new();
    for told in told {
        let writer = told.writer;
        let count = value.get(&writer).copied().unwrap_or_default();
        if !(told.confirmed..=told.confirmed + told.unknown).contains(&count) {
            return Err(format!(
                "writer {writer} was told of {} commits, {} are unknown, and {count} are stored",
                told.confirmed, told.unknown
            )
            .into());
        }
        confirmed += told.confirmed;
        unknown += told.unknown;
        stored += count;
        grants.extend(&told.grants);
    }
    let count = grants.len();
    if grants_out_of_order(grants) {
        return Err("a grant that was asked for later has no larger token".into());
    }
    Ok(format!(
        "{confirmed} commits confirmed, {unknown} without an answer, {stored} stored: none lost, \
         none twice; the tokens of {count} grants increase"
    ))
}

/// Whether a grant was asked for after another was there, and has no larger token.
fn grants_out_of_order(mut by_asked: Vec<Grant>) -> bool {
    let mut by_granted = by_asked.clone();
    by_asked.sort_unstable_by_key(|grant| grant.asked);
    by_granted.sort_unstable_by_key(|grant| grant.granted);
    let mut before = by_granted.iter().peekable();
    let mut largest = 0;
    by_asked.iter().any(|grant| {
        while let Some(earlier) = before.next_if(|earlier| earlier.granted < grant.asked) {
            largest = largest.max(earlier.token);
        }
        grant.token <= largest
    })
}
