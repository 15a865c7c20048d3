//! Renew and release, and what they must not do.

use std::time::Duration;

use lock_core::{FencingToken, LossCause, Renewal};

use crate::conformance::case::{Broken, Case, HOLDS, Ran, case, ensure, same};
use crate::conformance::hand::{LONG, owner};
use crate::conformance::stage::Stage;

pub(super) const CASES: &[Case] = &[
    case!("steps/a-renewal-prolongs-the-lease", prolongs),
    case!(
        "steps/a-renewal-never-revives-a-lease-that-ran-out",
        never_revives
    ),
    case!(
        "steps/a-renewal-never-revives-a-lease-that-was-released",
        not_after_release
    ),
    case!(
        "steps/a-renewal-by-another-owner-changes-nothing",
        renew_by_other
    ),
    case!(
        "steps/a-renewal-under-another-token-is-lost",
        renew_other_token
    ),
    case!(
        "steps/a-renewal-of-a-name-that-was-never-held-is-lost",
        renew_nothing
    ),
    case!(
        "steps/a-release-by-another-owner-changes-nothing-and-says-so",
        release_by_other
    ),
    case!(
        "steps/a-second-release-says-that-nothing-is-held",
        release_twice
    ),
    case!(
        "steps/a-release-of-a-lease-that-ran-out-harms-no-later-holder",
        late_release
    ),
    case!(
        "steps/a-forced-release-is-told-to-the-holder-who-renews",
        forced_cause
    ),
    case!("steps/a-displaced-holder-is-told-so", displaced_cause),
];

fn is_lost(renewal: Renewal, cause: Option<LossCause>) -> Result<(), Broken> {
    let is_it = matches!(
        renewal,
        Renewal::Lost { cause: found } if cause.is_none_or(|cause| cause == found)
    );
    ensure(is_it, || match cause {
        None => format!("a renewal was to be Lost, and was answered {renewal:?}"),
        Some(cause) => {
            format!("a renewal was to be Lost by {cause:?}, and was answered {renewal:?}")
        }
    })
}

async fn prolongs(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let request = hand.asks_for("x", Duration::from_secs(20))?;
    let grant = hand.granted(&request).await?;
    let sent = stage.now();
    let renewal = hand.renew(&request, grant.token, LONG).await?;
    same(
        "the answer of a renewal",
        &renewal,
        &Renewal::Renewed { others_wait: false },
    )?;
    let left = hand.refused(&hand.asks("x")?).await?.holder_expires_in;
    let slack = stage.slack(LONG).await?;
    let least = LONG
        .saturating_sub(stage.now().since(sent))
        .saturating_sub(slack);
    ensure(left.is_none_or(|left| left >= least), || {
        format!("a lease was renewed by {LONG:?}, and has {left:?} left, less than {least:?}")
    })?;
    HOLDS
}

async fn never_revives(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let (request, grant) = hand.lapsed("x").await?;
    is_lost(hand.renew(&request, grant.token, LONG).await?, None)?;
    // It is as free as before.
    let next = hand.asks("x")?;
    let grant = hand.granted(&next).await?;
    hand.renewed(&next, &grant).await?;
    HOLDS
}

async fn not_after_release(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let request = hand.asks("x")?;
    let grant = hand.granted(&request).await?;
    hand.released(&request).await?;
    is_lost(hand.renew(&request, grant.token, LONG).await?, None)?;
    hand.granted(&hand.asks("x")?).await?;
    HOLDS
}

async fn renew_by_other(stage: Stage) -> Ran {
    let (a, b) = (stage.hand().await?, stage.hand().await?);
    let request = a.asks("x")?;
    let grant = a.granted(&request).await?;
    let mut other = request.clone();
    other.owner = owner();
    is_lost(b.renew(&other, grant.token, LONG).await?, None)?;
    a.renewed(&request, &grant).await?;
    HOLDS
}

async fn renew_other_token(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    // The owner is granted again after its lease ran out: the token tells the grants apart.
    let (request, old) = hand.lapsed("x").await?;
    let mut again = request.clone();
    again.ttl = lock_core::Ttl::new(LONG)?;
    let new = hand.granted(&again).await?;
    ensure(new.token > old.token, || {
        format!("token {} was granted after {}", new.token, old.token)
    })?;
    is_lost(hand.renew(&request, old.token, LONG).await?, None)?;
    hand.fenced(&request, old.token, 1, "late").await?;
    hand.renewed(&again, &new).await?;
    HOLDS
}

async fn renew_nothing(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let request = hand.asks("x")?;
    let renewal = hand.renew(&request, FencingToken::new(1), LONG).await?;
    is_lost(renewal, None)?;
    hand.not_held(&request).await?;
    hand.granted(&request).await?;
    HOLDS
}

async fn release_by_other(stage: Stage) -> Ran {
    let (a, b) = (stage.hand().await?, stage.hand().await?);
    let request = a.asks("x")?;
    let grant = a.granted(&request).await?;
    let mut other = request.clone();
    other.owner = owner();
    b.not_held(&other).await?;
    a.not_held(&other).await?;
    b.refused(&b.asks("x")?).await?;
    a.renewed(&request, &grant).await?;
    a.released(&request).await?;
    HOLDS
}

async fn release_twice(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let request = hand.asks("x")?;
    hand.granted(&request).await?;
    hand.released(&request).await?;
    hand.not_held(&request).await?;
    HOLDS
}

async fn late_release(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let (old, _) = hand.lapsed("x").await?;
    let (next, grant) = hand.next("x").await?;
    hand.not_held(&old).await?;
    hand.renewed(&next, &grant).await?;
    hand.released(&next).await?;
    HOLDS
}

async fn forced_cause(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let request = hand.asks("x")?;
    let grant = hand.granted(&request).await?;
    hand.forced(&request.name).await?;
    let renewal = hand.renew(&request, grant.token, LONG).await?;
    is_lost(renewal, Some(LossCause::Forced))?;
    hand.fenced(&request, grant.token, 1, "late").await?;
    hand.not_held(&request).await?;
    HOLDS
}

async fn displaced_cause(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let (old, grant) = hand.lapsed("x").await?;
    let _next = hand.next("x").await?;
    let renewal = hand.renew(&old, grant.token, LONG).await?;
    is_lost(renewal, Some(LossCause::Displaced))?;
    HOLDS
}
