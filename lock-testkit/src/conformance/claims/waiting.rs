//! What waiters are promised beyond one release: each hint, each place in line, each reservation.

use futures_util::{FutureExt, StreamExt};
use lock_core::{Acquire, ForcedRelease, Grant, Previous, Stored, Then};

use super::claimed;
use crate::conformance::case::{Broken, Case, HOLDS, Outcome, Ran, case, ensure, same};
use crate::conformance::hand::{Hand, text};
use crate::conformance::stage::Stage;

pub(super) const CASES: &[Case] = &[
    case!("claims/push-every-release-is-hinted-anew", push_anew),
    case!(
        "claims/push-names-are-hinted-whatever-bytes-they-hold",
        push_odd
    ),
    case!(
        "claims/push-the-end-of-one-watch-is-the-end-of-no-other",
        push_beside
    ),
    case!(
        "claims/line-grants-and-commits-tell-that-others-wait",
        line_told
    ),
    case!(
        "claims/line-a-reservation-that-nobody-claims-ends",
        line_lapses
    ),
    case!(
        "claims/line-one-of-two-waiters-of-a-client-leaves-alone",
        line_neighbour
    ),
    case!("claims/line-nobody-holds-what-is-reserved", line_unheld),
    case!(
        "claims/line-who-gives-up-a-reservation-frees-the-lock",
        line_given_up
    ),
    case!(
        "claims/line-who-released-is-answered-ended-while-it-is-reserved",
        line_ended
    ),
];

fn absent(claim: &str) -> Ran {
    Ok(Outcome::Absent(format!("`{claim}` is not declared")))
}

/// What a case of the line comes to, which a store without a line keeps as well.
fn holds_beside(is_declared: bool) -> Ran {
    if is_declared {
        return HOLDS;
    }
    Ok(Outcome::Passed(Some("`line` is not declared".to_owned())))
}

/// A lock that one holds and for which another stands in line.
async fn waited_for(
    holder: &Hand,
    waiter: &Hand,
    name: &str,
) -> Result<(Acquire, Grant, Acquire), Broken> {
    let (request, grant) = holder.next(name).await?;
    let waits = waiter.asks(name)?.standing_in_line();
    waiter.refused(&waits).await?;
    Ok((request, grant, waits))
}

async fn push_anew(stage: Stage) -> Ran {
    if !stage.capabilities().await?.push {
        return absent("push");
    }
    let (holder, waiter) = (stage.hand().await?, stage.hand().await?);
    let mut hints = waiter.backend.watch(&stage.name("x")?).await?;
    for round in 1..=3 {
        let (request, _, waits) = waited_for(&holder, &waiter, "x").await?;
        // Those of what was freed before; a store may hint without end.
        for _ in 0..100 {
            if hints.next().now_or_never().is_none() {
                break;
            }
        }
        holder.released(&request).await?;
        let what = format!("the hint of release {round}");
        let hint = stage.in_time(&what, hints.next());
        ensure(hint.await?.is_some(), || {
            format!("the hints ended before release {round}")
        })?;
        waiter.granted_in_time(&waits).await?;
        waiter.released(&waits).await?;
    }
    HOLDS
}

async fn push_odd(stage: Stage) -> Ran {
    if !stage.capabilities().await?.push {
        return absent("push");
    }
    let (holder, waiter) = (stage.hand().await?, stage.hand().await?);
    for name in ODD {
        let mut hints = waiter.backend.watch(&stage.name(name)?).await?;
        let (request, _, waits) = waited_for(&holder, &waiter, name).await?;
        holder.released(&request).await?;
        let what = format!("a hint for {name:?}");
        let hint = stage.in_time(&what, hints.next());
        ensure(hint.await?.is_some(), || {
            format!("the hints for {name:?} ended")
        })?;
        waiter.granted_in_time(&waits).await?;
        waiter.released(&waits).await?;
    }
    HOLDS
}

async fn push_beside(stage: Stage) -> Ran {
    if !stage.capabilities().await?.push {
        return absent("push");
    }
    let (holder, waiter) = (stage.hand().await?, stage.hand().await?);
    let watch = async |name: &str| Ok::<_, Broken>(waiter.backend.watch(&stage.name(name)?).await?);
    // Of the same name and of another.
    for ended in ["x", "y"] {
        let (gone, mut stays, late) = (watch(ended).await?, watch("x").await?, watch(ended).await?);
        drop((gone, late));
        let (request, _, waits) = waited_for(&holder, &waiter, "x").await?;
        holder.released(&request).await?;
        let hint = stage.in_time("a hint beside a watch that ended", stays.next());
        let hint = hint.await?;
        ensure(hint.is_some(), || {
            format!("it ended with that of {ended:?}")
        })?;
        waiter.granted_in_time(&waits).await?;
        waiter.released(&waits).await?;
    }
    HOLDS
}

async fn line_told(stage: Stage) -> Ran {
    let is_declared = stage.capabilities().await?.line;
    let (holder, first, second) = (
        stage.hand().await?,
        stage.hand().await?,
        stage.hand().await?,
    );
    let look = async {
        let (request, grant, waits) = waited_for(&holder, &first, "x").await?;
        second
            .refused(&second.asks("x")?.standing_in_line())
            .await?;
        let again = holder.granted(&request).await?;
        let commit = async || {
            let then = Then::Keep;
            let stored = holder.commit(&request, grant.token, 1, text("one"), then);
            Ok::<_, Broken>(stored.await? == Stored::Committed { others_wait: true })
        };
        let is_told = again.others_wait && commit().await? && commit().await?;
        holder.released(&request).await?;
        let next = first.granted_in_time(&waits).await?;
        Ok(is_told && next.others_wait)
    };
    claimed(&stage, "line", is_declared, look).await
}

async fn line_lapses(stage: Stage) -> Ran {
    let is_declared = stage.capabilities().await?.line;
    let (holder, waiter) = (stage.hand().await?, stage.hand().await?);
    let (request, _, _waits) = waited_for(&holder, &waiter, "x").await?;
    holder.released(&request).await?;
    // The waiter is there, and never asks again.
    let (next, grant) = holder.next("x").await?;
    let previous = grant.previous;
    same("how the lease before ended", &previous, &Previous::Released)?;
    holder.renewed(&next, &grant).await?;
    holder_is(&waiter, &next).await?;
    holds_beside(is_declared)
}

async fn holder_is(hand: &Hand, request: &Acquire) -> Result<(), Broken> {
    let holder = hand.backend.inspect(&request.name).await?.holder;
    let owner = holder.and_then(|holder| holder.owner);
    same("the holder", &owner, &Some(request.owner))
}

async fn line_neighbour(stage: Stage) -> Ran {
    let is_declared = stage.capabilities().await?.line;
    let (holder, waiter) = (stage.hand().await?, stage.hand().await?);
    let (request, grant, leaves) = waited_for(&holder, &waiter, "x").await?;
    let stays = waiter.asks("x")?.standing_in_line();
    waiter.refused(&stays).await?;
    // The contract speaks of owners of different clients: a store may keep one place for each.
    let before = holder.backend.inspect(&request.name).await?.waiting;
    waiter.not_held(&leaves).await?;
    if before == 2 {
        let after = holder.backend.inspect(&request.name).await?.waiting;
        same("how many wait after one of two left", &after, &1)?;
    }
    holder.renewed(&request, &grant).await?;
    holder.released(&request).await?;
    waiter.granted_in_time(&stays).await?;
    holds_beside(is_declared)
}

async fn line_unheld(stage: Stage) -> Ran {
    let is_declared = stage.capabilities().await?.line;
    let (holder, waiter) = (stage.hand().await?, stage.hand().await?);
    // A reservation lasts only so long: on a slow machine one of these looks in time.
    for round in 0..5 {
        let name = format!("x{round}");
        let (request, _, waits) = waited_for(&holder, &waiter, &name).await?;
        holder.released(&request).await?;
        let answer = holder.backend.force_release(&request.name).await?;
        same("a forced release", &answer, &ForcedRelease::NotHeld)?;
        let info = holder.backend.inspect(&request.name).await?;
        same("the holder", &info.holder, &None)?;
        same("how it ended", &info.previous, &Previous::Released)?;
        let grant = waiter.granted_in_time(&waits).await?;
        let previous = grant.previous;
        same("how the lease before ended", &previous, &Previous::Released)?;
    }
    holds_beside(is_declared)
}

async fn line_given_up(stage: Stage) -> Ran {
    let is_declared = stage.capabilities().await?.line;
    let (holder, waiter) = (stage.hand().await?, stage.hand().await?);
    for round in 0..5 {
        let name = format!("x{round}");
        let (request, _, waits) = waited_for(&holder, &waiter, &name).await?;
        holder.released(&request).await?;
        waiter.not_held(&waits).await?;
        let next = holder.asks(&name)?;
        let grant = holder.granted(&next).await?;
        let previous = grant.previous;
        same("how the lease before ended", &previous, &Previous::Released)?;
    }
    holds_beside(is_declared)
}

async fn line_ended(stage: Stage) -> Ran {
    let is_declared = stage.capabilities().await?.line;
    let (holder, waiter) = (stage.hand().await?, stage.hand().await?);
    for round in 0..6 {
        let name = format!("x{round}");
        let (request, _, waits) = waited_for(&holder, &waiter, &name).await?;
        if round % 2 == 0 {
            holder.released(&request).await?;
        } else {
            holder.forced(&request.name).await?;
        }
        // Nobody was granted since, so that the record still shows it.
        holder.ended(&request).await?;
        waiter.granted_in_time(&waits).await?;
    }
    holds_beside(is_declared)
}

/// Names that a channel or a pattern is likely to take for others.
const ODD: [&str; 16] = [
    "x",
    "x ",
    "x\0",
    "x\n",
    "x:lock",
    "{x}",
    "{x",
    "x}",
    "%25",
    "x*",
    "x?",
    "[x]",
    "\\x",
    "'x'",
    "e\u{301}",
    "\u{1F512}",
];
