//! A holder is told of its loss, and can do no harm after it.

use std::time::Duration;

use lock_core::{LockClientBuilder, LockOptions, LossCause, Previous};

use super::{MINUTE, counter, locks, lost_by, patient};
use crate::conformance::case::{Broken, HOLDS, Outcome, Ran, ensure, same};
use crate::conformance::stage::Stage;

pub(super) async fn abandoned(stage: Stage) -> Ran {
    let (backend, line) = stage.behind_a_line().await?;
    let gone = LockClientBuilder::new(backend)
        .options(patient(Duration::from_millis(800))?)
        .build();
    let guard = counter(&stage, &gone, "x")?.lock().await?;
    line.cut();
    let other = locks(&stage, MINUTE).await?;
    let next = counter(&stage, &other, "x")?;
    let next = stage
        .in_time("a grant after the holder has gone", next.lock())
        .await??;
    let is_it = matches!(
        next.previous(),
        Previous::Abandoned { token, .. } if token == guard.token()
    );
    ensure(is_it, || {
        format!("the lease before ended as {:?}", next.previous())
    })?;
    next.commit().await?;
    drop(guard);
    HOLDS
}

/// How the network takes a holder's loss from it, and whether the machine was too late to see it.
enum Told {
    InTime,
    TooLate(Duration),
}

pub(super) async fn told(stage: Stage) -> Ran {
    let mut late = Duration::ZERO;
    for ttl_ms in [1_200, 2_400, 4_800, 9_600] {
        let ttl = Duration::from_millis(ttl_ms);
        match told_once(&stage, ttl).await? {
            Told::InTime => {
                return Ok(Outcome::Passed(
                    (ttl_ms > 1_200).then(|| format!("with a ttl of {ttl:?}")),
                ));
            }
            Told::TooLate(by) => late = by,
        }
        // A look that came in time found the backend's doing, not ours.
        if late.saturating_add(stage.shared.pulse.worst()) < ttl / 4 {
            break;
        }
    }
    Err(Broken::new(format!(
        "the store let go before the holder was told; the look at the store came {late:?} after the \
         holder was told"
    )))
}

async fn told_once(stage: &Stage, ttl: Duration) -> Result<Told, Broken> {
    let (backend, line) = stage.behind_a_line().await?;
    // A third of the ttl is what a busy machine may take from the end of validity to the look at the
    // store.
    let options = LockOptions::builder()
        .ttl(ttl)
        .renew_interval(ttl / 4)
        .drift_allowance(ttl / 3)
        .request_timeout(Duration::from_secs(15));
    let cut_off = LockClientBuilder::new(backend)
        .options(options.build()?)
        .build();
    let observer = stage.backend().await?;
    let name = format!("x{}", ttl.as_millis());
    let guard = counter(stage, &cut_off, &name)?.lock().await?;
    line.cut();
    let cause = stage.in_time("the news of a loss", guard.lost()).await?;
    let told_at = stage.now();
    let holder = observer.inspect(&stage.name(&name)?).await?.holder;
    if holder.is_none() {
        return Ok(Told::TooLate(stage.now().since(told_at)));
    }
    same("the cause of the loss", &cause, &LossCause::Expired)?;
    lost_by(guard, cause).await?;
    Ok(Told::InTime)
}

pub(super) async fn forced(stage: Stage) -> Ran {
    let operator = locks(&stage, MINUTE).await?;
    // A busy server's answer to the renewal may come after the lease's own end, which is told then;
    // that it does so with each of these is the client's or the backend's doing.
    for ttl_s in [3, 9, 18] {
        let holder = locks(&stage, Duration::from_secs(ttl_s)).await?;
        let name = format!("x{ttl_s}");
        let guard = counter(&stage, &holder, &name)?.lock().await?;
        operator.force_release(stage.name(&name)?.as_str()).await?;
        let cause = stage
            .in_time("the news of a forced release", guard.lost())
            .await?;
        lost_by(guard, cause).await?;
        if cause == LossCause::Expired {
            continue;
        }
        same("the cause of the loss", &cause, &LossCause::Forced)?;
        let next = counter(&stage, &operator, &name)?.lock().await?;
        same(
            "how the lease before ended",
            &next.previous(),
            &Previous::Forced,
        )?;
        return Ok(Outcome::Passed(
            (ttl_s > 3).then(|| format!("with a ttl of {ttl_s} s")),
        ));
    }
    Err(Broken::new(
        "a forced release was never told: each lease was said to be lost by its own end".to_owned(),
    ))
}

pub(super) async fn fenced(stage: Stage) -> Ran {
    let holder = locks(&stage, MINUTE).await?;
    let other = locks(&stage, MINUTE).await?;
    let mut guard = counter(&stage, &holder, "x")?.lock().await?;
    *guard = 1;
    other.force_release(stage.name("x")?.as_str()).await?;
    let mut next = counter(&stage, &other, "x")?.lock().await?;
    *next = 2;
    // Whether it was told already or not, the store refuses it.
    match guard.commit().await {
        Err(error) if error.kind() == lock_core::ErrorKind::LeaseLost => {}
        other => {
            return Err(Broken::new(format!(
                "the commit of a holder that was forced out ended in {other:?}"
            )));
        }
    }
    next.commit().await?;
    let value = counter(&stage, &other, "x")?.peek().await?.value;
    same("the value", &value, &2)?;
    HOLDS
}

pub(super) async fn closed(stage: Stage) -> Ran {
    let closing = locks(&stage, MINUTE).await?;
    let other = locks(&stage, MINUTE).await?;
    let a = counter(&stage, &closing, "a")?.lock().await?;
    let b = counter(&stage, &closing, "b")?.lock().await?;
    closing.close(stage.patience()).await?;
    for name in ["a", "b"] {
        let free = counter(&stage, &other, name)?.try_lock().await?;
        ensure(free.is_some(), || {
            format!("{name} is held by a client that was closed")
        })?;
    }
    lost_by(a, LossCause::Closed).await?;
    lost_by(b, LossCause::Closed).await?;
    HOLDS
}
