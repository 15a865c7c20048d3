//! What a backend is asked: one plain struct a step.

use std::time::Duration;

use crate::label::Label;
use crate::name::LockName;
use crate::owner::OwnerId;
use crate::state::State;
use crate::token::FencingToken;
use crate::ttl::Ttl;

/// Asks for the lock. Sent again under the same owner it is answered with the grant that the owner
/// already has (C6).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Acquire {
    /// The lock.
    pub name: LockName,
    /// This acquisition, for all of its attempts.
    pub owner: OwnerId,
    /// How long the grant is to last.
    pub ttl: Ttl,
    /// How many tokens to reserve, at least 1: the granted one and those that follow it. Fewer where
    /// tokens are ahead of the store's clock already, see [`reserved`](Self::reserved).
    pub reserve: u32,
    /// Who asks, for the humans who look.
    pub label: Label,
    /// Whether a refused owner is to stand in line, where the store keeps one
    /// ([`Capabilities::line`](crate::Capabilities::line)). [`release`](crate::LockBackend::release)
    /// by the same owner leaves it.
    pub stand_in_line: bool,
    /// For how long after its last use the record of an idle name is kept; `None` is for ever.
    pub forget_after: Option<Duration>,
    /// Whether a record that holds a value is kept at least as long as it would be without this
    /// request: a lock without a value must not make the store forget the one that it finds.
    pub spare_state: bool,
}

impl Acquire {
    /// Asks once, for one token, without standing in line.
    #[must_use]
    pub fn new(name: LockName, owner: OwnerId, ttl: Ttl, label: Label) -> Self {
        Self {
            name,
            owner,
            ttl,
            reserve: 1,
            label,
            stand_in_line: false,
            forget_after: None,
            spare_state: false,
        }
    }

    /// How many tokens to reserve if the granted one is so many microseconds ahead of the store's clock:
    /// so few that the last is never further ahead than it would be for a name that was never locked.
    /// What is reserved and not used would add up otherwise, and tokens that begin at the clock again,
    /// after the loss of everything, would be smaller than those before (C2).
    #[must_use]
    pub fn reserved(&self, ahead_us: u64) -> u32 {
        let ahead = u32::try_from(ahead_us).unwrap_or(u32::MAX);
        self.reserve.saturating_sub(ahead).max(1)
    }

    /// Also stands in line if refused.
    #[must_use]
    pub fn standing_in_line(mut self) -> Self {
        self.stand_in_line = true;
        self
    }
}

/// Asks to prolong one lease by its ttl from now. Never revives a lease that ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Renew {
    /// The lock.
    pub name: LockName,
    /// The owner that holds it.
    pub owner: OwnerId,
    /// The token of the grant: tells the store for which loss the cause is asked.
    pub token: FencingToken,
    /// How long the lease is to last from now.
    pub ttl: Ttl,
    /// As in [`Acquire::forget_after`].
    pub forget_after: Option<Duration>,
    /// As in [`Acquire::spare_state`].
    pub spare_state: bool,
}

impl Renew {
    /// Asks for one more ttl.
    #[must_use]
    pub fn new(name: LockName, owner: OwnerId, token: FencingToken, ttl: Ttl) -> Self {
        Self {
            name,
            owner,
            token,
            ttl,
            forget_after: None,
            spare_state: false,
        }
    }
}

/// Asks to write the state if the owner still holds the lease. The pair of `token` and `sequence`
/// identifies the commit: sent again it applies once (C6).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Commit {
    /// The lock.
    pub name: LockName,
    /// The owner that holds it.
    pub owner: OwnerId,
    /// The token of the grant.
    pub token: FencingToken,
    /// Counts the commits under this token, from 1. A smaller one than the last that was applied
    /// is a late duplicate and must not be applied again.
    pub sequence: u32,
    /// What to write.
    pub state: State,
    /// Whether the lease goes on or ends with the write.
    pub then: Then,
}

impl Commit {
    /// Asks to write this state as the `sequence`-th commit under the token.
    #[must_use]
    pub fn new(
        name: LockName,
        owner: OwnerId,
        token: FencingToken,
        sequence: u32,
        state: State,
        then: Then,
    ) -> Self {
        Self {
            name,
            owner,
            token,
            sequence,
            state,
            then,
        }
    }
}

/// What happens to the lease once the state is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Then {
    /// It goes on until its present expiry.
    Keep,
    /// It ends, in the same atomic step.
    Release,
}
