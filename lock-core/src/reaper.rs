//! Releases what was abandoned (C7): grants that came too late for their caller, guards that were
//! dropped, leases of which it is not known whether they were granted.
//!
//! What is abandoned goes into a list that anybody may fill, inside a runtime or outside; one task a
//! client empties it. If that task's runtime is gone, the next `lock()` starts another.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tracing::Instrument;

use crate::backoff::Backoff;
use crate::call::bounded;
use crate::clock::Moment;
use crate::engine::Core;
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

/// How many releases are under way at once; the rest wait in the list.
const AT_ONCE: usize = 256;

/// Releases what is abandoned until the client is gone and nothing is left.
pub(crate) async fn run(core: Arc<Core>) {
    let mut under_way = FuturesUnordered::new();
    let mut gone = false;
    loop {
        while under_way.len() < AT_ONCE {
            let Some(abandoned) = core.graveyard.pop() else {
                break;
            };
            under_way.push(release(&core, abandoned));
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

/// Releases by owner, again and again, until the store has answered or the lease is over anyway.
async fn release(core: &Core, abandoned: Abandoned) {
    let Abandoned {
        name,
        owner,
        until,
        mut turn,
        ticket,
    } = abandoned;
    let (shortest, longest) = core.options.poll();
    let mut backoff = Backoff::new(shortest, longest);
    let span = instrument::release_span(&name, owner);
    loop {
        let call = core.backend.release(&name, owner).instrument(span.clone());
        let answer = bounded(&*core.clock, core.options.request_timeout(), call).await;
        // Whatever it was, the next local waiter need not wait for more.
        drop(turn.take());
        let now = core.clock.now();
        match answer {
            Ok(_) => break,
            Err(error) if !error.is_retryable() || now >= until => {
                instrument::abandoned_for_good(&name, owner, &error);
                break;
            }
            Err(_) => {
                let next = now.after(backoff.next(&*core.entropy)).min(until);
                core.clock.sleep_until(next).await;
            }
        }
    }
    drop(ticket);
}
