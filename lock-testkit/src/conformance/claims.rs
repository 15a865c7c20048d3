//! `claims/…`: what the backend declares, and what it does not.

mod waiting;

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use lock_core::{Acquire, Acquisition, Alarm, Durability, LockName, Previous, Release, Renewal};

use super::case::{Broken, Case, HOLDS, Outcome, Ran, case, ensure, same};
use super::hand::{Hand, LONG};
use super::stage::Stage;
use crate::subject::{Served, ServerFault};

pub(super) fn cases() -> Vec<Case> {
    [CASES, waiting::CASES].concat()
}

const CASES: &[Case] = &[
    case!("claims/capabilities-do-not-change", constant),
    case!(
        "claims/push-a-release-is-hinted-to-who-watches",
        push_release
    ),
    case!(
        "claims/push-a-commit-that-ends-the-lease-is-hinted",
        push_commit
    ),
    case!(
        "claims/push-a-forced-release-is-hinted-to-who-watches",
        push_force
    ),
    case!("claims/push-a-break-of-the-channel-is-hinted", push_break),
    case!(
        "claims/line-a-release-reserves-the-lock-for-the-first",
        line_first
    ),
    case!("claims/line-a-holder-is-told-that-others-wait", line_told),
    case!("claims/line-who-gives-up-leaves-it", line_left),
    case!(
        "claims/line-a-waiter-that-is-gone-holds-nobody-up",
        line_gone
    ),
    case!(
        "claims/force-alarm-a-forced-release-is-pushed-to-the-holder",
        force_alarm
    ),
    case!(
        "claims/loss-alarm-a-deleted-record-is-pushed-to-its-holder",
        loss_alarm
    ),
    case!("claims/alarms-end-with-the-backend", alarms_end),
    case!(
        "claims/durability-acknowledged-steps-survive-a-restart",
        restart
    ),
    case!(
        "claims/durability-acknowledged-steps-survive-a-failover",
        failover
    ),
    case!("claims/tokens-increase-over-a-restart", tokens_over_restart),
    case!(
        "claims/tokens-increase-over-a-failover",
        tokens_over_failover
    ),
];

/// Looks for what is, or is not, declared. It must be there if it is; if it is not, its absence is
/// shown as an expected failure.
async fn claimed(
    stage: &Stage,
    claim: &str,
    is_declared: bool,
    look: impl Future<Output = Result<bool, Broken>>,
) -> Ran {
    if is_declared {
        let is_there = stage.in_time("what was declared", look).await;
        let is_there = is_there.map_err(|broken| {
            Broken::new(format!("`{claim}` is declared, but {}", broken.message))
        })??;
        ensure(is_there, || format!("`{claim}` is declared, and is not so"))?;
        return HOLDS;
    }
    match stage.within(stage.shared.pulse.bound(ABSENT), look).await {
        Some(Ok(true)) => Ok(Outcome::Passed(Some(format!(
            "`{claim}` is not declared, and was there all the same"
        )))),
        _ => Ok(Outcome::Absent(format!(
            "`{claim}` is not declared, and is not there"
        ))),
    }
}

async fn constant(stage: Stage) -> Ran {
    let first = stage.capabilities().await?;
    for _ in 0..2 {
        let backend = stage.backend().await?;
        same("the capabilities", &backend.capabilities(), &first)?;
        ensure(!backend.kind().is_empty(), || {
            "the kind is empty".to_owned()
        })?;
    }
    HOLDS
}

/// How the holder's lease is ended.
#[derive(Clone, Copy)]
enum End {
    Commit,
    Force,
    Release,
}

async fn push_release(stage: Stage) -> Ran {
    push(stage, End::Release).await
}

async fn push_commit(stage: Stage) -> Ran {
    push(stage, End::Commit).await
}

async fn push_force(stage: Stage) -> Ran {
    push(stage, End::Force).await
}

async fn push(stage: Stage, end: End) -> Ran {
    let is_declared = stage.capabilities().await?.push;
    let (holder, waiter) = (stage.hand().await?, stage.hand().await?);
    let look = async {
        let request = holder.asks("x")?;
        let grant = holder.granted(&request).await?;
        let mut hints = waiter.backend.watch(&request.name).await?;
        waiter
            .refused(&waiter.asks("x")?.standing_in_line())
            .await?;
        match end {
            End::Commit => {
                let then = lock_core::Then::Release;
                let value = super::hand::text("1");
                let _stored = holder.commit(&request, grant.token, 1, value, then).await?;
            }
            End::Force => holder.forced(&request.name).await?,
            End::Release => holder.released(&request).await?,
        }
        Ok(hints.next().await.is_some())
    };
    claimed(&stage, "push", is_declared, look).await
}

async fn push_break(stage: Stage) -> Ran {
    let is_declared = stage.capabilities().await?.push;
    let (backend, line) = stage.behind_a_line().await?;
    let waiter = Hand::new(stage.clone(), backend);
    let holder = stage.hand().await?;
    holder.granted(&holder.asks("x")?).await?;
    let name = stage.name("x")?;
    if !is_declared {
        return Ok(Outcome::Absent("`push` is not declared".to_owned()));
    }
    let mut hints = waiter.backend.watch(&name).await?;
    waiter
        .refused(&waiter.asks("x")?.standing_in_line())
        .await?;
    if !line.reset() {
        return Ok(Outcome::NotApplicable(
            "the store has no network".to_owned(),
        ));
    }
    let look = async { Ok(hints.next().await.is_some()) };
    claimed(&stage, "push", is_declared, look).await
}

async fn line_first(stage: Stage) -> Ran {
    let is_declared = stage.capabilities().await?.line;
    let hands = [
        stage.hand().await?,
        stage.hand().await?,
        stage.hand().await?,
        stage.hand().await?,
    ];
    let look = async {
        // A reservation lasts only so long, and a slow machine may come too late to see one.
        for round in 0..20 {
            if is_reserved(&hands, &format!("x{round}")).await? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    claimed(&stage, "line", is_declared, look).await
}

/// Whether the lock was kept for the first of two who wait, and for nobody else.
async fn is_reserved(
    [holder, first, second, passer]: &[Hand; 4],
    name: &str,
) -> Result<bool, Broken> {
    let request = holder.asks(name)?;
    holder.granted(&request).await?;
    let (a, b) = (
        first.asks(name)?.standing_in_line(),
        second.asks(name)?.standing_in_line(),
    );
    first.refused(&a).await?;
    second.refused(&b).await?;
    holder.released(&request).await?;
    let is_refused = |answer| matches!(answer, Acquisition::Refused(_));
    Ok(
        is_refused(passer.backend.acquire(&passer.asks(name)?).await?)
            && is_refused(second.backend.acquire(&b).await?)
            && matches!(first.backend.acquire(&a).await?, Acquisition::Granted(_)),
    )
}

async fn line_told(stage: Stage) -> Ran {
    let is_declared = stage.capabilities().await?.line;
    let (holder, waiter) = (stage.hand().await?, stage.hand().await?);
    let look = async {
        let request = holder.asks("x")?;
        let grant = holder.granted(&request).await?;
        waiter.refused(&waiter.asks("x")?).await?;
        let waiting = holder.backend.inspect(&request.name).await?.waiting;
        same("how many wait who do not stand in line", &waiting, &0)?;
        waiter
            .refused(&waiter.asks("x")?.standing_in_line())
            .await?;
        let told = holder.renew(&request, grant.token, LONG).await?;
        let info = holder.backend.inspect(&request.name).await?;
        Ok(told == Renewal::Renewed { others_wait: true } && info.waiting == 1)
    };
    claimed(&stage, "line", is_declared, look).await
}

async fn line_left(stage: Stage) -> Ran {
    let is_declared = stage.capabilities().await?.line;
    let (holder, waiter) = (stage.hand().await?, stage.hand().await?);
    let request = holder.asks("x")?;
    let grant = holder.granted(&request).await?;
    let waits = waiter.asks("x")?.standing_in_line();
    waiter.refused(&waits).await?;
    // Asking again keeps the place and takes no second one.
    waiter.refused(&waits).await?;
    let waiting = holder.backend.inspect(&request.name).await?.waiting;
    same("how many wait", &waiting, &u64::from(is_declared))?;
    same(
        "a release by who waits",
        &waiter.release(&waits).await?,
        &Release::NotHeld,
    )?;
    let waiting = holder.backend.inspect(&request.name).await?.waiting;
    same("how many wait after one gave up", &waiting, &0)?;
    holder.renewed(&request, &grant).await?;
    holder.released(&request).await?;
    holder.granted(&holder.asks("x")?).await?;
    if is_declared {
        return HOLDS;
    }
    Ok(Outcome::Absent(
        "`line` is not declared, and nobody waits in one".to_owned(),
    ))
}

async fn line_gone(stage: Stage) -> Ran {
    let is_declared = stage.capabilities().await?.line;
    let (holder, next) = (stage.hand().await?, stage.hand().await?);
    let request = holder.asks("x")?;
    holder.granted(&request).await?;
    {
        let gone = stage.hand().await?;
        gone.refused(&gone.asks("x")?.standing_in_line()).await?;
        gone.refused(&gone.asks("x")?.standing_in_line()).await?;
    }
    holder.released(&request).await?;
    let waits = next.asks("x")?.standing_in_line();
    let grant = next.granted_in_time(&waits).await?;
    same(
        "how the lease before ended",
        &grant.previous,
        &Previous::Released,
    )?;
    if is_declared {
        return HOLDS;
    }
    Ok(Outcome::Passed(Some("`line` is not declared".to_owned())))
}

/// Waits until the holder is hinted that this lease may be gone.
async fn alarmed(alarms: &mut lock_core::Alarms, name: &LockName) -> bool {
    while let Some(alarm) = alarms.next().await {
        let is_another = matches!(&alarm, Alarm::Check(found) if found != name);
        if !is_another {
            return true;
        }
    }
    false
}

async fn force_alarm(stage: Stage) -> Ran {
    let is_declared = stage.capabilities().await?.force_alarm;
    let (holder, operator) = (stage.hand().await?, stage.hand().await?);
    let mut alarms = holder.backend.alarms();
    let look = async {
        for name in ["x", "odd {}%\n"] {
            let request = holder.asks(name)?;
            holder.granted(&request).await?;
            operator.forced(&request.name).await?;
            if !alarmed(&mut alarms, &request.name).await {
                return Ok(false);
            }
        }
        Ok(true)
    };
    claimed(&stage, "force_alarm", is_declared, look).await
}

async fn loss_alarm(stage: Stage) -> Ran {
    let is_declared = stage.capabilities().await?.loss_alarm;
    let served = stage.served().await?;
    let holder = stage.hand().await?;
    let mut alarms = holder.backend.alarms();
    for (name, is_renewed) in [("x", false), ("y", true)] {
        let request = holder.asks(name)?;
        let grant = holder.granted(&request).await?;
        if is_renewed {
            holder.renewed(&request, &grant).await?;
        }
        if !served.store().delete(&request.name).await? {
            return Ok(Outcome::NotApplicable(
                "the setup's store has no `delete`".to_owned(),
            ));
        }
        let look = async { Ok(alarmed(&mut alarms, &request.name).await) };
        let found = claimed(&stage, "loss_alarm", is_declared, look).await?;
        if found != Outcome::Passed(None) {
            return Ok(found);
        }
        let lost = holder.renew(&request, grant.token, LONG).await?;
        ensure(matches!(lost, Renewal::Lost { .. }), || {
            format!("the record of a lease is gone, and its renewal was answered {lost:?}")
        })?;
    }
    HOLDS
}

async fn alarms_end(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let declared = hand.backend.capabilities();
    if !declared.force_alarm && !declared.loss_alarm {
        // Its stream never yields, and nobody waits for its end.
        return Ok(Outcome::NotApplicable("no alarms are declared".to_owned()));
    }
    let mut alarms = hand.backend.alarms();
    hand.granted(&hand.asks("x")?).await?;
    drop(hand);
    let end = async { while alarms.next().await.is_some() {} };
    stage
        .in_time("the end of the alarms of a backend that is gone", end)
        .await?;
    HOLDS
}

/// A store of its own that has been through this; `None` if the setup cannot do it.
async fn survived(
    stage: &Stage,
    fault: &ServerFault,
    before: impl AsyncFnOnce(&Hand) -> Result<Vec<(Acquire, lock_core::Grant)>, Broken>,
) -> Result<Option<(Hand, Vec<(Acquire, lock_core::Grant)>)>, Broken> {
    let served = Served::start(&*stage.shared.setup).await?;
    let connect = || async {
        let backend = served.connect(served.store().address()).await?;
        Ok::<Hand, Broken>(Hand::new(stage.clone(), backend).keeping(served.store()))
    };
    let held = before(&connect().await?).await?;
    if !served.store().suffer(fault).await? {
        return Ok(None);
    }
    Ok(Some((connect().await?, held)))
}

fn cannot(fault: &ServerFault) -> Outcome {
    Outcome::NotApplicable(format!(
        "the setup's store cannot suffer this: {}",
        fault.text()
    ))
}

async fn restart(stage: Stage) -> Ran {
    let fault = ServerFault::Kill { down_ms: 50 };
    survives(stage, fault, Durability::Restart, "durability: restart").await
}

async fn failover(stage: Stage) -> Ran {
    let fault = ServerFault::FailOver;
    survives(stage, fault, Durability::Failover, "durability: failover").await
}

async fn survives(stage: Stage, fault: ServerFault, needed: Durability, claim: &str) -> Ran {
    let _turn = stage.shared.stores.acquire().await;
    let is_declared = stage.capabilities().await?.durability >= needed;
    let before = async |hand: &Hand| {
        let mut held = Vec::new();
        for at in 0..20 {
            let name = format!("x{at}");
            let request = hand.asks(&name)?;
            let grant = hand.granted(&request).await?;
            hand.committed(&request, &grant, 1, &name).await?;
            if at % 2 == 1 {
                hand.released(&request).await?;
            }
            held.push((request, grant));
        }
        Ok(held)
    };
    let Some((hand, held)) = survived(&stage, &fault, before).await? else {
        return Ok(cannot(&fault));
    };
    let look = async {
        for (at, (request, grant)) in held.iter().enumerate() {
            let name = format!("x{at}");
            hand.reads(&request.name, &name).await?;
            if at % 2 == 0 {
                hand.refused(&hand.asks(&name)?).await?;
                hand.renewed(request, grant).await?;
                hand.committed(request, grant, 1, &name).await?;
                hand.released(request).await?;
            } else {
                hand.ended(request).await?;
            }
            let (_, next) = hand.next(&name).await?;
            same(
                "how the lease before ended",
                &next.previous,
                &Previous::Released,
            )?;
        }
        Ok(true)
    };
    claimed(&stage, claim, is_declared, look).await
}

async fn tokens_over_restart(stage: Stage) -> Ran {
    tokens_over(stage, ServerFault::Kill { down_ms: 50 }).await
}

async fn tokens_over_failover(stage: Stage) -> Ran {
    tokens_over(stage, ServerFault::FailOver).await
}

async fn tokens_over(stage: Stage, fault: ServerFault) -> Ran {
    let _turn = stage.shared.stores.acquire().await;
    let before = async |hand: &Hand| {
        let mut held = Vec::new();
        for at in 0..20 {
            let request = hand.asks(&format!("x{}", at % 5))?;
            let grant = hand.granted(&request).await?;
            hand.released(&request).await?;
            held.push((request, grant));
        }
        Ok(held)
    };
    let Some((hand, held)) = survived(&stage, &fault, before).await? else {
        return Ok(cannot(&fault));
    };
    for (request, old) in held.iter().rev().take(5) {
        let mut next = request.clone();
        next.owner = super::hand::owner();
        let grant = hand.granted_in_time(&next).await?;
        ensure(grant.token > old.token, || {
            format!(
                "token {} was granted before it {}, and {} after",
                old.token,
                fault.text(),
                grant.token
            )
        })?;
    }
    HOLDS
}

/// For how long one waits for what is not declared.
const ABSENT: Duration = Duration::from_secs(1);
