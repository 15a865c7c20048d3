//! When a lease and its record end, and when they must not.

use std::time::Duration;

use lock_core::{Grant, Moment, Previous, Renew, Renewal, Then, Ttl};

use crate::conformance::case::{Broken, Case, HOLDS, Ran, case, ensure, same};
use crate::conformance::hand::{Hand, LONG, SHORT, text};
use crate::conformance::stage::Stage;

pub(super) const CASES: &[Case] = &[
    case!(
        "steps/a-commit-that-keeps-the-lease-leaves-its-expiry-alone",
        kept_by_commit
    ),
    case!("steps/the-longest-ttl-is-granted-in-full", longest_ttl),
    case!(
        "steps/a-lease-in-force-is-not-forgotten-with-an-idle-record",
        not_forgotten
    ),
    case!(
        "steps/a-renewed-lease-outlives-the-record-of-its-first-ttl",
        renewed_record
    ),
    case!(
        "steps/an-inspection-after-an-expiry-says-abandoned-and-by-whom",
        inspect_expired
    ),
    case!(
        "steps/an-inspection-tells-since-when-and-until-when",
        inspect_times
    ),
];

/// Fails unless another owner is told an end of the lease that is neither before its ttl, counted
/// from before it was asked for, nor after what the grant says.
pub(super) async fn lasts_yet(
    stage: &Stage,
    hand: &Hand,
    name: &str,
    (sent, ttl, grant): (Moment, Duration, &Grant),
) -> Result<(), Broken> {
    let left = hand.refused(&hand.asks(name)?).await?.holder_expires_in;
    let Some(left) = left else {
        return Err(Broken::new(
            "a refusal by a lease with an end did not tell it",
        ));
    };
    is_plausible(stage, left, (sent, ttl, grant)).await
}

async fn is_plausible(
    stage: &Stage,
    left: Duration,
    (sent, ttl, grant): (Moment, Duration, &Grant),
) -> Result<(), Broken> {
    let slack = Stage::slack(ttl);
    let least = ttl
        .saturating_sub(stage.now().since(sent))
        .saturating_sub(slack);
    let most = grant
        .ttl
        .as_duration()
        .saturating_add(slack)
        .saturating_add(stage.granularity().await?);
    ensure(left >= least && left <= most, || {
        format!("a lease of {ttl:?} has {left:?} left, which is not from {least:?} to {most:?}")
    })
}

async fn kept_by_commit(stage: Stage) -> Ran {
    let (a, b) = (stage.hand().await?, stage.hand().await?);
    let request = a.asks("x")?;
    let sent = stage.now();
    let grant = a.granted(&request).await?;
    for sequence in 1..=2 {
        a.committed(&request, &grant, sequence, "one").await?;
        lasts_yet(&stage, &b, "x", (sent, LONG, &grant)).await?;
        // Nor does a duplicate touch it.
        a.committed(&request, &grant, sequence, "one").await?;
        lasts_yet(&stage, &b, "x", (sent, LONG, &grant)).await?;
    }
    a.renewed(&request, &grant).await?;
    HOLDS
}

async fn longest_ttl(stage: Stage) -> Ran {
    let (a, b) = (stage.hand().await?, stage.hand().await?);
    let longest = Ttl::MAX.as_duration();
    let below = longest.saturating_sub(Duration::from_millis(1));
    for (name, ttl) in [("x", longest), ("y", below)] {
        let request = a.asks_for(name, ttl)?;
        let sent = stage.now();
        let grant = a.granted(&request).await?;
        lasts_yet(&stage, &b, name, (sent, ttl, &grant)).await?;
        let sent = stage.now();
        let renewal = a.renew(&request, grant.token, ttl).await?;
        let is_renewed = matches!(renewal, Renewal::Renewed { .. });
        ensure(is_renewed, || {
            format!("a renewal by {ttl:?} was answered {renewal:?}")
        })?;
        lasts_yet(&stage, &b, name, (sent, ttl, &grant)).await?;
        a.released(&request).await?;
    }
    HOLDS
}

async fn not_forgotten(stage: Stage) -> Ran {
    let (a, b) = (stage.hand().await?, stage.hand().await?);
    let mut request = a.asks("x")?;
    request.forget_after = Some(Duration::ZERO);
    let grant = a.granted(&request).await?;
    a.committed(&request, &grant, 1, "one").await?;
    stage.outlast(SHORT).await?;
    b.refused(&b.asks("x")?).await?;
    b.reads(&request.name, "one").await?;
    a.committed(&request, &grant, 2, "two").await?;
    a.renewed(&request, &grant).await?;
    HOLDS
}

async fn renewed_record(stage: Stage) -> Ran {
    let (a, b) = (stage.hand().await?, stage.hand().await?);
    // Long enough for a renewal to come in time now and then on a slow machine.
    let ttl = Duration::from_millis(500);
    for round in 0..20 {
        let name = format!("x{round}");
        let mut request = a.asks_for(&name, ttl)?;
        request.forget_after = Some(Duration::ZERO);
        let grant = a.granted(&request).await?;
        let (lock, owner) = (request.name.clone(), request.owner);
        let mut renew = Renew::new(lock, owner, grant.token, Ttl::new(LONG)?);
        renew.forget_after = Some(Duration::ZERO);
        let answers = a.backend.renew(&[renew]).await;
        if !matches!(answers.as_slice(), [Ok(Renewal::Renewed { .. })]) {
            continue;
        }
        stage.outlast(ttl).await?;
        b.refused(&b.asks(&name)?).await?;
        let value = text("one");
        let stored = a.commit(&request, grant.token, 1, value, Then::Keep);
        let stored = stored.await?;
        let is_committed = matches!(stored, lock_core::Stored::Committed { .. });
        ensure(is_committed, || {
            format!("a lease was renewed by {LONG:?}, and its commit was answered {stored:?}")
        })?;
        return HOLDS;
    }
    Err(Broken::new(format!(
        "no lease of {ttl:?} was renewed before its end, of 20"
    )))
}

async fn inspect_expired(stage: Stage) -> Ran {
    let (a, b) = (stage.hand().await?, stage.hand().await?);
    let (request, grant) = a.lapsed("x").await?;
    let (owner, token) = (request.owner, grant.token);
    for hand in [&a, &b] {
        let info = hand.backend.inspect(&request.name).await?;
        same("the holder", &info.holder, &None)?;
        let expected = Previous::Abandoned { owner, token };
        same("how the last lease ended", &info.previous, &expected)?;
        same("the last token", &info.last_token, &Some(token))?;
    }
    let (_, _next) = a.next("x").await?;
    let info = b.backend.inspect(&request.name).await?;
    let expected = Previous::Abandoned { owner, token };
    same("how the lease before ended", &info.previous, &expected)?;
    HOLDS
}

async fn inspect_times(stage: Stage) -> Ran {
    let (a, b) = (stage.hand().await?, stage.hand().await?);
    let request = a.asks("x")?;
    let sent = stage.now();
    let grant = a.granted(&request).await?;
    let granted = stage.now();
    stage.sleep(SHORT).await;
    for is_renewed in [false, true] {
        if is_renewed {
            // A renewal is no new lease.
            a.renewed(&request, &grant).await?;
        }
        let asked = stage.now();
        let info = b.backend.inspect(&request.name).await?;
        let most = stage.now().since(sent);
        let Some(holder) = info.holder else {
            return Err(Broken::new("the holder of a lock is not shown"));
        };
        let Some(left) = holder.expires_in else {
            return Err(Broken::new("a lease with an end is shown without one"));
        };
        is_plausible(&stage, left, (sent, LONG, &grant)).await?;
        // The store's clock may count whole milliseconds, and the store need not tell.
        let slack = Stage::slack(most);
        let slack = slack.saturating_add(stage.granularity().await?);
        let least = asked.since(granted).saturating_sub(slack);
        let most = most.saturating_add(slack);
        let held_for = holder.held_for;
        ensure(
            held_for.is_none_or(|held| held >= least && held <= most),
            || format!("a lock is held for {held_for:?}, which is not from {least:?} to {most:?}"),
        )?;
    }
    HOLDS
}
