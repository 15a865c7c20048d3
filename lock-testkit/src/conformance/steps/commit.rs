//! Commit: under its own lease, once, and never late.

use lock_core::{FencingToken, FormatTag, Previous, State, Stored, Then};

use crate::conformance::case::{Broken, Case, HOLDS, Ran, case, ensure, same};
use crate::conformance::hand::{Hand, owner, previous_is, text};
use crate::conformance::stage::Stage;

pub(super) const CASES: &[Case] = &[
    case!("steps/a-commit-that-is-sent-again-is-applied-once", once),
    case!(
        "steps/a-late-duplicate-of-a-commit-is-not-applied",
        late_duplicate
    ),
    case!("steps/a-commit-by-another-owner-changes-nothing", by_other),
    case!(
        "steps/a-commit-after-the-lease-ran-out-is-lost",
        after_expiry
    ),
    case!("steps/a-commit-after-the-release-is-lost", after_release),
    case!("steps/a-commit-after-a-forced-release-is-lost", after_force),
    case!(
        "steps/a-commit-under-a-token-that-was-not-granted-is-lost",
        foreign_token
    ),
    case!(
        "steps/a-commit-under-a-token-that-was-reserved-is-the-leases",
        reserved_tokens
    ),
    case!(
        "steps/a-commit-may-end-the-lease-in-the-same-step",
        and_release
    ),
    case!(
        "steps/a-commit-keeps-the-lease-if-not-told-to-end-it",
        and_keep
    ),
    case!(
        "steps/a-lost-commit-tells-the-token-of-the-last-one",
        last_commit
    ),
    case!("steps/a-value-is-kept-byte-for-byte", bytes),
    case!("steps/a-value-of-a-mebibyte-is-kept", mebibyte),
];

async fn once(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let request = hand.asks("x")?;
    let grant = hand.granted(&request).await?;
    same(
        "the value before any commit",
        &hand.peek(&request.name).await?,
        &None,
    )?;
    for _ in 0..3 {
        hand.committed(&request, &grant, 1, "one").await?;
        hand.reads(&request.name, "one").await?;
    }
    hand.committed(&request, &grant, 2, "two").await?;
    hand.reads(&request.name, "two").await?;
    HOLDS
}

async fn late_duplicate(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let request = hand.asks("x")?;
    let grant = hand.granted(&request).await?;
    hand.committed(&request, &grant, 1, "one").await?;
    hand.committed(&request, &grant, 2, "two").await?;
    hand.committed(&request, &grant, 1, "one").await?;
    hand.reads(&request.name, "two").await?;
    hand.released(&request).await?;
    // And when somebody else has written since.
    let (next, newer) = hand.next("x").await?;
    hand.committed(&next, &newer, 1, "three").await?;
    hand.fenced(&request, grant.token, 2, "two").await?;
    hand.reads(&request.name, "three").await?;
    HOLDS
}

async fn by_other(stage: Stage) -> Ran {
    let (a, b) = (stage.hand().await?, stage.hand().await?);
    let request = a.asks("x")?;
    let grant = a.granted(&request).await?;
    a.committed(&request, &grant, 1, "mine").await?;
    let mut other = request.clone();
    other.owner = owner();
    b.fenced(&other, grant.token, 2, "theirs").await?;
    a.reads(&request.name, "mine").await?;
    a.committed(&request, &grant, 2, "mine too").await?;
    HOLDS
}

/// Commits of a lease that is over are lost, before another holds the lock and while it does.
async fn stays_out(hand: &Hand, old: &lock_core::Acquire, token: FencingToken) -> Ran {
    hand.fenced(old, token, 1, "late").await?;
    let (next, grant) = hand.next("x").await?;
    same("the value that was never committed", &grant.state, &None)?;
    hand.fenced(old, token, 1, "late").await?;
    hand.committed(&next, &grant, 1, "new").await?;
    hand.fenced(old, token, 2, "late").await?;
    hand.reads(&next.name, "new").await?;
    HOLDS
}

async fn after_expiry(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let (old, grant) = hand.lapsed("x").await?;
    stays_out(&hand, &old, grant.token).await
}

async fn after_release(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let old = hand.asks("x")?;
    let grant = hand.granted(&old).await?;
    hand.released(&old).await?;
    stays_out(&hand, &old, grant.token).await
}

async fn after_force(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let old = hand.asks("x")?;
    let grant = hand.granted(&old).await?;
    hand.forced(&old.name).await?;
    stays_out(&hand, &old, grant.token).await
}

async fn foreign_token(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let request = hand.asks("x")?;
    let grant = hand.granted(&request).await?;
    let number = grant.token.get();
    for token in [number.saturating_add(1), number.saturating_sub(1)] {
        let token = FencingToken::new(token);
        hand.fenced(&request, token, 1, "not mine").await?;
    }
    hand.committed(&request, &grant, 1, "mine").await?;
    HOLDS
}

async fn and_release(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let request = hand.asks("x")?;
    let grant = hand.granted(&request).await?;
    for _ in 0..2 {
        // The second time stands for a reply that was lost: the lease has ended by it.
        let stored = hand
            .commit(&request, grant.token, 1, text("one"), Then::Release)
            .await?;
        ensure(matches!(stored, Stored::Committed { .. }), || {
            format!("a commit that ends the lease was answered {stored:?}")
        })?;
    }
    hand.not_held(&request).await?;
    hand.ended(&request).await?;
    let (_, next) = hand.next("x").await?;
    same(
        "the value of the next grant",
        &next.state,
        &Some(text("one")),
    )?;
    previous_is(&next, Previous::Released)?;
    HOLDS
}

async fn and_keep(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let request = hand.asks("x")?;
    let grant = hand.granted(&request).await?;
    hand.committed(&request, &grant, 1, "one").await?;
    hand.refused(&hand.asks("x")?).await?;
    hand.renewed(&request, &grant).await?;
    hand.released(&request).await?;
    HOLDS
}

async fn last_commit(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let old = hand.asks("x")?;
    let grant = hand.granted(&old).await?;
    hand.released(&old).await?;
    let lost = |stored: Stored| {
        let Stored::Lost { last_commit, .. } = stored else {
            return Err(Broken::new(format!(
                "a commit was to be lost, and was answered {stored:?}"
            )));
        };
        Ok(last_commit)
    };
    let stored = hand.commit(&old, grant.token, 1, text("late"), Then::Keep);
    same("the token of the last commit", &lost(stored.await?)?, &None)?;
    let (next, newer) = hand.next("x").await?;
    hand.committed(&next, &newer, 1, "new").await?;
    let stored = hand.commit(&old, grant.token, 1, text("late"), Then::Keep);
    same(
        "the token of the last commit",
        &lost(stored.await?)?,
        &Some(newer.token),
    )?;
    HOLDS
}

async fn reserved_tokens(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let mut request = hand.asks("x")?;
    request.reserve = 3;
    let grant = hand.granted(&request).await?;
    same("the tokens reserved", &grant.reserved, &3)?;
    let later = |n: u64| FencingToken::new(grant.token.get().saturating_add(n));
    let commit = async |n: u64, value: &str| {
        let state = State::new(FormatTag::JSON, value.to_owned());
        hand.commit(&request, later(n), 1, state, Then::Keep).await
    };
    for (n, value) in [(0, "first"), (2, "third")] {
        let stored = commit(n, value).await?;
        ensure(matches!(stored, Stored::Committed { .. }), || {
            format!("a commit under token {n} of a block of 3 was answered {stored:?}")
        })?;
        hand.reads(&request.name, value).await?;
        let peeked = hand.peek(&request.name).await?.map(|peeked| peeked.token);
        same("the token of the value", &peeked, &Some(later(n)))?;
    }
    for n in [1, 3] {
        let stored = commit(n, "late").await?;
        ensure(matches!(stored, Stored::Lost { .. }), || {
            format!(
                "a commit under token {n}, after token 2 of a block of 3, was answered {stored:?}"
            )
        })?;
        hand.reads(&request.name, "third").await?;
    }
    let _released = hand.release(&request).await?;
    let next = hand.granted(&hand.asks("x")?).await?;
    ensure(next.token > later(2), || {
        format!(
            "token {} was granted after {} was reserved",
            next.token,
            later(2)
        )
    })?;
    HOLDS
}

async fn bytes(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let request = hand.asks("x")?;
    let grant = hand.granted(&request).await?;
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let values: [&[u8]; 6] = [b"", b"\0", b"\0\r\n", b"1e400", b"\xff\xfe", &every_byte];
    for (sequence, value) in (1..).zip(values) {
        let format = match sequence % 2 {
            0 => FormatTag::JSON,
            _ => FormatTag::new(FormatTag::FIRST_CUSTOM),
        };
        let state = State::new(format, value.to_vec());
        let stored = hand
            .commit(&request, grant.token, sequence, state.clone(), Then::Keep)
            .await?;
        ensure(matches!(stored, Stored::Committed { .. }), || {
            format!("a commit of {value:?} was answered {stored:?}")
        })?;
        let peeked = hand.peek(&request.name).await?;
        let is_it = peeked.as_ref().is_some_and(|peeked| peeked.state == state);
        ensure(is_it, || {
            format!("{value:?} in {format} was written, and {peeked:?} read")
        })?;
    }
    HOLDS
}

async fn mebibyte(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let request = hand.asks("x")?;
    let grant = hand.granted(&request).await?;
    let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(1 << 20).collect();
    let state = State::new(FormatTag::JSON, bytes);
    let stored = hand
        .commit(&request, grant.token, 1, state.clone(), Then::Release)
        .await?;
    ensure(matches!(stored, Stored::Committed { .. }), || {
        format!("a commit of 1 MiB was answered {stored:?}")
    })?;
    let (_, next) = hand.next("x").await?;
    ensure(next.state == Some(state), || {
        format!("1 MiB was written, and {:?} read", next.state)
    })?;
    HOLDS
}
