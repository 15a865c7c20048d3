//! [`Requests`]: which messages a fault is for; [`Fault`]: what is done to them.

use std::time::Duration;

use crate::resp::Request;

/// Addresses requests by what they are, and by their number among those that are alike.
///
/// # Examples
/// ```
/// use lock_testkit::proxy::Requests;
///
/// // The second call of a script that mentions this key.
/// let requests = Requests::command("EVALSHA").containing("{stock}").skip(1);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Requests {
    command: Option<String>,
    key: Option<Vec<u8>>,
    needles: Vec<Vec<u8>>,
    skip: u64,
    take: u64,
}

impl Requests {
    /// Any request; the first one.
    pub fn any() -> Self {
        Self {
            command: None,
            key: None,
            needles: Vec::new(),
            skip: 0,
            take: 1,
        }
    }

    /// Requests of this command, in upper or lower case; the first one.
    pub fn command(name: &str) -> Self {
        Self {
            command: Some(name.to_ascii_uppercase()),
            ..Self::any()
        }
    }

    /// Only those with this first key.
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.key = Some(key.as_ref().to_vec());
        self
    }

    /// Only those with these bytes within one of their arguments; all of them if said repeatedly.
    pub fn containing(mut self, needle: impl AsRef<[u8]>) -> Self {
        self.needles.push(needle.as_ref().to_vec());
        self
    }

    /// Lets so many of them pass first.
    pub fn skip(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// So many of them in a row, instead of one.
    pub fn take(mut self, count: u64) -> Self {
        self.take = count;
        self
    }

    /// All of them.
    pub fn all(self) -> Self {
        self.take(u64::MAX)
    }

    pub(super) fn matches(&self, request: &Request) -> bool {
        let holds = |needle: &Vec<u8>| {
            request.arguments().iter().any(|argument| {
                needle.is_empty()
                    || argument
                        .windows(needle.len())
                        .any(|w| w == needle.as_slice())
            })
        };
        self.command
            .as_ref()
            .is_none_or(|command| command == request.command())
            && self
                .key
                .as_ref()
                .is_none_or(|key| request.first_key().is_some_and(|k| k == key.as_slice()))
            && self.needles.iter().all(holds)
    }

    /// Whether the request with this number among those that match, from 0, is one of them.
    pub(super) fn includes(&self, number: u64) -> bool {
        number >= self.skip && number < self.skip.saturating_add(self.take)
    }
}

/// What is done to an addressed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It is delivered twice at once; the client hears the first answer.
    DeliverTwice,
    /// It is executed and its reply withheld. What the client sends behind it on this connection is
    /// not delivered.
    DropReply(Then),
    /// It is not delivered, nor what the client sends behind it on this connection. To the client
    /// it looks the same as [`Fault::DropReply`].
    DropRequest(Then),
    /// It is executed at once; its reply, and those behind it on this connection, come late.
    HoldReply(Hold),
    /// It, and what the client sends behind it on this connection, is delivered late, even though
    /// the client has gone: the write of a zombie.
    HoldRequest(Hold),
}

/// What becomes of a connection on which a reply is missing. It cannot go on: the next reply would
/// be taken for the missing one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "a cut is seen or not")]
pub enum Then {
    /// It is closed.
    #[default]
    Close,
    /// It stays open and silent.
    Stall,
}

/// For how long a message is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a hold ends by itself or by hand")]
pub enum Hold {
    /// So long.
    For(Duration),
    /// Until [`Injected::deliver`](super::Injected::deliver).
    UntilTold,
}
