//! Futures of steps that are dropped, and many steps at once.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use lock_core::{Acquire, Commit, Grant, LockBackend, Renew, Then, Ttl};

use crate::conformance::case::{Broken, Case, HOLDS, Outcome, Ran, case, ensure};
use crate::conformance::hand::{Hand, LONG, SHORT, text};
use crate::conformance::stage::{Line, Stage};

pub(super) const CASES: &[Case] = &[
    case!(
        "steps/an-acquire-dropped-at-every-poll-leaves-the-client-usable",
        acquire
    ),
    case!(
        "steps/a-renewal-dropped-at-every-poll-leaves-the-client-usable",
        renew
    ),
    case!(
        "steps/a-commit-dropped-at-every-poll-is-applied-or-not",
        commit
    ),
    case!(
        "steps/a-release-dropped-at-every-poll-happens-or-not",
        release
    ),
    case!(
        "steps/a-peek-dropped-at-every-poll-leaves-the-client-usable",
        peek
    ),
    case!("steps/a-hundred-tasks-share-one-client", shared),
];

/// A client on a network on which a message takes a while, so that there are many moments to be
/// dropped at.
async fn slow(stage: &Stage) -> Result<(Hand, Line), Broken> {
    let (backend, line) = stage.behind_a_line().await?;
    line.slow(Duration::from_millis(1));
    Ok((Hand::new(stage.clone(), backend), line))
}

/// Begins the step again and again under names of its own, drops it one poll later each time, and
/// looks after each drop, until it gets through.
async fn at_every_poll<S, F, T, L>(
    stage: &Stage,
    hand: &Hand,
    mut step: impl FnMut(Arc<dyn LockBackend>, Acquire, Option<Grant>) -> S,
    is_held_before: bool,
    mut look: L,
) -> Ran
where
    S: Future<Output = T>,
    F: Future<Output = Result<(), Broken>>,
    L: FnMut(Acquire, Option<Grant>, bool) -> F,
{
    for polls in 0..POLLS_MAX {
        let name = format!("x{polls}");
        let ttl = if is_held_before { LONG } else { SHORT };
        let request = hand.asks_for(&name, ttl)?;
        let grant = match is_held_before {
            true => Some(hand.granted(&request).await?),
            false => None,
        };
        let future = step(Arc::clone(&hand.backend), request.clone(), grant.clone());
        let is_through = stage.dropped_after(polls, future).await.is_some();
        let looked = stage.in_time("an answer after a drop", look(request, grant, is_through));
        looked.await?.map_err(|broken| {
            Broken::new(format!("dropped after {polls} polls: {}", broken.message))
        })?;
        if is_through {
            return Ok(Outcome::Passed(Some(format!("{polls} polls"))));
        }
    }
    Err(Broken::new(format!(
        "it was not through after {POLLS_MAX} polls"
    )))
}

async fn acquire(stage: Stage) -> Ran {
    let (hand, _line) = slow(&stage).await?;
    let step = |backend: Arc<dyn LockBackend>, request: Acquire, _| async move {
        backend.acquire(&request).await
    };
    let look = |request: Acquire, _, _| {
        let hand = hand.clone();
        async move {
            hand.release(&request).await?;
            // What was sent may arrive after the release, and then ends with its ttl.
            let mut next = request.clone();
            next.owner = crate::conformance::hand::owner();
            hand.granted_in_time(&next).await.map(drop)
        }
    };
    at_every_poll(&stage, &hand, step, false, look).await
}

async fn renew(stage: Stage) -> Ran {
    let (hand, _line) = slow(&stage).await?;
    let ttl = Ttl::new(LONG)?;
    let step = move |backend: Arc<dyn LockBackend>, request: Acquire, grant: Option<Grant>| async move {
        let token = grant.map(|grant| grant.token)?;
        let renew = Renew::new(request.name, request.owner, token, ttl);
        Some(backend.renew(&[renew]).await)
    };
    let look = |request: Acquire, grant: Option<Grant>, _| {
        let hand = hand.clone();
        async move {
            if let Some(grant) = grant {
                hand.renewed(&request, &grant).await?;
            }
            hand.released(&request).await
        }
    };
    at_every_poll(&stage, &hand, step, true, look).await
}

async fn commit(stage: Stage) -> Ran {
    let (hand, _line) = slow(&stage).await?;
    let step = |backend: Arc<dyn LockBackend>, request: Acquire, grant: Option<Grant>| async move {
        let token = grant.map(|grant| grant.token)?;
        let (name, owner) = (request.name, request.owner);
        let commit = Commit::new(name, owner, token, 1, text("one"), Then::Keep);
        Some(backend.commit(&commit).await)
    };
    let look = |request: Acquire, grant: Option<Grant>, is_through: bool| {
        let hand = hand.clone();
        async move {
            let found = hand.peek(&request.name).await?;
            let is_right = match &found {
                None => !is_through,
                Some(found) => found.state == text("one"),
            };
            ensure(is_right, || format!("the value is {found:?}"))?;
            if let Some(grant) = grant {
                hand.committed(&request, &grant, 2, "two").await?;
                hand.reads(&request.name, "two").await?;
            }
            hand.released(&request).await
        }
    };
    at_every_poll(&stage, &hand, step, true, look).await
}

async fn release(stage: Stage) -> Ran {
    let (hand, _line) = slow(&stage).await?;
    let step = |backend: Arc<dyn LockBackend>, request: Acquire, _| async move {
        backend.release(&request.name, request.owner).await
    };
    let look = |request: Acquire, _, _| {
        let hand = hand.clone();
        async move {
            hand.release(&request).await?;
            let mut next = request.clone();
            next.owner = crate::conformance::hand::owner();
            let grant = hand.granted(&next).await?;
            hand.renewed(&next, &grant).await
        }
    };
    at_every_poll(&stage, &hand, step, true, look).await
}

async fn peek(stage: Stage) -> Ran {
    let (hand, _line) = slow(&stage).await?;
    let step = |backend: Arc<dyn LockBackend>, request: Acquire, _| async move {
        backend.peek(&request.name).await
    };
    let look = |request: Acquire, _, _| {
        let hand = hand.clone();
        async move {
            hand.peek(&request.name).await?;
            hand.released(&request).await
        }
    };
    at_every_poll(&stage, &hand, step, true, look).await
}

async fn shared(stage: Stage) -> Ran {
    let hand = stage.hand().await?;
    let task = |at: u32| {
        let hand = hand.clone();
        async move {
            let request = hand.asks(&format!("x{at}"))?;
            let grant = hand.granted(&request).await?;
            let value = format!("{at}");
            hand.committed(&request, &grant, 1, &value).await?;
            hand.reads(&request.name, &value).await?;
            hand.renewed(&request, &grant).await?;
            hand.released(&request).await
        }
    };
    let tasks = stream::iter((0..100).map(task)).buffer_unordered(100);
    let _done: Vec<()> = tasks.try_collect().await?;
    HOLDS
}

const POLLS_MAX: u32 = 5_000;
