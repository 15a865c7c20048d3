//! Tasks that share a client, between which leases pass on.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{join, try_join_all};
use lock_core::DistributedMutex;

use super::{MINUTE, locks};
use crate::conformance::case::{Broken, HOLDS, Outcome, Ran, ensure, same};
use crate::conformance::stage::Stage;

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

/// Where the store keeps a line, tasks of one client that take turns without end keep nobody out.
pub(super) async fn bounded(stage: Stage) -> Ran {
    if !stage.capabilities().await?.line {
        let reason = "without a line at the store nobody is promised a turn";
        return Ok(Outcome::NotApplicable(reason.to_owned()));
    }
    let (busy, other) = (locks(&stage, MINUTE).await?, locks(&stage, MINUTE).await?);
    let name = stage.name("x")?;
    let stop = AtomicBool::new(false);
    let mut turns = Vec::new();
    for _ in 0..3 {
        let mutex = busy.mutex::<()>(name.as_str())?;
        let stop = &stop;
        turns.push(async move {
            while !stop.load(Ordering::Relaxed) {
                mutex.lock().await?.release().await?;
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
            ended = match stage
                .in_time("a turn of the other client", mutex.lock())
                .await
            {
                Ok(Ok(guard)) => guard.release().await.map_err(Broken::from),
                Ok(Err(error)) => Err(error.into()),
                Err(broken) => Err(broken),
            };
            if ended.is_err() {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        ended
    };
    let (waited, turned) = join(waits, try_join_all(turns)).await;
    waited?;
    let _turned: Vec<()> = turned?;
    HOLDS
}
