//! Many renewals in one call.

use futures_util::{StreamExt, TryStreamExt, stream};
use lock_core::{FencingToken, LossCause, Renew, Renewal, Ttl};

use crate::conformance::case::{Broken, Case, HOLDS, Ran, case, ensure, same};
use crate::conformance::hand::{Hand, LONG, owner};
use crate::conformance::stage::Stage;

pub(super) const CASES: &[Case] = &[
    case!("steps/no-renewals-are-answered-with-nothing", none),
    case!("steps/a-call-of-one-renewal-is-answered", one),
    case!(
        "steps/a-call-of-100-renewals-answers-each-by-itself",
        hundred
    ),
    case!(
        "steps/a-call-of-1000-renewals-answers-each-by-itself",
        thousand
    ),
];

async fn none(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    same(
        "the answers to nothing",
        &hand.backend.renew(&[]).await.len(),
        &0,
    )?;
    HOLDS
}

async fn one(stage: Stage) -> Ran {
    many(stage, 1).await
}

async fn hundred(stage: Stage) -> Ran {
    many(stage, 100).await
}

async fn thousand(stage: Stage) -> Ran {
    many(stage, 1_000).await
}

/// What the renewal at this place is to be answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Forced,
    Held,
    NeverHeld,
    OfAnother,
    Released,
}

const fn kind(at: u32) -> Kind {
    match at % 10 {
        3 => Kind::Released,
        5 => Kind::NeverHeld,
        7 => Kind::OfAnother,
        9 => Kind::Forced,
        _ => Kind::Held,
    }
}

async fn renewal(hand: &Hand, at: u32) -> Result<Renew, Broken> {
    let request = hand.asks(&format!("m{at}"))?;
    let ttl = Ttl::new(LONG)?;
    let kind = kind(at);
    let mut token = FencingToken::new(1);
    if kind != Kind::NeverHeld {
        token = hand.granted(&request).await?.token;
    }
    let mut renew = Renew::new(request.name.clone(), request.owner, token, ttl);
    match kind {
        Kind::Forced => hand.forced(&request.name).await?,
        Kind::OfAnother => renew.owner = owner(),
        Kind::Released => hand.released(&request).await?,
        Kind::Held | Kind::NeverHeld => {}
    }
    Ok(renew)
}

async fn many(stage: Stage, count: u32) -> Ran {
    let hand = stage.hand().await?;
    let renewals = stream::iter((0..count).map(|at| renewal(&hand, at)));
    let renewals: Vec<Renew> = renewals.buffered(16).try_collect().await?;
    for _ in 0..2 {
        let answers = hand.backend.renew(&renewals).await;
        same("the number of answers", &answers.len(), &renewals.len())?;
        for (at, answer) in (0..).zip(answers) {
            let answer = answer?;
            let is_right = match kind(at) {
                Kind::Held => answer == Renewal::Renewed { others_wait: false },
                Kind::Forced => {
                    answer
                        == Renewal::Lost {
                            cause: LossCause::Forced,
                        }
                }
                Kind::NeverHeld | Kind::OfAnother | Kind::Released => {
                    matches!(answer, Renewal::Lost { .. })
                }
            };
            ensure(is_right, || {
                format!("renewal {at} of {count} was answered {answer:?}")
            })?;
        }
    }
    HOLDS
}
