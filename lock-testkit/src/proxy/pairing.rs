//! [`Pairing`]: which reply belongs to which request of a connection.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::Notify;

use super::fate::Hit;
use super::lock;
use super::requests::Then;
use crate::resp::{Reply, Request};

/// What a connection still waits for, in the order of its requests.
#[derive(Default)]
pub(super) struct Pairing {
    state: Mutex<State>,
    /// Tells the reader of replies that a cut was queued: no bytes may come any more to wake it.
    cut: Notify,
}

#[derive(Default)]
struct State {
    expected: VecDeque<Expected>,
    /// Subscriptions are confirmed by pushes, in a line of their own.
    confirmations: VecDeque<(String, Option<Hit>)>,
    /// In RESP2 pushes are arrays like any other, so they are looked at once a connection
    /// subscribed.
    subscribed: bool,
}

/// One expected reply.
pub(super) enum Expected {
    /// No reply comes: the connection is cut here.
    Cut(Then),
    /// The reply to a request.
    Reply(Option<Hit>),
    /// The reply to the second delivery of a request, which nobody waits for.
    Second,
}

/// What a message of the server is.
pub(super) enum Paired {
    /// The reply to a request, or the confirmation of a subscription; hit by a fault or not.
    Reply(Option<Hit>),
    /// The reply to the second delivery of a request.
    Second,
    /// Asked for by nobody: a push, or a farewell.
    Unasked,
}

impl Pairing {
    /// Takes note of a request that is about to be forwarded.
    pub(super) fn expect(&self, request: &Request, hit: Option<Hit>) {
        let mut state = lock(&self.state);
        if !request.command().ends_with("SUBSCRIBE") {
            state.expected.push_back(Expected::Reply(hit));
            return;
        }
        state.subscribed = true;
        let kind = request.command().to_ascii_lowercase();
        // One confirmation for each channel. How many an unsubscription of everything gets is not
        // known here; what comes beyond the first passes as a push.
        for _ in 1..request.arguments().len() {
            state.confirmations.push_back((kind.clone(), None));
        }
        state.confirmations.push_back((kind, hit));
    }

    /// Takes note that the request before is delivered a second time.
    pub(super) fn expect_second(&self) {
        lock(&self.state).expected.push_back(Expected::Second);
    }

    /// Takes note that the connection is cut behind what is expected already.
    pub(super) fn cut_here(&self, then: Then) {
        lock(&self.state).expected.push_back(Expected::Cut(then));
        self.cut.notify_one();
    }

    /// Whether the connection is cut here: everything before was answered.
    pub(super) fn cut(&self) -> Option<Then> {
        match lock(&self.state).expected.front() {
            Some(Expected::Cut(then)) => Some(*then),
            Some(Expected::Reply(_) | Expected::Second) | None => None,
        }
    }

    /// Waits until a cut was queued.
    pub(super) async fn cut_queued(&self) {
        self.cut.notified().await;
    }

    /// Says to what a message of the server belongs (invariant 2 of the proxy).
    pub(super) fn pair(&self, message: &Bytes) -> Paired {
        let mut state = lock(&self.state);
        if let Some(kind) = push_kind(message, state.subscribed) {
            let confirms = |(expected, _): &(String, Option<Hit>)| *expected == kind;
            if state.confirmations.front().is_some_and(confirms) {
                let hit = state.confirmations.pop_front().and_then(|(_, hit)| hit);
                return Paired::Reply(hit);
            }
            return Paired::Unasked;
        }
        match state.expected.pop_front() {
            Some(Expected::Reply(hit)) => Paired::Reply(hit),
            Some(Expected::Second) => Paired::Second,
            Some(cut @ Expected::Cut(_)) => {
                state.expected.push_front(cut);
                Paired::Unasked
            }
            None => Paired::Unasked,
        }
    }
}

/// The kind of a push, `message` or `subscribe` say; `None` for a reply.
fn push_kind(message: &Bytes, subscribed: bool) -> Option<String> {
    let resp3 = message.first() == Some(&b'>');
    let maybe = resp3 || (subscribed && message.first() == Some(&b'*'));
    let reply = maybe.then(|| Reply::read(message).ok()).flatten();
    let kind = reply.and_then(|reply| reply.items().first()?.text());
    if resp3 {
        return Some(kind.unwrap_or_default());
    }
    kind.filter(|kind| kind.ends_with("subscribe") || kind.ends_with("message"))
}
