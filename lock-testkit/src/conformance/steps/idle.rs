//! What becomes of a record that nobody uses.

use std::time::Duration;

use lock_core::{Stored, Then};

use crate::conformance::case::{Case, HOLDS, Ran, case, ensure};
use crate::conformance::hand::{SHORT, text};
use crate::conformance::stage::Stage;

pub(super) const CASES: &[Case] = &[
    case!("steps/a-value-is-kept-unless-asked-to-be-forgotten", kept),
    case!("steps/a-value-is-kept-for-as-long-as-asked", kept_so_long),
    case!("steps/an-idle-record-is-forgotten-when-asked", forgotten),
    case!(
        "steps/tokens-increase-though-the-record-was-forgotten",
        tokens
    ),
    case!(
        "steps/a-lock-without-a-value-spares-the-one-that-it-finds",
        spared
    ),
];

/// Writes a value under a short lease, with the record kept for so long.
async fn written(
    stage: &Stage,
    forget_after: Option<Duration>,
) -> Result<lock_core::Grant, crate::conformance::case::Broken> {
    let hand = stage.hand().await?;
    let mut request = hand.asks("x")?;
    request.forget_after = forget_after;
    let grant = hand.granted(&request).await?;
    let stored = hand
        .commit(&request, grant.token, 1, text("one"), Then::Release)
        .await?;
    ensure(matches!(stored, Stored::Committed { .. }), || {
        format!("a commit of a lease of five minutes was answered {stored:?}")
    })?;
    // Its ttl counts from the last acquire.
    let mut short = hand.asks_for("x", SHORT)?;
    short.forget_after = forget_after;
    let grant = hand.granted_in_time(&short).await?;
    // On a slow machine it is over by itself.
    let _answer = hand.release(&short).await?;
    Ok(grant)
}

async fn kept(stage: Stage) -> Ran {
    written(&stage, None).await?;
    stage.outlast(SHORT).await?;
    let hand = stage.hand().await?;
    hand.reads(&stage.name("x")?, "one").await?;
    HOLDS
}

async fn kept_so_long(stage: Stage) -> Ran {
    written(&stage, Some(Duration::from_secs(120))).await?;
    stage.outlast(SHORT).await?;
    let hand = stage.hand().await?;
    hand.reads(&stage.name("x")?, "one").await?;
    HOLDS
}

async fn forgotten(stage: Stage) -> Ran {
    written(&stage, Some(Duration::ZERO)).await?;
    let hand = stage.hand().await?;
    let name = stage.name("x")?;
    let gone = || async { Ok(hand.peek(&name).await?.is_none().then_some(())) };
    stage.until("the end of an idle record", gone).await?;
    HOLDS
}

async fn tokens(stage: Stage) -> Ran {
    let before = written(&stage, Some(Duration::ZERO)).await?;
    stage.outlast(SHORT).await?;
    let hand = stage.hand().await?;
    let (_, next) = hand.next("x").await?;
    ensure(next.token > before.token, || {
        format!("token {} was granted after {}", next.token, before.token)
    })?;
    HOLDS
}

async fn spared(stage: Stage) -> Ran {
    written(&stage, None).await?;
    let hand = stage.hand().await?;
    let mut plain = hand.asks_for("x", SHORT)?;
    plain.forget_after = Some(Duration::ZERO);
    plain.spare_state = true;
    let grant = hand.granted_in_time(&plain).await?;
    let mut renew = lock_core::Renew::new(plain.name.clone(), plain.owner, grant.token, plain.ttl);
    renew.forget_after = Some(Duration::ZERO);
    renew.spare_state = true;
    let _answers = hand.backend.renew(&[renew]).await;
    stage.outlast(SHORT).await?;
    hand.reads(&plain.name, "one").await?;
    HOLDS
}
