//! Many processes take turns on one name.

use std::process::Stdio;
use std::time::Duration;

use distributed_mutex::{LockClient, connect};
use lock_core::BoxError;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::Row;
use crate::samples::{Samples, ms};
use crate::turns::now;

const NAME: &str = "crowd";
const ROUNDS: usize = 20;
/// For so long the processor time of those who wait is taken.
const IDLE: Duration = Duration::from_secs(20);

struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// One turn, by the machine's clock.
struct Turn {
    token: u64,
    asked: u64,
    granted: u64,
    released: u64,
    process: usize,
}

/// So many processes wait while the lock is held, and then take turns until each had its own.
pub(super) async fn of(
    count: usize,
    store: &str,
    url: &str,
) -> Result<(Vec<Row>, Samples), BoxError> {
    let locks = connect(url).await?;
    let guard = locks.mutex::<()>(NAME)?.lock().await?;
    let mut processes = Vec::new();
    for _ in 0..count {
        processes.push(start(url)?);
    }
    until_waiting(&locks, count).await?;
    let before = processor_time(&processes)?;
    tokio::time::sleep(IDLE).await;
    let idle = processor_time(&processes)?.saturating_sub(before);
    let started = now();
    guard.release().await?;
    let turns = collect(processes).await?;
    let least = (0..count).map(|id| turns.iter().filter(|turn| turn.process == id).count());
    let least = least.min().unwrap_or_default();
    let longest = turns
        .iter()
        .map(|turn| turn.granted.saturating_sub(turn.asked.max(started)));
    let longest = Duration::from_nanos(longest.max().unwrap_or_default());
    let ended = turns.last().map_or(0, |turn| turn.released);
    let mut samples = Vec::new();
    for pair in turns.windows(2) {
        let [before, after] = pair else { continue };
        if before.token >= after.token || before.granted >= after.granted {
            return Err("a later grant has a smaller token".into());
        }
        let gap = after.granted.saturating_sub(before.released);
        samples.push(Duration::from_nanos(gap));
    }
    let samples = Samples::new(samples);
    let percent = idle.as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    let rows = vec![
        Row::new(
            format!("{store}: {count} processes wait for one name: their processor time together"),
            format!("{percent:.2} % of a core over {} s", IDLE.as_secs()),
        ),
        Row::new(
            format!("{store}: {count} processes take {ROUNDS} turns each on one name"),
            format!(
                "{} turns in {:.1} s, each process had {least}; the longest wait {}",
                turns.len(),
                Duration::from_nanos(ended.saturating_sub(started)).as_secs_f64(),
                ms(longest)
            ),
        ),
        Row::new(
            format!("{store}: release to the next grant among {count} processes"),
            samples.summary(),
        ),
    ];
    Ok((rows, samples))
}

fn start(url: &str) -> Result<Process, BoxError> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["crowd-taker", url])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let out = child.stdout.take().ok_or("no output")?;
    let lines = BufReader::new(out).lines();
    Ok(Process { child, lines })
}

/// Until the store has them all in its line.
async fn until_waiting(locks: &LockClient, count: usize) -> Result<(), BoxError> {
    let count = u64::try_from(count)?;
    for _ in 0..600 {
        if locks.inspect(NAME).await?.waiting >= count {
            // Whoever came last looks once more before it sleeps.
            tokio::time::sleep(Duration::from_secs(2)).await;
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("not all processes stand in line after a minute".into())
}

/// What all threads of the processes have used so far.
fn processor_time(processes: &[Process]) -> Result<Duration, BoxError> {
    let mut sum = 0_u64;
    for process in processes {
        let pid = process.child.id().ok_or("a process ended early")?;
        for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            sum += text.split(' ').next().unwrap_or("0").parse::<u64>()?;
        }
    }
    Ok(Duration::from_nanos(sum))
}

async fn collect(processes: Vec<Process>) -> Result<Vec<Turn>, BoxError> {
    let all = processes.into_iter().enumerate().map(async |(id, mut it)| {
        let mut turns = Vec::new();
        while let Some(line) = it.lines.next_line().await? {
            let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
            if let [token, asked, granted, released] = numbers[..] {
                turns.push(Turn {
                    token,
                    asked,
                    granted,
                    released,
                    process: id,
                });
            }
        }
        match it.child.wait().await?.success() {
            true => Ok(turns),
            false => Err(BoxError::from("a process failed")),
        }
    });
    let mut turns = Vec::new();
    for some in futures_util::future::try_join_all(all).await? {
        turns.extend(some);
    }
    turns.sort_unstable_by_key(|turn| turn.token);
    Ok(turns)
}

/// One of the processes.
pub(crate) async fn taker(url: &str) -> Result<(), BoxError> {
    let locks = connect(url).await?;
    let mutex = locks.mutex::<()>(NAME)?;
    let mut lines = String::new();
    for _ in 0..ROUNDS {
        let asked = now();
        let guard = mutex.lock().await?;
        let (token, granted) = (guard.token(), now());
        tokio::time::sleep(Duration::from_millis(1)).await;
        let released = now();
        guard.release().await?;
        lines.push_str(&format!("{token} {asked} {granted} {released}\n"));
    }
    print!("{lines}");
    Ok(locks.close(Duration::from_secs(10)).await?)
}
