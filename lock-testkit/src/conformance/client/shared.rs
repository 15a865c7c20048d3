//! Tasks that share a client, between which leases pass on.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use futures_util::future::{join, try_join_all};
use lock_core::{DistributedMutex, LockClient, LockClientBuilder};

use super::{MINUTE, locks, patient, with_patience};
use crate::conformance::case::{Broken, HOLDS, Outcome, Ran, ensure, same};
use crate::conformance::stage::Stage;
use crate::fault::{FaultyBackend, Link, Weather};

/// Each holder finds the value of the one before, and has a larger token, whether the store granted
/// it or another task of its client passed it on.
pub(super) async fn chain(stage: Stage) -> Ran {
    const CLIENTS: u64 = 2;
    const TASKS: u64 = 4;
    const ROUNDS: u64 = 4;
    let mut tasks = Vec::new();
    for _ in 0..CLIENTS {
        let locks = locks(&stage, MINUTE).await?;
        for _ in 0..TASKS {
            // How many held it before, and the token of the last.
            let mutex: DistributedMutex<(u64, u64)> = locks.mutex(stage.name("x")?.as_str())?;
            tasks.push(async move {
                for _ in 0..ROUNDS {
                    let mut guard = mutex.lock().await?;
                    let (turns, last) = *guard;
                    let token = guard.token().get();
                    ensure(token > last, || {
                        format!("a holder with token {token} follows one with token {last}")
                    })?;
                    *guard = (turns.saturating_add(1), token);
                    guard.commit().await?;
                }
                Ok::<(), Broken>(())
            });
        }
    }
    let limit = stage.patience().saturating_mul(4);
    let done = stage.within(limit, try_join_all(tasks)).await;
    let _done: Vec<()> = done.ok_or_else(|| {
        Broken::new(format!(
            "all turns did not end within {} s",
            limit.as_secs()
        ))
    })??;
    let reader = locks(&stage, MINUTE).await?;
    let mutex: DistributedMutex<(u64, u64)> = reader.mutex(stage.name("x")?.as_str())?;
    let turns = mutex.peek().await?.value.0;
    same(
        "the turns that were counted",
        &turns,
        &(CLIENTS * TASKS * ROUNDS),
    )?;
    HOLDS
}

/// Where the store keeps a line, tasks of one client that take turns without end keep nobody out:
/// who stands in line is overtaken by what is left of one lease.
pub(super) async fn bounded(stage: Stage) -> Ran {
    if !stage.capabilities().await?.line {
        let reason = "without a line at the store nobody is promised a turn";
        return Ok(Outcome::NotApplicable(reason.to_owned()));
    }
    let options = with_patience(MINUTE).handover(TIMES, MINUTE / 2).build()?;
    let busy = LockClientBuilder::new(stage.backend().await?).options(options);
    let busy = busy.build();
    let calm = Weather::new(0, 0, 15_000);
    let link = Link::new(Arc::clone(&stage.shared.clock), calm, 0);
    let asks = FaultyBackend::over(stage.backend().await?, link.clone());
    let other = LockClient::builder(asks).options(patient(MINUTE)?);
    let other = other.build();
    let name = stage.name("x")?;
    let (stop, turns) = (AtomicBool::new(false), AtomicU32::new(0));
    let mut busy_tasks = Vec::new();
    for _ in 0..3 {
        let mutex = busy.mutex::<()>(name.as_str())?;
        let (stop, turns) = (&stop, &turns);
        busy_tasks.push(async move {
            while !stop.load(Ordering::Relaxed) {
                let guard = mutex.lock().await?;
                turns.fetch_add(1, Ordering::Relaxed);
                // The others come to wait for it, and it passes on to them.
                tokio::task::yield_now().await;
                guard.release().await?;
                // Others of this thread have their turn too.
                tokio::task::yield_now().await;
            }
            Ok::<(), Broken>(())
        });
    }
    let waits = async {
        let mutex = other.mutex::<()>(name.as_str())?;
        let mut ended = Ok(());
        for _ in 0..3 {
            let wait = overtaken(&link, &turns, mutex.lock());
            ended = match stage.in_time("a turn of the other client", wait).await {
                Ok((Ok(guard), overtaken)) => {
                    let released = guard.release().await.map_err(Broken::from);
                    released.and_then(|()| {
                        ensure(overtaken <= MOST, || {
                            format!(
                                "a client that stood in line was overtaken {overtaken} times by \
                                 tasks of one client, whose leases pass on {TIMES} times"
                            )
                        })
                    })
                }
                Ok((Err(error), _)) => Err(error.into()),
                Err(broken) => Err(broken),
            };
            if ended.is_err() {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        ended
    };
    let (waited, turned) = join(waits, try_join_all(busy_tasks)).await;
    waited?;
    let _turned: Vec<()> = turned?;
    HOLDS
}

/// Waits for a lock, and counts the turns that others had since the client stood in line: since its
/// first attempt reached the store.
async fn overtaken<T>(link: &Link, turns: &AtomicU32, lock: impl Future<Output = T>) -> (T, u32) {
    let before = link.traffic().forwarded;
    let mut lock = Box::pin(lock);
    let mut since = None;
    let locked = poll_fn(|context| {
        if since.is_none() && link.traffic().forwarded > before {
            since = Some(turns.load(Ordering::Relaxed));
        }
        lock.as_mut().poll(context)
    })
    .await;
    let now = turns.load(Ordering::Relaxed);
    (locked, now.saturating_sub(since.unwrap_or(now)))
}

/// How often a lease passes on.
const TIMES: u32 = 3;

/// On a machine so slow that a reservation lapses unclaimed, others have another lease.
const MOST: u32 = 8 * (TIMES + 1);
