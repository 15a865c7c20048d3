//! Acquire and what it answers.

use std::time::Duration;

use lock_core::{FencingToken, Previous, Then};

use crate::conformance::case::{Case, HOLDS, Ran, case, ensure, same};
use crate::conformance::hand::{LONG, SHORT, previous_is, text};
use crate::conformance::stage::Stage;
use crate::conformance::steps::expiry::lasts_yet;

pub(super) const CASES: &[Case] = &[
    case!("steps/a-free-name-is-granted-once", granted_once),
    case!(
        "steps/a-refusal-tells-how-long-the-lease-lasts-yet",
        remaining
    ),
    case!(
        "steps/the-same-owner-is-given-the-same-grant-again",
        same_grant
    ),
    case!(
        "steps/an-acquire-by-the-holder-starts-its-ttl-anew",
        ttl_anew
    ),
    case!(
        "steps/an-acquire-after-its-own-release-is-answered-ended",
        ended_released
    ),
    case!(
        "steps/an-acquire-after-a-forced-release-is-answered-ended",
        ended_forced
    ),
    case!("steps/a-lease-lasts-no-less-than-its-ttl", lasts),
    case!("steps/a-lease-that-nobody-renews-ends", ends),
    case!("steps/the-first-lease-of-a-name-says-first", first),
    case!("steps/a-lease-after-a-release-says-released", after_release),
    case!(
        "steps/a-lease-after-an-expiry-says-abandoned-and-by-whom",
        after_expiry
    ),
    case!(
        "steps/a-lease-after-an-expiry-says-abandoned-to-its-own-owner-too",
        after_own_expiry
    ),
    case!(
        "steps/a-lease-after-a-forced-release-says-forced",
        after_force
    ),
    case!(
        "steps/tokens-increase-over-release-commit-force-and-expiry",
        tokens
    ),
    case!(
        "steps/tokens-increase-beyond-those-that-were-reserved",
        reserved
    ),
    case!(
        "steps/a-grant-brings-the-value-that-was-committed-last",
        brings_value
    ),
];

async fn granted_once(stage: Stage) -> Ran {
    let (a, b) = (stage.hand().await?, stage.hand().await?);
    let request = a.asks("x")?;
    let grant = a.granted(&request).await?;
    same("the value of a new name", &grant.state, &None)?;
    same("how many tokens are reserved", &grant.reserved, &1)?;
    same("whether others wait", &grant.others_wait, &false)?;
    ensure(grant.token.get() > 0, || "a token must not be 0".to_owned())?;
    ensure(grant.ttl.as_duration() >= LONG, || {
        format!(
            "a lease of {LONG:?} was asked for, and one of {} granted",
            grant.ttl
        )
    })?;
    let refusal = b.refused(&b.asks("x")?).await?;
    // Who tells of the holder tells of the right one.
    if let Some(holder) = refusal.holder {
        let (owner, label) = (Some(request.owner), request.label.as_str());
        same("the owner in a refusal", &holder.owner, &owner)?;
        same("the label in a refusal", &holder.label.as_str(), &label)?;
    }
    a.refused(&a.asks("x")?).await?;
    b.granted(&b.asks("y")?).await?;
    a.released(&request).await?;
    b.granted(&b.asks("x")?).await?;
    HOLDS
}

async fn remaining(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let request = hand.asks("x")?;
    let sent = stage.now();
    let grant = hand.granted(&request).await?;
    lasts_yet(&stage, &hand, "x", (sent, LONG, &grant)).await?;
    HOLDS
}

async fn same_grant(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let mut request = hand.asks("x")?;
    request.reserve = 5;
    let grant = hand.granted(&request).await?;
    same("how many tokens are reserved", &grant.reserved, &5)?;
    for _ in 0..3 {
        let again = hand.granted(&request).await?;
        same("the token granted again", &again.token, &grant.token)?;
        same(
            "the tokens reserved again",
            &again.reserved,
            &grant.reserved,
        )?;
        same(
            "how the lease before ended",
            &again.previous,
            &grant.previous,
        )?;
    }
    // Also by way of another client of the same process: the owner decides.
    let again = stage.hand().await?.granted(&request).await?;
    same(
        "the token granted by another way",
        &again.token,
        &grant.token,
    )?;
    HOLDS
}

async fn ttl_anew(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let mut request = hand.asks_for("x", Duration::from_secs(20))?;
    let grant = hand.granted(&request).await?;
    request.ttl = lock_core::Ttl::new(LONG)?;
    let again = hand.granted(&request).await?;
    same("the token granted again", &again.token, &grant.token)?;
    let left = hand.refused(&hand.asks("x")?).await?.holder_expires_in;
    // So much is left only if the ttl began anew.
    let least = Duration::from_secs(30);
    ensure(left.is_some_and(|left| left > least), || {
        format!("the lease was asked for again with {LONG:?}, and has {left:?} left")
    })?;
    HOLDS
}

async fn ended_released(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let request = hand.asks("x")?;
    hand.granted(&request).await?;
    hand.released(&request).await?;
    hand.ended(&request).await?;
    // It changed nothing.
    let (next, grant) = hand.next("x").await?;
    previous_is(&grant, Previous::Released)?;
    hand.renewed(&next, &grant).await?;
    HOLDS
}

async fn ended_forced(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let request = hand.asks("x")?;
    hand.granted(&request).await?;
    hand.forced(&request.name).await?;
    hand.ended(&request).await?;
    let (_, grant) = hand.next("x").await?;
    previous_is(&grant, Previous::Forced)?;
    HOLDS
}

async fn lasts(stage: Stage) -> Ran {
    let (a, b) = (stage.hand().await?, stage.hand().await?);
    for ttl_ms in [50, 150, 450, 1_500] {
        let ttl = Duration::from_millis(ttl_ms);
        let name = format!("x{ttl_ms}");
        let sent = stage.now();
        a.granted(&a.asks_for(&name, ttl)?).await?;
        let (_, grant) = b.next(&name).await?;
        let lasted = stage.now().since(sent);
        let least = ttl.saturating_sub(Stage::slack(ttl));
        // The store decided after the request was sent, so the lease cannot seem too short by delay.
        ensure(lasted >= least, || {
            format!("a lease of {ttl:?} was granted to another after {lasted:?}")
        })?;
        let is_abandoned = matches!(grant.previous, Previous::Abandoned { .. });
        ensure(is_abandoned, || format!("it ended as {:?}", grant.previous))?;
    }
    HOLDS
}

async fn ends(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    hand.granted(&hand.asks_for("x", SHORT)?).await?;
    let _next = hand.next("x").await?;
    HOLDS
}

async fn first(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let grant = hand.granted(&hand.asks("x")?).await?;
    previous_is(&grant, Previous::First)?;
    HOLDS
}

async fn after_release(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let request = hand.asks("x")?;
    hand.granted(&request).await?;
    hand.released(&request).await?;
    let (request, grant) = hand.next("x").await?;
    previous_is(&grant, Previous::Released)?;
    let value = text("1");
    let _stored = hand
        .commit(&request, grant.token, 1, value, Then::Release)
        .await?;
    let (_, grant) = hand.next("x").await?;
    previous_is(&grant, Previous::Released)?;
    HOLDS
}

async fn after_expiry(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let request = hand.asks_for("x", SHORT)?;
    let old = hand.granted(&request).await?;
    let (_, grant) = hand.next("x").await?;
    let (owner, token) = (request.owner, old.token);
    previous_is(&grant, Previous::Abandoned { owner, token })?;
    HOLDS
}

/// The same owner asks again when its lease has run out, with nobody in between.
async fn after_own_expiry(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let (mut request, first) = hand.lapsed("x").await?;
    request.ttl = lock_core::Ttl::new(LONG)?;
    let (owner, token) = (request.owner, first.token);
    let expected = Previous::Abandoned { owner, token };
    let second = hand.granted(&request).await?;
    ensure(second.token > token, || {
        format!("token {} was granted after {token}", second.token)
    })?;
    previous_is(&second, expected)?;
    // The same grant again says the same.
    let again = hand.granted(&request).await?;
    same("the token granted again", &again.token, &second.token)?;
    previous_is(&again, expected)?;
    hand.released(&request).await?;
    let (_, next) = hand.next("x").await?;
    previous_is(&next, Previous::Released)?;
    HOLDS
}

async fn after_force(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let request = hand.asks("x")?;
    hand.granted(&request).await?;
    hand.forced(&request.name).await?;
    let (_, grant) = hand.next("x").await?;
    previous_is(&grant, Previous::Forced)?;
    HOLDS
}

async fn tokens(stage: Stage) -> Ran {
    let hands = [stage.hand().await?, stage.hand().await?];
    let mut last = FencingToken::new(0);
    for (round, hand) in (0..12).zip(hands.iter().cycle()) {
        let mut request = hand.asks("x")?;
        if round % 4 == 3 {
            request.ttl = lock_core::Ttl::new(SHORT)?;
        }
        let grant = hand.granted_in_time(&request).await?;
        ensure(grant.token > last, || {
            format!("token {} was granted after {last}", grant.token)
        })?;
        // So that languages whose numbers are floating can keep it.
        ensure(grant.token.get() < 1 << 53, || {
            format!("token {} is not below 2^53", grant.token)
        })?;
        last = grant.token;
        match round % 4 {
            0 => hand.released(&request).await?,
            1 => {
                let value = text(&format!("{round}"));
                let _stored = hand
                    .commit(&request, grant.token, 1, value, Then::Release)
                    .await?;
            }
            2 => hand.forced(&request.name).await?,
            // It ends by itself.
            _ => {}
        }
    }
    HOLDS
}

async fn reserved(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    for reserve in [2, 1_000, u32::MAX] {
        let name = format!("x{reserve}");
        let mut request = hand.asks(&name)?;
        request.reserve = reserve;
        // The record must outlive its reserved tokens, which may be far ahead of the clock.
        request.forget_after = Some(Duration::ZERO);
        let grant = hand.granted(&request).await?;
        ensure(grant.reserved >= 1 && grant.reserved <= reserve, || {
            format!(
                "{reserve} tokens were asked for, and {} reserved",
                grant.reserved
            )
        })?;
        hand.released(&request).await?;
        let (_, next) = hand.next(&name).await?;
        let beyond = grant.token.get().saturating_add(u64::from(grant.reserved));
        ensure(next.token.get() >= beyond, || {
            format!(
                "token {} was granted, and all below {beyond} were reserved",
                next.token
            )
        })?;
    }
    HOLDS
}

async fn brings_value(stage: Stage) -> Ran {
    let (a, b) = (stage.hand().await?, stage.hand().await?);
    let request = a.asks("x")?;
    let grant = a.granted(&request).await?;
    a.committed(&request, &grant, 1, "one").await?;
    a.committed(&request, &grant, 2, "two").await?;
    a.released(&request).await?;
    let (_, next) = b.next("x").await?;
    same(
        "the value of the next grant",
        &next.state,
        &Some(text("two")),
    )?;
    HOLDS
}
