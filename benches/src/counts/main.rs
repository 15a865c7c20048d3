//! Allocations of the hot paths: figures that a busy machine does not change, so that what was made
//! worse shows.
//!
//! `cargo xtask bench counts [--write]`; `--write` writes docs/benchmarks/counts.md.
#![expect(
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "it prints what it counted"
)]

use std::fmt::Write as _;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::AllocationInfo;
use distributed_mutex::Connector;
use futures_util::future::join_all;
use lock_core::{BoxError, LockClient, LockClientBuilder, LockGuard, LockOptions};
use lock_testkit::service::{PostgresServerOptions, RedisServer};
use tokio::runtime::Runtime;

/// So many times, and the figures are of one.
const TURNS: usize = 1000;

/// Tasks that want the same lock.
const TASKS: usize = 64;

type Made = Result<(), BoxError>;

/// What one path costs.
struct Row {
    path: &'static str,
    allocations: f64,
    bytes: f64,
}

fn main() -> ExitCode {
    let write = std::env::args().any(|word| word == "--write");
    match counts(write) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("counts: {error}");
            ExitCode::FAILURE
        }
    }
}

fn counts(write: bool) -> Made {
    // All of a client runs on the thread that counts.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let redis = runtime.block_on(RedisServer::start())?;
    let postgres = runtime.block_on(PostgresServerOptions::new().start())?;
    let folder = std::env::temp_dir().join(format!("lock-counts-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let file = format!("sqlite:{}", folder.join("locks.db").display());
    let mut page = String::from(HEAD);
    for (store, url) in [
        ("memory", "memory:"),
        ("SQLite", &*file),
        ("Redis", redis.url()),
        ("PostgreSQL", &format!("{}?migrate=true", postgres.url())),
    ] {
        writeln!(page, "\n## {store}\n")?;
        writeln!(page, "| what | allocations | bytes |\n|---|---|---|")?;
        for row in paths(&runtime, url)? {
            let (allocations, bytes) = (row.allocations, row.bytes);
            writeln!(page, "| {} | {allocations:.1} | {bytes:.0} |", row.path)?;
        }
    }
    std::fs::remove_dir_all(&folder)?;
    println!("{page}");
    if write {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/benchmarks/counts.md");
        std::fs::write(path, page)?;
    }
    Ok(())
}

/// Has the path gone once, so that what is made only once is there, and then counts.
fn count<F: Future<Output = Made>>(
    runtime: &Runtime,
    path: &'static str,
    turns: usize,
    run: impl Fn() -> F,
) -> Result<Row, BoxError> {
    runtime.block_on(run())?;
    let mut ended = Ok(());
    let info: AllocationInfo = allocation_counter::measure(|| ended = runtime.block_on(run()));
    ended?;
    Ok(Row {
        path,
        allocations: info.count_total as f64 / turns as f64,
        bytes: info.bytes_total as f64 / turns as f64,
    })
}

fn paths(runtime: &Runtime, url: &str) -> Result<Vec<Row>, BoxError> {
    let options = LockOptions::builder()
        .ttl(Duration::from_secs(600))
        .build()?;
    let locks = runtime.block_on(Connector::new().builder(url))?;
    let locks = locks.options(options.clone()).build();
    let plain = locks.mutex::<()>("plain")?;
    let counter = locks.mutex::<u64>("counter")?;
    let hot = Arc::new(locks.mutex::<()>("hot")?);
    let sum = Arc::new(locks.mutex::<u64>("sum")?);
    let mut rows = vec![
        count(runtime, "lock and release, no value", TURNS, || async {
            for _ in 0..TURNS {
                plain.lock().await?.release().await?;
            }
            Ok(())
        })?,
        count(runtime, "lock, change the value, commit", TURNS, || async {
            for _ in 0..TURNS {
                let mut guard = counter.lock().await?;
                *guard += 1;
                guard.commit().await?;
            }
            Ok(())
        })?,
        count(
            runtime,
            "the same by 64 tasks on one name, no value",
            TURNS * TASKS,
            || {
                let hot = Arc::clone(&hot);
                in_tasks(move || {
                    let hot = Arc::clone(&hot);
                    async move { Ok(hot.lock().await?.release().await?) }
                })
            },
        )?,
        count(runtime, "`update` by 64 tasks", TURNS * TASKS, || {
            let sum = Arc::clone(&sum);
            in_tasks(move || {
                let sum = Arc::clone(&sum);
                async move {
                    let add = |sum: &mut u64| {
                        *sum += 1;
                        Ok(())
                    };
                    Ok(sum.update(add).await?)
                }
            })
        })?,
    ];
    let guard = runtime.block_on(locks.mutex::<()>("taken")?.lock())?;
    let other = LockClientBuilder::new(Arc::clone(guard.backend()));
    let other = other.options(options).build().mutex::<()>("taken")?;
    rows.push(count(
        runtime,
        "`try_lock` of another client's lock",
        TURNS,
        || async {
            for _ in 0..TURNS {
                if other.try_lock().await?.is_some() {
                    return Err("it was free".into());
                }
            }
            Ok(())
        },
    )?);
    runtime.block_on(guard.release())?;
    rows.push(held(runtime, &locks)?);
    runtime.block_on(locks.close(Duration::from_secs(10)))?;
    Ok(rows)
}

/// Each task goes so many times.
async fn in_tasks<F, T>(turn: F) -> Made
where
    F: Fn() -> T + Clone + Send + Sync + 'static,
    T: Future<Output = Made> + Send,
{
    let tasks = (0..TASKS).map(|_| {
        let turn = turn.clone();
        tokio::spawn(async move {
            for _ in 0..TURNS {
                turn().await?;
            }
            Ok(())
        })
    });
    for ended in join_all(tasks).await {
        ended.map_err(BoxError::from).and_then(|made: Made| made)?;
    }
    Ok(())
}

/// What a lease keeps while it is held.
fn held(runtime: &Runtime, locks: &LockClient) -> Result<Row, BoxError> {
    let mut guards: Vec<LockGuard<()>> = Vec::with_capacity(TURNS);
    let mut ended = Ok(());
    let info = allocation_counter::measure(|| {
        ended = runtime.block_on(async {
            for number in 0..TURNS {
                guards.push(locks.mutex(format!("held/{number}"))?.lock().await?);
            }
            Ok::<(), BoxError>(())
        });
    });
    ended?;
    runtime.block_on(async {
        for guard in guards {
            guard.release().await?;
        }
        Ok::<(), BoxError>(())
    })?;
    Ok(Row {
        path: "kept by a lease that is held, with its mutex",
        allocations: info.count_current as f64 / TURNS as f64,
        bytes: info.bytes_current as f64 / TURNS as f64,
    })
}

const HEAD: &str = "# Allocations

Counted by `cargo xtask bench counts --write` on one thread that runs the whole client with its driver; the mean of 1000 turns (64 000 of the tasks). They do not depend on how busy or how fast the machine is.
On memory the store itself is among them; SQLite's and the servers' own are not.
No task and no timer belongs to a lock: a client has one task that renews and one that gives back what was dropped.
";
