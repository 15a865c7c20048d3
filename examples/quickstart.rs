//! The main job: four workers reserve stock for the orders in `orders.csv` until it is gone, and one
//! of them is killed in the middle of an order, while it holds the lock.
//!
//! ```sh
//! cargo run --release --example quickstart                      # four processes and a file
//! cargo run --release --example quickstart redis://127.0.0.1/   # four processes and a server
//! cargo run --release --example quickstart memory:              # four tasks, in memory
//! ```
//!
//! Expect a line for each worker, and that the sums agree: what is left and what each worker was
//! told that it sold make up the stock, every order is served once, and the killed worker's
//! half-done order is served by another.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it tells its story"
)]

use std::collections::BTreeMap;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use distributed_mutex::{
    BoxError, DistributedMutex, LockClient, LockOptions, LockOptionsBuilder, Previous,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

/// What all workers share: it lives in the store, beside the lock.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Stock {
    left: u32,
    next_order: usize,
    sold: BTreeMap<usize, u32>,
}

/// What a worker reports.
#[derive(Clone, Copy, Debug)]
enum Report {
    /// So many units were sold, and the commit is acknowledged.
    Sold(usize, u32),
    /// The lock is held and the order half done.
    InTheMiddle(usize),
    /// The lease of a holder before was abandoned.
    Recovered(usize),
}

const STOCK: u32 = 1000;
const WORKERS: usize = 4;
/// This worker is killed while it serves its fifth order.
const VICTIM: usize = 2;
const VICTIMS_ORDER: u32 = 5;
const ORDERS: &str = include_str!("orders.csv");

#[tokio::main]
async fn main() -> ExitCode {
    examples::show_events();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        [] => on_a_file().await,
        ["memory:"] => in_memory().await,
        ["worker", url, name, id] => worker_process(url, name, id).await,
        [url] => processes(url).await,
        _ => Err("usage: quickstart [URL]".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Serves orders until the stock or the orders are gone.
async fn work(
    id: usize,
    stock: DistributedMutex<Stock>,
    report: impl AsyncFn(Report),
) -> Result<(), BoxError> {
    let orders: Vec<u32> = orders()?;
    let mut served = 0_u32;
    loop {
        let mut guard = stock.lock().await?;
        if let Previous::Abandoned { .. } = guard.previous() {
            report(Report::Recovered(id)).await;
        }
        let units = orders
            .get(guard.next_order)
            .copied()
            .unwrap_or(0)
            .min(guard.left);
        if units == 0 {
            // A process that ends right after dropping a guard would leave its lease to the ttl.
            return Ok(guard.release().await?);
        }
        guard.left = guard.left.saturating_sub(units);
        guard.next_order = guard.next_order.saturating_add(1);
        let sold = guard.sold.entry(id).or_default();
        *sold = sold.saturating_add(units);
        served = served.saturating_add(1);
        if (id, served) == (VICTIM, VICTIMS_ORDER) {
            report(Report::InTheMiddle(id)).await;
            std::future::pending::<()>().await;
        }
        guard.commit().await?;
        report(Report::Sold(id, units)).await;
    }
}

async fn in_memory() -> Result<(), BoxError> {
    println!("{WORKERS} tasks share {STOCK} units in memory");
    let locks = examples::connect("memory:", options()).await?;
    let stock = mutex(&locks, "quickstart")?;
    let (sender, mut reports) = mpsc::channel(16);
    let mut tasks = Vec::new();
    for id in 1..=WORKERS {
        let (stock, sender) = (stock.clone(), sender.clone());
        tasks.push(tokio::spawn(work(id, stock, async move |report| {
            // The other end outlives the workers.
            let _sent = sender.send(report).await;
        })));
    }
    drop(sender);
    let mut told = BTreeMap::new();
    while let Some(report) = reports.recv().await {
        if let Report::InTheMiddle(id) = report {
            println!("worker {id} is killed while it holds the lock");
            if let Some(task) = tasks.get(id.saturating_sub(1)) {
                task.abort();
            }
        }
        take_down(report, &mut told);
    }
    for task in tasks {
        match task.await {
            Ok(result) => result?,
            Err(error) if error.is_cancelled() => {}
            Err(error) => return Err(error.into()),
        }
    }
    sums_agree(&stock, &told).await
}

/// A file of its own that goes with the story.
async fn on_a_file() -> Result<(), BoxError> {
    let folder = std::env::temp_dir().join(format!("quickstart-{}", std::process::id()));
    // Whoever made it before us may have a file in it.
    std::fs::create_dir(&folder)?;
    let file = folder.join("locks.db");
    let story = match file.to_str() {
        Some(path) => processes(&format!("sqlite:{path}")).await,
        None => Err("the folder for temporary files is not UTF-8".into()),
    };
    std::fs::remove_dir_all(&folder)?;
    story
}

async fn processes(url: &str) -> Result<(), BoxError> {
    let name = format!("quickstart/{}", std::process::id());
    let locks = examples::connect(url, options()).await?;
    println!("{WORKERS} processes share {STOCK} units in the lock '{name}'");
    let (sender, mut reports) = mpsc::channel(16);
    let mut children = Vec::new();
    for id in 1..=WORKERS {
        let mut child = tokio::process::Command::new(std::env::current_exe()?)
            .args(["worker", url, &name, &id.to_string()])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().ok_or("a worker has no output")?;
        let sender = sender.clone();
        drop(tokio::spawn(async move {
            let mut lines = BufReader::new(out).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(report) = read_report(&line) {
                    let _sent = sender.send(report).await;
                }
            }
        }));
        children.push(child);
    }
    drop(sender);
    let mut told = BTreeMap::new();
    while let Some(report) = reports.recv().await {
        if let Report::InTheMiddle(id) = report {
            println!("worker {id} is killed while it holds the lock");
            if let Some(child) = children.get_mut(id.saturating_sub(1)) {
                child.kill().await?;
            }
        }
        take_down(report, &mut told);
    }
    for (id, child) in (1..).zip(&mut children) {
        let status = child.wait().await?;
        if !status.success() && id != VICTIM {
            return Err(format!("worker {id} failed: {status}").into());
        }
    }
    sums_agree(&mutex(&locks, &name)?, &told).await
}

async fn worker_process(url: &str, name: &str, id: &str) -> Result<(), BoxError> {
    let locks = examples::connect(url, options()).await?;
    work(id.parse()?, mutex(&locks, name)?, async |report| {
        let line = match report {
            Report::Sold(id, units) => format!("sold {id} {units}\n"),
            Report::InTheMiddle(id) => format!("middle {id} 0\n"),
            Report::Recovered(id) => format!("recovered {id} 0\n"),
        };
        // If nobody listens any more there is nobody to tell.
        let _told = tokio::io::stdout().write_all(line.as_bytes()).await;
        let _told = tokio::io::stdout().flush().await;
    })
    .await
}

fn read_report(line: &str) -> Option<Report> {
    let mut words = line.split(' ');
    let (what, id, units) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
    match what {
        "sold" => Some(Report::Sold(id, units.parse().ok()?)),
        "middle" => Some(Report::InTheMiddle(id)),
        "recovered" => Some(Report::Recovered(id)),
        _ => None,
    }
}

fn take_down(report: Report, told: &mut BTreeMap<usize, u32>) {
    match report {
        Report::Sold(id, units) => {
            let sum = told.entry(id).or_default();
            *sum = sum.saturating_add(units);
        }
        Report::InTheMiddle(_) => {}
        Report::Recovered(id) => println!("worker {id} takes over an abandoned lease"),
    }
}

/// Compares what the workers were told with what the store has.
async fn sums_agree(
    stock: &DistributedMutex<Stock>,
    told: &BTreeMap<usize, u32>,
) -> Result<(), BoxError> {
    let stored = stock.peek().await?.value;
    println!("worker   told that it sold   stored");
    for id in 1..=WORKERS {
        let (told, stored) = (units(told, id), units(&stored.sold, id));
        println!("{id:>6}   {told:>17}   {stored:>6}");
    }
    let expected: u32 = orders()?
        .iter()
        .take(stored.next_order)
        .sum::<u32>()
        .min(STOCK);
    let sold: u32 = stored.sold.values().sum();
    println!(
        "{} orders of {expected} units served, {sold} sold, {} left of {STOCK}",
        stored.next_order, stored.left
    );
    if stored.sold != *told || sold.checked_add(stored.left) != Some(STOCK) || sold != expected {
        return Err("the sums do not agree".into());
    }
    println!("the sums agree");
    Ok(())
}

fn units(sold: &BTreeMap<usize, u32>, id: usize) -> u32 {
    sold.get(&id).copied().unwrap_or(0)
}

fn orders() -> Result<Vec<u32>, BoxError> {
    let lines = ORDERS.lines().skip(1);
    lines
        .map(|line| {
            Ok(line
                .split(',')
                .nth(1)
                .ok_or("a line without units")?
                .parse()?)
        })
        .collect()
}

fn mutex(locks: &LockClient, name: &str) -> Result<DistributedMutex<Stock>, BoxError> {
    Ok(locks
        .mutex_with(name, || Stock {
            left: STOCK,
            ..Stock::default()
        })
        .build()?)
}

/// A short ttl: it is how long the others wait for the worker that was killed.
fn options() -> LockOptionsBuilder {
    let (ttl, forget) = (Duration::from_secs(1), Duration::from_secs(60));
    LockOptions::builder().ttl(ttl).forget_after(forget)
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
