//! What repeated and late requests are answered, and what they leave alone.

use lock_core::{
    Acquisition, FencingToken, FormatTag, LossCause, Previous, Renew, Renewal, State, Stored, Then,
    Ttl,
};

use crate::conformance::case::{Broken, Case, HOLDS, Ran, case, ensure, same};
use crate::conformance::hand::{Hand, LONG, owner, previous_is, text};
use crate::conformance::stage::Stage;

pub(super) const CASES: &[Case] = &[
    case!(
        "steps/the-next-lease-outlives-a-duplicate-of-the-commit-that-ended-the-last",
        duplicate_of_the_end
    ),
    case!(
        "steps/an-owner-that-has-ended-is-not-granted-while-another-holds",
        ended_while_held
    ),
    case!(
        "steps/the-same-grant-again-tells-the-same-previous-and-the-value",
        previous_again
    ),
    case!(
        "steps/an-expiry-is-told-to-the-next-also-after-a-late-release",
        release_after_expiry
    ),
    case!("steps/a-lost-commit-tells-its-cause", commit_cause),
    case!(
        "steps/renewals-of-one-name-in-one-call-are-answered-in-order",
        renewals_of_one_name
    ),
    case!("steps/a-forced-release-keeps-the-value", force_keeps),
    case!(
        "steps/a-grant-brings-the-value-in-its-format",
        brings_format
    ),
];

async fn duplicate_of_the_end(stage: Stage) -> Ran {
    let (a, b) = (stage.hand().await?, stage.hand().await?);
    let old = a.asks("x")?;
    let grant = a.granted(&old).await?;
    let end = async || {
        a.commit(&old, grant.token, 1, text("one"), Then::Release)
            .await
    };
    let stored = end().await?;
    let committed = |stored: Stored, what: &str| {
        let is_it = matches!(stored, Stored::Committed { .. });
        ensure(is_it, || format!("{what} was answered {stored:?}"))
    };
    committed(stored, "a commit that ends the lease")?;
    let (next, newer) = b.next("x").await?;
    for _ in 0..2 {
        committed(end().await?, "a duplicate of the last commit")?;
        let holder = b.backend.inspect(&next.name).await?.holder;
        let holder = holder.and_then(|holder| holder.owner);
        same("the holder", &holder, &Some(next.owner))?;
        a.refused(&a.asks("x")?).await?;
        b.renewed(&next, &newer).await?;
    }
    b.committed(&next, &newer, 1, "two").await?;
    b.released(&next).await?;
    HOLDS
}

/// Whether it is answered `Ended` depends on what the record still shows.
async fn ended_while_held(stage: Stage) -> Ran {
    let (a, b) = (stage.hand().await?, stage.hand().await?);
    for (name, is_forced) in [("x", false), ("y", true)] {
        let old = a.asks(name)?;
        a.granted(&old).await?;
        if is_forced {
            a.forced(&old.name).await?;
        } else {
            a.released(&old).await?;
        }
        let (next, grant) = b.next(name).await?;
        let answer = a.backend.acquire(&old).await?;
        let is_right = matches!(answer, Acquisition::Ended | Acquisition::Refused(_));
        ensure(is_right, || {
            format!("an acquire by an owner that has ended was answered {answer:?}")
        })?;
        b.renewed(&next, &grant).await?;
        b.released(&next).await?;
    }
    HOLDS
}

async fn previous_again(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let again = async |name: &str, expected: Previous| {
        let (request, grant) = hand.next(name).await?;
        previous_is(&grant, expected)?;
        hand.committed(&request, &grant, 1, name).await?;
        for _ in 0..2 {
            let again = hand.granted(&request).await?;
            same("the token granted again", &again.token, &grant.token)?;
            previous_is(&again, expected)?;
            same("the value granted again", &again.state, &Some(text(name)))?;
        }
        Ok::<_, Broken>(request)
    };
    let request = again("x", Previous::First).await?;
    hand.released(&request).await?;
    let request = again("x", Previous::Released).await?;
    hand.forced(&request.name).await?;
    again("x", Previous::Forced).await?;
    let (old, grant) = hand.lapsed("y").await?;
    let (owner, token) = (old.owner, grant.token);
    again("y", Previous::Abandoned { owner, token }).await?;
    HOLDS
}

async fn release_after_expiry(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let (old, grant) = hand.lapsed("x").await?;
    hand.not_held(&old).await?;
    hand.not_held(&old).await?;
    let (owner, token) = (old.owner, grant.token);
    let (_, next) = hand.next("x").await?;
    previous_is(&next, Previous::Abandoned { owner, token })?;
    HOLDS
}

async fn commit_cause(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let lost = async |hand: &Hand, old: &lock_core::Acquire, token, expected: LossCause| {
        let stored = hand.commit(old, token, 1, text("late"), Then::Keep).await?;
        let is_it = matches!(stored, Stored::Lost { cause, .. } if cause == expected);
        ensure(is_it, || {
            format!("a commit was to be Lost by {expected:?}, and was answered {stored:?}")
        })
    };
    let (old, grant) = hand.lapsed("x").await?;
    lost(&hand, &old, grant.token, LossCause::Expired).await?;
    hand.next("x").await?;
    lost(&hand, &old, grant.token, LossCause::Displaced).await?;
    let old = hand.asks("y")?;
    let grant = hand.granted(&old).await?;
    hand.forced(&old.name).await?;
    lost(&hand, &old, grant.token, LossCause::Forced).await?;
    HOLDS
}

async fn renewals_of_one_name(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let request = hand.asks("x")?;
    let grant = hand.granted(&request).await?;
    let renew = |owner, token| {
        let ttl = Ttl::new(LONG)?;
        Ok::<_, Broken>(Renew::new(request.name.clone(), owner, token, ttl))
    };
    let beyond = FencingToken::new(grant.token.get().saturating_add(1));
    let mine = || renew(request.owner, grant.token);
    let theirs = || renew(owner(), grant.token);
    let renewals = [
        (theirs()?, false),
        (mine()?, true),
        (renew(request.owner, beyond)?, false),
        (theirs()?, false),
        (mine()?, true),
        (theirs()?, false),
    ];
    let (asked, expected): (Vec<Renew>, Vec<bool>) = renewals.into_iter().unzip();
    let mut found = Vec::new();
    for answer in hand.backend.renew(&asked).await {
        found.push(matches!(answer?, Renewal::Renewed { .. }));
    }
    same("which of them were renewed", &found, &expected)?;
    hand.renewed(&request, &grant).await?;
    HOLDS
}

async fn force_keeps(stage: Stage) -> Ran {
    let (a, b) = (stage.hand().await?, stage.hand().await?);
    let request = a.asks("x")?;
    let grant = a.granted(&request).await?;
    a.committed(&request, &grant, 1, "one").await?;
    b.forced(&request.name).await?;
    b.reads(&request.name, "one").await?;
    let (next, newer) = b.next("x").await?;
    let expected = Some(text("one"));
    same("the value of the next grant", &newer.state, &expected)?;
    b.released(&next).await?;
    // Nor is it lost where there is nobody to force.
    let _not_held = b.backend.force_release(&request.name).await?;
    b.reads(&request.name, "one").await?;
    HOLDS
}

async fn brings_format(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let custom = FormatTag::new(FormatTag::FIRST_CUSTOM);
    for format in [custom, FormatTag::JSON] {
        let (request, grant) = hand.next("x").await?;
        let state = State::new(format, b"1".to_vec());
        let stored = hand.commit(&request, grant.token, 1, state.clone(), Then::Keep);
        let stored = stored.await?;
        ensure(matches!(stored, Stored::Committed { .. }), || {
            format!("a commit in {format} was answered {stored:?}")
        })?;
        let again = hand.granted(&request).await?;
        same(
            "the value granted again",
            &again.state,
            &Some(state.clone()),
        )?;
        hand.released(&request).await?;
        let (next, grant) = hand.next("x").await?;
        same("the value of the next grant", &grant.state, &Some(state))?;
        hand.released(&next).await?;
    }
    HOLDS
}
