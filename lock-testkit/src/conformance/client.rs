//! `client/…`: lock-core's client over the backend.

mod cancel;
mod loss;
mod shared;

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use lock_core::{
    ErrorKind, LockClient, LockClientBuilder, LockOptions, LockOptionsBuilder, LossCause, Previous,
};

use super::case::{Broken, Case, HOLDS, Ran, case, ensure, same};
use super::stage::Stage;

pub(super) const CASES: &[Case] = &[
    case!("client/a-value-is-read-by-the-next-holder", value),
    case!("client/a-value-is-peeked-without-the-lock", peek),
    case!("client/a-guard-that-is-dropped-writes-nothing", discarded),
    case!("client/a-try-lock-of-a-held-name-is-none", try_lock),
    case!("client/a-waiter-gives-up-when-its-time-is-up", timeout),
    case!("client/three-clients-count-exactly", count),
    case!("client/a-waiter-is-granted-after-the-release", waiter),
    case!("client/a-lock-without-a-value-excludes", plain),
    case!("client/a-lease-is-kept-over-many-ttls", kept),
    case!("client/an-abandoned-holder-is-followed", loss::abandoned),
    case!("client/a-loss-is-told-before-the-store-lets-go", loss::told),
    case!(
        "client/a-forced-release-is-told-to-the-holder",
        loss::forced
    ),
    case!(
        "client/a-holder-cut-off-cannot-write-when-it-is-back",
        loss::fenced
    ),
    case!("client/closing-gives-up-what-is-held", loss::closed),
    case!(
        "client/a-lock-dropped-at-every-poll-leaves-nothing-held",
        cancel::lock
    ),
    case!(
        "client/a-wait-dropped-at-every-poll-leaves-nothing-held",
        cancel::wait
    ),
    case!(
        "client/an-update-dropped-at-every-poll-is-applied-or-not",
        cancel::update
    ),
    case!(
        "client/each-holder-finds-the-last-value-and-a-larger-token-though-leases-pass-on",
        shared::chain
    ),
    case!(
        "client/another-client-has-its-turn-though-local-waiters-never-end",
        shared::bounded
    ),
];

/// Options that a busy machine does not break: requests have time.
fn patient(ttl: Duration) -> Result<LockOptions, Broken> {
    Ok(with_patience(ttl).build()?)
}

fn with_patience(ttl: Duration) -> LockOptionsBuilder {
    LockOptions::builder()
        .ttl(ttl)
        .request_timeout(Duration::from_secs(15))
        .patience(Duration::from_secs(60))
}

async fn locks(stage: &Stage, ttl: Duration) -> Result<LockClient, Broken> {
    let builder = LockClientBuilder::new(stage.backend().await?);
    Ok(builder.options(patient(ttl)?).build())
}

fn counter(
    stage: &Stage,
    locks: &LockClient,
    name: &str,
) -> Result<lock_core::DistributedMutex<u64>, Broken> {
    Ok(locks.mutex(stage.name(name)?.as_str())?)
}

const MINUTE: Duration = Duration::from_secs(60);

async fn value(stage: Stage) -> Ran {
    let (a, b) = (locks(&stage, MINUTE).await?, locks(&stage, MINUTE).await?);
    let (a, b) = (counter(&stage, &a, "x")?, counter(&stage, &b, "x")?);
    let mut guard = a.lock().await?;
    same("a value that was never written", &*guard, &0)?;
    same(
        "how the lease before ended",
        &guard.previous(),
        &Previous::First,
    )?;
    let first = guard.token();
    *guard = 7;
    guard.commit().await?;
    let mut guard = b.lock().await?;
    same("the value of the next holder", &*guard, &7)?;
    same(
        "how the lease before ended",
        &guard.previous(),
        &Previous::Released,
    )?;
    ensure(guard.token() > first, || "tokens increase".to_owned())?;
    *guard = 8;
    guard.save().await?;
    *guard = 9;
    guard.release().await?;
    same("what was saved", &a.peek().await?.value, &8)?;
    HOLDS
}

async fn peek(stage: Stage) -> Ran {
    let locks = locks(&stage, MINUTE).await?;
    let mutex = counter(&stage, &locks, "x")?;
    let empty = mutex.peek().await?;
    same(
        "a value that was never written",
        &(empty.value, empty.token),
        &(0, None),
    )?;
    let mut guard = mutex.lock().await?;
    *guard = 1;
    same(
        "a value that is not written yet",
        &mutex.peek().await?.value,
        &0,
    )?;
    let token = guard.token();
    guard.commit().await?;
    let full = mutex.peek().await?;
    same("the value", &(full.value, full.token), &(1, Some(token)))?;
    HOLDS
}

async fn discarded(stage: Stage) -> Ran {
    let locks = locks(&stage, MINUTE).await?;
    let mutex = counter(&stage, &locks, "x")?;
    let mut guard = mutex.lock().await?;
    *guard = 1;
    drop(guard);
    let guard = stage
        .in_time("a lock after a guard was dropped", mutex.lock())
        .await??;
    same("a value that was not committed", &*guard, &0)?;
    HOLDS
}

async fn try_lock(stage: Stage) -> Ran {
    let (a, b) = (locks(&stage, MINUTE).await?, locks(&stage, MINUTE).await?);
    let (a, b) = (counter(&stage, &a, "x")?, counter(&stage, &b, "x")?);
    let guard = a.lock().await?;
    ensure(b.try_lock().await?.is_none(), || {
        "a lock that another client holds was granted".to_owned()
    })?;
    guard.release().await?;
    ensure(b.try_lock().await?.is_some(), || {
        "a lock that was released was refused".to_owned()
    })?;
    HOLDS
}

async fn timeout(stage: Stage) -> Ran {
    let (a, b) = (locks(&stage, MINUTE).await?, locks(&stage, MINUTE).await?);
    let (a, b) = (counter(&stage, &a, "x")?, counter(&stage, &b, "x")?);
    let guard = a.lock().await?;
    let began = stage.now();
    let limit = Duration::from_millis(200);
    let waited = stage
        .in_time("the end of a wait", b.lock_timeout(limit))
        .await?;
    match waited {
        Err(error) if error.kind() == ErrorKind::Timeout => {}
        other => {
            return Err(Broken::new(format!(
                "a wait for a held lock ended in {other:?}"
            )));
        }
    }
    ensure(stage.now().since(began) >= limit, || {
        format!(
            "a wait of {limit:?} ended after {:?}",
            stage.now().since(began)
        )
    })?;
    guard.release().await?;
    let granted = stage.in_time("a lock after a release", a.lock()).await?;
    drop(granted?);
    HOLDS
}

async fn count(stage: Stage) -> Ran {
    const TASKS: u64 = 2;
    const ROUNDS: u32 = 8;
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let locks = locks(&stage, MINUTE).await?;
        for _ in 0..TASKS {
            let mutex = counter(&stage, &locks, "x")?;
            tasks.push(async move {
                for _ in 0..ROUNDS {
                    let add = |n: &mut u64| {
                        *n = n.saturating_add(1);
                        Ok(())
                    };
                    mutex.update(add).await?;
                }
                Ok::<(), Broken>(())
            });
        }
    }
    let all = stream::iter(tasks)
        .buffer_unordered(6)
        .try_collect::<Vec<()>>();
    // One after the other they do several steps each, and a store that syncs to a busy disk has time
    // for each round.
    let limit = stage.patience().saturating_mul(ROUNDS);
    let done = stage.within(limit, all).await;
    let _done: Vec<()> = done.ok_or_else(|| {
        Broken::new(format!(
            "all updates did not end within {} s",
            limit.as_secs()
        ))
    })??;
    let reader = locks(&stage, MINUTE).await?;
    let sum = counter(&stage, &reader, "x")?.peek().await?.value;
    same(
        "the sum of all updates",
        &sum,
        &(3 * TASKS * u64::from(ROUNDS)),
    )?;
    HOLDS
}

async fn waiter(stage: Stage) -> Ran {
    let (a, b) = (locks(&stage, MINUTE).await?, locks(&stage, MINUTE).await?);
    let (a, b) = (counter(&stage, &a, "x")?, counter(&stage, &b, "x")?);
    let guard = a.lock().await?;
    let wait = tokio::spawn(async move { b.lock().await.map(|guard| guard.previous()) });
    stage.sleep(Duration::from_millis(50)).await;
    ensure(!wait.is_finished(), || "a held lock was granted".to_owned())?;
    guard.release().await?;
    let previous = stage.in_time("a grant after the release", wait).await?;
    let previous = previous.map_err(|e| Broken::new(e.to_string()))??;
    same("how the lease before ended", &previous, &Previous::Released)?;
    HOLDS
}

async fn plain(stage: Stage) -> Ran {
    let (a, b) = (locks(&stage, MINUTE).await?, locks(&stage, MINUTE).await?);
    let name = stage.name("x")?;
    let (a, b) = (a.mutex::<()>(name.as_str())?, b.mutex::<()>(name.as_str())?);
    let guard = a.lock().await?;
    ensure(b.try_lock().await?.is_none(), || {
        "a lock that another client holds was granted".to_owned()
    })?;
    guard.release().await?;
    let guard = stage.in_time("a lock after a release", b.lock()).await??;
    guard.release().await?;
    HOLDS
}

async fn kept(stage: Stage) -> Ran {
    // A ttl that a busy machine, or a busy server, does not outlive between two renewals.
    let ttl = stage.shared.pulse.bound(Duration::from_secs(5));
    let locks = locks(&stage, ttl).await?;
    let guard = counter(&stage, &locks, "x")?.lock().await?;
    let until = stage
        .now()
        .after(ttl.saturating_mul(2).saturating_add(ttl / 2));
    while stage.now() < until {
        stage.sleep(Duration::from_millis(20)).await;
        ensure(guard.is_held(), || {
            format!("a lease of {ttl:?} was not kept: {:?}", guard.health())
        })?;
    }
    guard.commit().await?;
    HOLDS
}

/// The cause of a loss, and that nothing can be written any more.
async fn lost_by(guard: lock_core::LockGuard<u64>, cause: LossCause) -> Result<(), Broken> {
    ensure(!guard.is_held(), || {
        "a lost lease is said to be held".to_owned()
    })?;
    match guard.commit().await {
        Err(error) if error.kind() == ErrorKind::LeaseLost => {
            same("the cause of the loss", &error.loss(), &Some(cause))
        }
        other => Err(Broken::new(format!(
            "the commit of a lost lease ended in {other:?}"
        ))),
    }
}
