//! What a backend answers. An expected negative is an answer, not an error.

use std::fmt;
use std::time::Duration;

use crate::owner::OwnerId;
use crate::state::State;
use crate::token::FencingToken;
use crate::ttl::Ttl;

/// Answers an [`Acquire`](crate::Acquire).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Acquisition {
    /// This very owner held the lock before and released it, or was forced out: the request is a
    /// late duplicate, or its grant was ended before its reply came. Nothing was changed; whoever
    /// still wants the lock draws a new owner.
    Ended,
    /// The owner holds the lock.
    Granted(Grant),
    /// Another owner holds it, or it is reserved for another.
    Refused(Refusal),
}

/// The store's side of a lease that was just granted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// Strictly larger than any token granted for the name before (C2).
    pub token: FencingToken,
    /// How many tokens, from `token` on, are reserved for this owner.
    pub reserved: u32,
    /// How long the store will keep the lease from the moment that it decided; at least the ttl
    /// asked for.
    pub ttl: Ttl,
    /// The value last committed (C5); `None` if there is none.
    pub state: Option<State>,
    /// How the lease before this one ended (C12).
    pub previous: Previous,
    /// Whether other owners stand in line.
    pub others_wait: bool,
}

impl Grant {
    /// A grant of one token, of a name never held before and without a value.
    #[must_use]
    pub fn new(token: FencingToken, ttl: Ttl) -> Self {
        Self {
            token,
            reserved: 1,
            ttl,
            state: None,
            previous: Previous::First,
            others_wait: false,
        }
    }
}

/// Why an acquire was refused, and for how long yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// When the present lease ends if nobody renews it; `None` if it has no end (a key that another
    /// program set without one).
    pub holder_expires_in: Option<Duration>,
    /// Who holds it, for the span of whoever waits: owner, token and label, where the store can tell in
    /// the same step at little cost. `None` if it cannot, and while the lock is only reserved.
    pub holder: Option<Box<HolderInfo>>,
}

impl Refusal {
    /// Refused by a holder whose lease lasts so long yet.
    #[must_use]
    pub const fn new(holder_expires_in: Option<Duration>) -> Self {
        Self {
            holder_expires_in,
            holder: None,
        }
    }

    /// The same with who holds it; what is not known of the holder stays empty.
    #[must_use]
    pub fn by(mut self, holder: HolderInfo) -> Self {
        self.holder = Some(Box::new(holder));
        self
    }
}

/// How the lease before this one ended (C12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Previous {
    /// The holder's lease ran out: it crashed, was cut off or slept too long. What it was doing
    /// outside of the store may be half done. An owner that asks again after its own lease ran out
    /// is told so too, with its own id: the lease had an end, and whoever was let in by it may have
    /// acted. Where no such grant was handed out, as its reply came too late, nothing was begun.
    Abandoned {
        /// The owner whose lease ran out, where the store knows it.
        owner: OwnerId,
        /// Its token.
        token: FencingToken,
    },
    /// There is no record of a lease before.
    First,
    /// An operator took the lock from its holder. What it was doing may be half done.
    Forced,
    /// The holder gave it up, by a release or a commit.
    Released,
}

/// Answers a [`Renew`](crate::Renew).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Renewal {
    /// The lease ends no earlier than one ttl after the request was sent.
    Renewed {
        /// Whether other owners stand in line.
        others_wait: bool,
    },
    /// The owner does not hold the lock; nothing was changed.
    Lost {
        /// How it was lost.
        cause: LossCause,
    },
}

/// Answers a [`Commit`](crate::Commit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stored {
    /// The state is written, by this request or by an earlier one with the same token and sequence.
    Committed {
        /// Whether other owners stand in line.
        others_wait: bool,
    },
    /// The owner does not hold the lock; nothing was changed.
    Lost {
        /// How it was lost.
        cause: LossCause,
        /// The token of the last commit on the name. If it is larger than the asker's, an earlier
        /// request of the asker may have been applied and overwritten since.
        last_commit: Option<FencingToken>,
    },
}

/// Answers a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Release {
    /// The owner does not hold the lock (any more); if it stood in line, it does so no longer.
    NotHeld,
    /// The owner held the lock and does so no longer.
    Released,
}

/// How a lease was lost (C10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LossCause {
    /// The client was closed while the guard lived.
    Closed,
    /// Another owner holds the lock now.
    Displaced,
    /// The lease ran out, or its record is gone from the store.
    Expired,
    /// An operator released it by force.
    Forced,
}

impl fmt::Display for LossCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the client was closed",
            Self::Displaced => "another owner holds the lock now",
            Self::Expired => "it ran out, or its record is gone from the store",
            Self::Forced => "an operator released it by force",
        })
    }
}

/// Answers a peek: the value last committed and the token under which it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peeked {
    /// The value.
    pub state: State,
    /// The token of the commit that wrote it.
    pub token: FencingToken,
}

impl Peeked {
    /// A value and the token under which it was written.
    #[must_use]
    pub const fn new(state: State, token: FencingToken) -> Self {
        Self { state, token }
    }
}

/// Answers an inspection: what the store knows of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockInfo {
    /// The lock.
    pub name: crate::name::LockName,
    /// Who holds it now; `None` if it is free.
    pub holder: Option<HolderInfo>,
    /// The largest token granted so far, where the store knows one.
    pub last_token: Option<FencingToken>,
    /// How many owners stand in line.
    pub waiting: u64,
    /// How the last lease that is no longer in force ended.
    pub previous: Previous,
}

impl LockInfo {
    /// A name that nobody holds and that has no record.
    #[must_use]
    pub const fn free(name: crate::name::LockName) -> Self {
        Self {
            name,
            holder: None,
            last_token: None,
            waiting: 0,
            previous: Previous::First,
        }
    }
}

/// The holder as an inspection shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HolderInfo {
    /// The owner; `None` if another program than this library holds the lock.
    pub owner: Option<OwnerId>,
    /// Its token, where it has one.
    pub token: Option<FencingToken>,
    /// What it says of itself; empty if it says nothing.
    pub label: String,
    /// For how long it has held the lock, by the store's clock; `None` if the store cannot tell.
    pub held_for: Option<Duration>,
    /// When its lease ends if nobody renews it; `None` if it has no end.
    pub expires_in: Option<Duration>,
}

impl HolderInfo {
    /// A holder of whom nothing is known.
    #[must_use]
    pub const fn unknown() -> Self {
        Self {
            owner: None,
            token: None,
            label: String::new(),
            held_for: None,
            expires_in: None,
        }
    }
}

/// Answers a forced release.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForcedRelease {
    /// The lock was free.
    NotHeld,
    /// The holder lost it at this moment.
    Released(HolderInfo),
}
