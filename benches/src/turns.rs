//! Two processes take turns: how long from a release to the other's grant.

use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lock_core::BoxError;
use lock_testkit::service::RedisServer;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::cost::client;
use crate::samples::Samples;

const ROUNDS: usize = 1000;

/// Starts two processes that note, by the machine's clock, when they asked to release and when they
/// were granted, and pairs each release with the next grant, by its token.
pub(crate) async fn between_processes(server: &RedisServer) -> Result<Samples, BoxError> {
    let mut turns: Vec<(u64, u64, u64, usize)> = Vec::new();
    let mut children = Vec::new();
    for id in 0..2_usize {
        let mut child = tokio::process::Command::new(std::env::current_exe()?)
            .args(["take-turns", server.url(), &ROUNDS.to_string()])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().ok_or("no output")?;
        children.push(tokio::spawn(async move {
            let mut lines = BufReader::new(out).lines();
            let mut turns = Vec::new();
            while let Some(line) = lines.next_line().await? {
                let numbers: Vec<u64> =
                    line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
                if let [token, granted, released] = numbers[..] {
                    turns.push((token, granted, released, id));
                }
            }
            let status = child.wait().await?;
            if status.success() {
                Ok(turns)
            } else {
                Err(BoxError::from("a process failed"))
            }
        }));
    }
    for child in children {
        turns.extend(child.await??);
    }
    turns.sort_unstable();
    let mut samples = Vec::new();
    for pair in turns.windows(2) {
        let [(_, _, released, before), (_, granted, _, after)] = pair else {
            continue;
        };
        if before != after {
            samples.push(Duration::from_nanos(granted.saturating_sub(*released)));
        }
    }
    Ok(Samples::new(samples))
}

pub(crate) async fn child(url: &str, rounds: &str) -> Result<(), BoxError> {
    let locks = client(url, Duration::from_secs(30)).await?;
    let mutex = locks.mutex::<()>("turns")?;
    let mut lines = String::new();
    for _ in 0..rounds.parse::<usize>()? {
        let guard = mutex.lock().await?;
        let (token, granted) = (guard.token(), now());
        // Long enough for the other to stand in line.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let released = now();
        guard.release().await?;
        lines.push_str(&format!("{token} {granted} {released}\n"));
    }
    print!("{lines}");
    Ok(())
}

/// The machine's clock, which its processes share.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
