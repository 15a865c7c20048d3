//! Whether a lease passes to the next waiter of this process or back to the store: a pure decision.

use std::time::Duration;

use crate::clock::Moment;
use crate::options::LockOptions;
use crate::token::FencingToken;

/// How far a lease was handed on inside this process, and how far it may be yet (C9).
///
/// The bound counts from the grant, so that nobody need know whether other processes wait: they do
/// not wait for longer than it, and a process that is alone pays one more grant for each block of
/// tokens.
///
/// # Invariants
/// 1. Each token is the next of the block that the grant reserved, so each is used once (C2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relay {
    granted_at: Moment,
    /// The largest token of the block.
    last: FencingToken,
}

impl Relay {
    /// For a grant that came at this moment, with so many tokens from this one on.
    pub(crate) fn new(granted_at: Moment, token: FencingToken, reserved: u32) -> Self {
        let more = u64::from(reserved.saturating_sub(1));
        Self {
            granted_at,
            last: FencingToken::new(token.get().saturating_add(more)),
        }
    }

    /// The token under which the lease may pass on after this one; `None` if it must be given back:
    /// the block is used up, it was handed on for long enough, or it is near its end.
    pub(crate) fn next(
        &self,
        token: FencingToken,
        now: Moment,
        valid_until: Moment,
        options: &LockOptions,
    ) -> Option<FencingToken> {
        let next = FencingToken::new(token.get().checked_add(1)?);
        let is_early = now.since(self.granted_at) < options.handover().1;
        (next <= self.last && is_early && is_far_from_end(now, valid_until, options))
            .then_some(next)
    }
}

impl Relay {
    /// Whether more may be added to what is to be written: that is no hand-over and needs no token.
    pub(crate) fn may_gather(
        &self,
        now: Moment,
        valid_until: Moment,
        options: &LockOptions,
    ) -> bool {
        let longest = options.handover().1;
        now.since(self.granted_at) < longest && is_far_from_end(now, valid_until, options)
    }
}

/// Whoever is given a lease should have time to use it, also if the next renewal fails.
fn is_far_from_end(now: Moment, valid_until: Moment, options: &LockOptions) -> bool {
    valid_until.since(now) > options.validity() / 2
}

/// How many tokens to reserve, if the lease is likely to pass on or not. Where it is not one will do:
/// what is reserved and not used runs ahead of the store's clock.
pub(crate) fn reserve(is_wanted: bool, options: &LockOptions) -> u32 {
    let (times, longest) = options.handover();
    if !is_wanted || longest == Duration::ZERO {
        return 1;
    }
    times.saturating_add(1)
}

#[cfg(test)]
mod tests;
