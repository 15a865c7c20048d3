//! Releases what was abandoned (C7): grants that came too late for their caller, guards that were
//! dropped, leases of which it is not known whether they were granted.
//!
//! What is abandoned goes into a list that anybody may fill, inside a runtime or outside; one task a
//! client empties it. If that task's runtime is gone, the next `lock()` starts another.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{Notify, Semaphore};
use tracing::Instrument;

use crate::backoff::Backoff;
use crate::call::bounded;
use crate::clock::Moment;
use crate::engine::Core;
use crate::hold::Hold;
use crate::instrument;
use crate::name::LockName;
use crate::outstanding::Ticket;
use crate::owner::OwnerId;
use crate::queue::Turn;

/// An acquisition that nobody waits for any more and that may hold the lock.
#[derive(Debug)]
pub(crate) struct Abandoned {
    pub(crate) name: LockName,
    pub(crate) owner: OwnerId,
    /// When the lease is over in any case.
    pub(crate) until: Moment,
    /// Keeps the next local waiter from asking before the release was sent.
    pub(crate) turn: Option<Turn>,
    #[expect(dead_code, reason = "counts as outstanding until it is dropped")]
    pub(crate) ticket: Ticket,
}

/// What waits to be released.
#[derive(Debug, Default)]
pub(crate) struct Graveyard {
    list: Mutex<VecDeque<Abandoned>>,
    filled: Notify,
}

impl Graveyard {
    /// Hands over an abandoned acquisition. Never blocks, needs no runtime.
    pub(crate) fn push(&self, abandoned: Abandoned) {
        instrument::abandoned(&abandoned.name, abandoned.owner);
        self.put(abandoned);
    }

    fn put(&self, abandoned: Abandoned) {
        self.list
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(abandoned);
        self.filled.notify_one();
    }

    fn pop(&self) -> Option<Abandoned> {
        self.list
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }
}

/// Hands over a hold that may still be held at the store.
pub(crate) fn abandon(core: &Core, hold: &Hold, turn: Option<Turn>) {
    let ttl = hold.renew_request().ttl.as_duration();
    core.graveyard.push(Abandoned {
        name: hold.name().clone(),
        owner: hold.owner(),
        until: core.clock.now().after(ttl),
        turn,
        ticket: core.outstanding.ticket(),
    });
}

/// How many release requests are under way at once.
const AT_ONCE: usize = 256;

/// Releases what is abandoned until the client is gone and nothing is left.
///
/// Only the requests are counted, so that leases of a server that does not answer, which are tried
/// again and again, hold up no others.
pub(crate) async fn run(core: Arc<Core>) {
    let requests = Semaphore::new(AT_ONCE);
    let mut under_way = FuturesUnordered::new();
    let mut gone = false;
    loop {
        while let Some(abandoned) = core.graveyard.pop() {
            let pending = Pending {
                core: &core,
                abandoned: Some(abandoned),
            };
            under_way.push(release(pending, &requests));
        }
        if gone && under_way.is_empty() {
            return;
        }
        tokio::select! {
            Some(()) = under_way.next() => {}
            () = core.graveyard.filled.notified() => {}
            () = core.gone(), if !gone => gone = true,
        }
    }
}

/// A release that is under way. If its runtime ends before it does, it goes back into the list.
struct Pending<'a> {
    core: &'a Core,
    abandoned: Option<Abandoned>,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(abandoned) = self.abandoned.take() {
            self.core.graveyard.put(abandoned);
        }
    }
}

/// Releases by owner, again and again, until the store has answered or the lease is over anyway.
async fn release(mut pending: Pending<'_>, requests: &Semaphore) {
    let core = pending.core;
    let Some(abandoned) = pending.abandoned.as_mut() else {
        return;
    };
    let (shortest, longest) = core.options.poll();
    let mut backoff = Backoff::new(shortest, longest);
    let span = instrument::release_span(&abandoned.name, abandoned.owner);
    loop {
        // CANCEL: `pending` puts it back.
        let answer = {
            // The semaphore is never closed, so this only waits.
            let _permit = requests.acquire().await;
            let call = core.backend.release(&abandoned.name, abandoned.owner);
            let call = call.instrument(span.clone());
            bounded(&*core.clock, core.options.request_timeout(), call).await
        };
        // Whatever it was, the next local waiter need not wait for more.
        drop(abandoned.turn.take());
        let now = core.clock.now();
        match answer {
            Ok(_) => break,
            Err(error) if !error.is_retryable() || now >= abandoned.until => {
                instrument::abandoned_for_good(&abandoned.name, abandoned.owner, &error);
                break;
            }
            Err(_) => {
                let next = now.after(backoff.next(&*core.entropy)).min(abandoned.until);
                core.clock.sleep_until(next).await;
            }
        }
    }
    drop(pending.abandoned.take());
}
