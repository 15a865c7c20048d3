//! What locks cost the server: calls, connections, memory.

use std::collections::BTreeMap;
use std::time::Duration;

use lock_core::{BoxError, LockClient, LockOptions};
use lock_redis::RedisBackend;
use lock_testkit::service::RedisServer;

use crate::Row;
use crate::stores::{hold, release_all};

pub(crate) async fn client(url: &str, ttl: Duration) -> Result<LockClient, BoxError> {
    let options = LockOptions::builder().ttl(ttl).build()?;
    Ok(LockClient::builder(RedisBackend::connect(url).await?)
        .options(options)
        .build())
}

/// Commands that only a client sends, never one of our scripts: what is left are the steps.
const TOP_LEVEL: [&str; 9] = [
    "EVALSHA",
    "EVAL",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "PING",
    "CLIENT|TRACKING",
    "SCRIPT|LOAD",
    "WAIT",
    "HELLO",
];

/// The calls since the last look.
struct Counter<'a> {
    server: &'a RedisServer,
    before: BTreeMap<String, u64>,
}

impl<'a> Counter<'a> {
    async fn start(server: &'a RedisServer) -> Result<Self, BoxError> {
        Ok(Self {
            server,
            before: server.command_calls().await?,
        })
    }

    async fn calls(&self) -> Result<BTreeMap<String, u64>, BoxError> {
        let now = self.server.command_calls().await?;
        let calls = now.into_iter().map(|(command, count)| {
            let before = self.before.get(&command).copied().unwrap_or(0);
            (command, count.saturating_sub(before))
        });
        Ok(calls.filter(|(_, count)| *count > 0).collect())
    }

    /// Scripts called, and other commands that only a client sends.
    async fn top_level(&self) -> Result<(u64, Vec<String>), BoxError> {
        let calls = self.calls().await?;
        let scripts = calls.get("EVALSHA").copied().unwrap_or(0);
        let others = calls
            .iter()
            .filter(|(command, _)| *command != "EVALSHA" && TOP_LEVEL.contains(&command.as_str()))
            .map(|(command, count)| format!("{count} {command}"))
            .collect();
        Ok((scripts, others))
    }
}

pub(crate) async fn uncontended(server: &RedisServer) -> Result<Row, BoxError> {
    let locks = client(server.url(), Duration::from_secs(30)).await?;
    let mutex = locks.mutex::<u64>("n")?;
    mutex
        .update(|n| {
            *n += 1;
            Ok(())
        })
        .await?;
    let counter = Counter::start(server).await?;
    for _ in 0..100 {
        let mut guard = mutex.lock().await?;
        *guard += 1;
        guard.commit().await?;
    }
    let (scripts, others) = counter.top_level().await?;
    Ok(Row::new(
        "uncontended lock + commit, 100 times",
        format!("{scripts} script calls, others: {}", none_or(&others)),
    ))
}

fn none_or(others: &[String]) -> String {
    if others.is_empty() {
        "none".to_owned()
    } else {
        others.join(", ")
    }
}

pub(crate) async fn renewals(server: &RedisServer) -> Result<Vec<Row>, BoxError> {
    let ttl = Duration::from_secs(3);
    let locks = client(server.url(), ttl).await?;
    let guard = locks.mutex::<()>("one")?.lock().await?;
    let counter = Counter::start(server).await?;
    tokio::time::sleep(ttl * 4 + ttl / 6).await;
    let (one, _) = counter.top_level().await?;
    guard.release().await?;
    let guards = hold(&locks, 1000).await?;
    let counter = Counter::start(server).await?;
    tokio::time::sleep(ttl * 4).await;
    let (thousand, _) = counter.top_level().await?;
    let held = guards.iter().filter(|guard| guard.is_held()).count();
    release_all(guards).await?;
    Ok(vec![
        Row::new(
            "1 lock held for 12.5 s with a ttl of 3 s",
            format!("{one} calls"),
        ),
        Row::new(
            "1000 locks held for 12 s with a ttl of 3 s",
            format!("{thousand} calls, {held} still held"),
        ),
    ])
}

pub(crate) async fn waiters(server: &RedisServer) -> Result<Row, BoxError> {
    let locks = client(server.url(), Duration::from_secs(30)).await?;
    let mutex = locks.mutex::<u64>("n")?;
    // The server learns the scripts with their first calls.
    mutex.update(|_| Ok(())).await?;
    mutex.lock().await?.release().await?;
    let guard = mutex.lock().await?;
    let counter = Counter::start(server).await?;
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let mutex = mutex.clone();
            tokio::spawn(async move {
                let mut guard = mutex.lock().await?;
                *guard += 1;
                guard.commit().await
            })
        })
        .collect();
    // Nobody asks the store while the lock is held here.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (waiting, _) = counter.top_level().await?;
    guard.release().await?;
    for task in tasks {
        task.await??;
    }
    let (scripts, others) = counter.top_level().await?;
    let value = mutex.peek().await?.value;
    Ok(Row::new(
        "100 waiters in one process on one name, one acquisition each",
        format!(
            "{:.2} calls an acquisition, {waiting} while they waited 1 s, others: {}, value {value}",
            (scripts - 1) as f64 / 100.0,
            none_or(&others)
        ),
    ))
}

pub(crate) async fn held(server: &RedisServer) -> Result<Vec<Row>, BoxError> {
    const COUNT: usize = 10_000;
    let ttl = Duration::from_secs(30);
    let locks = client(server.url(), ttl).await?;
    // Warm up what both sides keep from the first locks on.
    drop(hold(&locks, 256).await?);
    let connections = server.info("connected_clients").await?;
    let (client_before, server_before) = (resident(), number(&server.info("used_memory").await?));
    let guards = hold(&locks, COUNT).await?;
    let (client_after, server_after) = (resident(), number(&server.info("used_memory").await?));
    let counter = Counter::start(server).await?;
    let started = std::time::Instant::now();
    tokio::time::sleep(ttl * 2).await;
    let (scripts, _) = counter.top_level().await?;
    let commands: u64 = counter.calls().await?.values().sum();
    let seconds = started.elapsed().as_secs_f64();
    let still = guards.iter().filter(|guard| guard.is_held()).count();
    let rows = vec![
        Row::new(
            "10 000 locks held by one process for 60 s, ttl 30 s",
            format!(
                "{still} still held; {:.1} script calls a second ({:.0} commands with those inside \
                 the scripts)",
                scripts as f64 / seconds,
                commands as f64 / seconds
            ),
        ),
        Row::new(
            "connections of that process",
            format!(
                "{}",
                // The one that asks is counted too.
                number(&connections).saturating_sub(1)
            ),
        ),
        Row::new(
            "memory a held lock",
            format!(
                "{} bytes in the client (resident), {} bytes at the server",
                client_after.saturating_sub(client_before) / COUNT as u64,
                server_after.saturating_sub(server_before) / COUNT as u64
            ),
        ),
    ];
    release_all(guards).await?;
    Ok(rows)
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

/// The bytes of this process that are in memory.
fn resident() -> u64 {
    const PAGE: u64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).unwrap_or("0");
    number(pages) * PAGE
}
