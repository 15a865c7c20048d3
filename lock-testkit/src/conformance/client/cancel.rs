//! Calls that are dropped anywhere leave nothing behind (C7).

use std::future::Future;
use std::time::Duration;

use lock_core::{DistributedMutex, Error, LockClient, LockClientBuilder};

use super::{MINUTE, counter, locks, patient};
use crate::conformance::case::{Broken, Outcome, Ran, ensure};
use crate::conformance::stage::{Line, Stage};

/// Short enough to be waited for, long enough not to end while it is looked at.
const TTL: Duration = Duration::from_secs(10);

async fn slow(stage: &Stage) -> Result<(LockClient, Line), Broken> {
    let (backend, line) = stage.behind_a_line().await?;
    line.slow(Duration::from_millis(1));
    let locks = LockClientBuilder::new(backend)
        .options(patient(TTL)?)
        .build();
    Ok((locks, line))
}

/// Begins the operation again and again on a name of its own, drops it one poll later each time, and
/// waits until the name is free and the client has nothing left, until it gets through.
async fn at_every_poll<F>(
    stage: &Stage,
    is_held: bool,
    operation: impl Fn(DistributedMutex<u64>) -> F,
) -> Ran
where
    F: Future<Output = Result<(), Error>>,
{
    let (client, _line) = slow(stage).await?;
    let other = locks(stage, MINUTE).await?;
    let mut step = 1;
    let mut polls = 0;
    while polls < POLLS_MAX {
        let name = format!("x{polls}");
        let held = match is_held {
            true => Some(counter(stage, &other, &name)?.lock().await?),
            false => None,
        };
        let future = operation(counter(stage, &client, &name)?);
        let done = stage.dropped_after(polls, future).await;
        let is_through = done.transpose()?.is_some();
        if let Some(guard) = held {
            guard.release().await?;
        }
        let settled = || async {
            let stats = client.stats();
            Ok((stats.leases == 0 && stats.outstanding == 0).then_some(()))
        };
        stage
            .until("a client that has nothing left", settled)
            .await?;
        let next = counter(stage, &other, &name)?;
        let free = || async { Ok(next.try_lock().await?) };
        let guard = stage.until("a free name after a drop", free).await?;
        let is_right = *guard <= 1 && (!is_through || *guard == 1 || is_held);
        ensure(is_right, || {
            format!("dropped after {polls} polls: the value is {}", *guard)
        })?;
        guard.release().await?;
        if is_through || (is_held && polls > WAITS) {
            return Ok(Outcome::Passed(Some(format!("{polls} polls"))));
        }
        // The first polls are where the calls begin; later ones only wait.
        if polls > 60 {
            step = 7;
        }
        polls = polls.saturating_add(step);
    }
    Err(Broken::new(format!(
        "it was not through after {POLLS_MAX} polls"
    )))
}

pub(super) async fn lock(stage: Stage) -> Ran {
    let operation = |mutex: DistributedMutex<u64>| async move {
        let mut guard = mutex.lock().await?;
        *guard = 1;
        guard.commit().await
    };
    at_every_poll(&stage, false, operation).await
}

pub(super) async fn wait(stage: Stage) -> Ran {
    let operation = |mutex: DistributedMutex<u64>| async move {
        drop(mutex.lock().await?);
        Ok(())
    };
    at_every_poll(&stage, true, operation).await
}

pub(super) async fn update(stage: Stage) -> Ran {
    let operation = |mutex: DistributedMutex<u64>| async move {
        let add = |n: &mut u64| {
            *n = n.saturating_add(1);
            Ok(())
        };
        mutex.update(add).await
    };
    at_every_poll(&stage, false, operation).await
}

const POLLS_MAX: u32 = 5_000;

/// A wait for a held lock is dropped after up to so many polls.
const WAITS: u32 = 25;
