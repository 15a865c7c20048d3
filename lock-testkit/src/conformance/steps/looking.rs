//! Peek, inspect, list and the forced release.

use std::collections::BTreeSet;

use lock_core::{ForcedRelease, HolderInfo, LockInfo, Previous};

use crate::conformance::case::{Broken, Case, HOLDS, Ran, case, ensure, same};
use crate::conformance::hand::{LABEL, LONG};
use crate::conformance::stage::Stage;

pub(super) const CASES: &[Case] = &[
    case!("steps/a-peek-needs-no-lock-and-tells-the-token", peek),
    case!("steps/an-inspection-tells-the-holder", inspect_held),
    case!(
        "steps/an-inspection-of-a-free-name-tells-how-its-lease-ended",
        inspect_free
    ),
    case!(
        "steps/an-inspection-of-an-unknown-name-tells-nothing",
        inspect_unknown
    ),
    case!("steps/a-list-takes-its-prefix-literally", list_literally),
    case!("steps/a-list-is-cut-at-its-limit", list_limit),
    case!("steps/a-list-leaves-out-what-nobody-holds", list_held),
    case!("steps/a-forced-release-names-the-holder", force),
    case!("steps/a-forced-release-of-a-free-name-says-so", force_free),
];

async fn peek(stage: Stage) -> Ran {
    let (a, b) = (stage.hand().await?, stage.hand().await?);
    let request = a.asks("x")?;
    same(
        "the value of a new name",
        &b.peek(&request.name).await?,
        &None,
    )?;
    let grant = a.granted(&request).await?;
    same(
        "the value before a commit",
        &b.peek(&request.name).await?,
        &None,
    )?;
    a.committed(&request, &grant, 1, "one").await?;
    b.reads(&request.name, "one").await?;
    let peeked = b.peek(&request.name).await?.map(|peeked| peeked.token);
    same("the token of the value", &peeked, &Some(grant.token))?;
    a.released(&request).await?;
    let (_, next) = a.next("x").await?;
    let peeked = b.peek(&request.name).await?.map(|peeked| peeked.token);
    same("the token of the value", &peeked, &Some(grant.token))?;
    ensure(next.token > grant.token, || "tokens increase".to_owned())?;
    HOLDS
}

fn is_holder(
    holder: Option<&HolderInfo>,
    request: &lock_core::Acquire,
    grant: &lock_core::Grant,
) -> Result<(), Broken> {
    let Some(holder) = holder else {
        return Err(Broken::new("the holder of a lock is not shown"));
    };
    same("the owner", &holder.owner, &Some(request.owner))?;
    same("its token", &holder.token, &Some(grant.token))?;
    same("its label", &holder.label.as_str(), &LABEL)?;
    ensure(
        holder
            .expires_in
            .is_some_and(|left| left <= LONG.saturating_mul(2)),
        || format!("a lease of {LONG:?} ends in {:?}", holder.expires_in),
    )
}

async fn inspect_held(stage: Stage) -> Ran {
    let (a, b) = (stage.hand().await?, stage.hand().await?);
    let request = a.asks("x")?;
    let grant = a.granted(&request).await?;
    let info = b.backend.inspect(&request.name).await?;
    is_holder(info.holder.as_ref(), &request, &grant)?;
    same("the name", &info.name, &request.name)?;
    same("the last token", &info.last_token, &Some(grant.token))?;
    same("how many wait", &info.waiting, &0)?;
    same(
        "how the lease before ended",
        &info.previous,
        &Previous::First,
    )?;
    HOLDS
}

async fn inspect_free(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let request = hand.asks("x")?;
    hand.granted(&request).await?;
    hand.released(&request).await?;
    let info = hand.backend.inspect(&request.name).await?;
    same("the holder", &info.holder, &None)?;
    same(
        "how the last lease ended",
        &info.previous,
        &Previous::Released,
    )?;
    let (request, _) = hand.next("x").await?;
    hand.forced(&request.name).await?;
    let info = hand.backend.inspect(&request.name).await?;
    same("the holder", &info.holder, &None)?;
    same(
        "how the last lease ended",
        &info.previous,
        &Previous::Forced,
    )?;
    HOLDS
}

async fn inspect_unknown(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let name = stage.name("never")?;
    let info = hand.backend.inspect(&name).await?;
    same(
        "what is known of a name never held",
        &info,
        &LockInfo::free(name),
    )?;
    HOLDS
}

async fn list_literally(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let names = [
        "a%b", "a_b", "a?b", "a*b", "a[b]", "a\\b", "a^b", "a{b}c", "a", "b", "A", "a\0b",
    ];
    for name in names {
        hand.granted(&hand.asks(name)?).await?;
    }
    let prefixes = [
        "", "a", "a%", "a_", "a?", "a*", "a[", "a[b", "a\\", "a^", "a{", "b", "A", "a\0", "zz", "%",
    ];
    for prefix in prefixes {
        let whole = format!("{}{prefix}", stage.prefix());
        let found = hand.backend.list(&whole, 1_000).await?;
        let found: Vec<String> = found.iter().map(|i| i.name.as_str().to_owned()).collect();
        let once: BTreeSet<&String> = found.iter().collect();
        let expected = names.iter().filter(|name| name.starts_with(prefix));
        let expected: BTreeSet<String> = expected
            .map(|name| format!("{}{name}", stage.prefix()))
            .collect();
        let is_it = once.iter().copied().eq(expected.iter());
        ensure(is_it && once.len() == found.len(), || {
            format!("a list of {prefix:?} was to find {expected:?}, and found {found:?}")
        })?;
    }
    HOLDS
}

async fn list_limit(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    for at in 0..30 {
        hand.granted(&hand.asks(&format!("x{at}"))?).await?;
    }
    for (limit, expected) in [(0, 0), (1, 1), (7, 7), (30, 30), (1_000, 30)] {
        let found = hand.backend.list(stage.prefix(), limit).await?;
        same(
            &format!("how many a list of {limit} finds"),
            &found.len(),
            &expected,
        )?;
    }
    HOLDS
}

async fn list_held(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let (held, free) = (hand.asks("held")?, hand.asks("free")?);
    let grant = hand.granted(&held).await?;
    let other = hand.granted(&free).await?;
    hand.committed(&free, &other, 1, "value").await?;
    hand.released(&free).await?;
    hand.lapsed("lapsed").await?;
    let mut found = hand.backend.list(stage.prefix(), 100).await?;
    same("how many are held", &found.len(), &1)?;
    let found = found.pop();
    same(
        "the name",
        &found.as_ref().map(|i| &i.name),
        &Some(&held.name),
    )?;
    is_holder(found.and_then(|i| i.holder).as_ref(), &held, &grant)?;
    HOLDS
}

async fn force(stage: Stage) -> Ran {
    let (a, b) = (stage.hand().await?, stage.hand().await?);
    let request = a.asks("x")?;
    let grant = a.granted(&request).await?;
    let ForcedRelease::Released(holder) = b.backend.force_release(&request.name).await? else {
        return Err(Broken::new("a lock that was held was said to be free"));
    };
    is_holder(Some(&holder), &request, &grant)?;
    let again = b.backend.force_release(&request.name).await?;
    same("a second forced release", &again, &ForcedRelease::NotHeld)?;
    b.granted(&b.asks("x")?).await?;
    HOLDS
}

async fn force_free(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let name = stage.name("x")?;
    let answer = hand.backend.force_release(&name).await?;
    same(
        "a forced release of an unknown name",
        &answer,
        &ForcedRelease::NotHeld,
    )?;
    let (request, _) = hand.lapsed("x").await?;
    let answer = hand.backend.force_release(&request.name).await?;
    same(
        "a forced release of a lapsed name",
        &answer,
        &ForcedRelease::NotHeld,
    )?;
    HOLDS
}
