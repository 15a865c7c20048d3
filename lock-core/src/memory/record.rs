//! What the memory store keeps of one name, and what the steps do with it.

use std::collections::VecDeque;
use std::time::Duration;

use super::ClientId;
use crate::answer::{Grant, HolderInfo, LockInfo, LossCause, Previous};
use crate::clock::Moment;
use crate::label::Label;
use crate::name::LockName;
use crate::owner::OwnerId;
use crate::request::Acquire;
use crate::state::State;
use crate::token::FencingToken;
use crate::ttl::Ttl;

/// What is kept of one name.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) lease: Option<Held>,
    /// The largest token granted or reserved so far.
    pub(super) last_token: u64,
    /// How the last lease that was really held ended.
    pub(super) ended: Option<Ended>,
    pub(super) state: Option<Written>,
    pub(super) line: VecDeque<(OwnerId, ClientId)>,
    /// When the record is forgotten if nobody uses it.
    pub(super) forget_at: Option<Moment>,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) owner: OwnerId,
    pub(super) client: ClientId,
    /// `None` while the lock is only reserved for the owner and not claimed yet.
    pub(super) token: Option<FencingToken>,
    pub(super) reserved: u32,
    pub(super) since: Moment,
    pub(super) expires: Moment,
    pub(super) label: Label,
}

impl Held {
    /// Whether a token is the grant's, or one of those reserved with it.
    fn covers(&self, token: FencingToken) -> bool {
        self.token
            .is_some_and(|first| in_block(first, self.reserved, token))
    }
}

/// Whether a token is the first of a block, or one of those reserved with it.
fn in_block(first: FencingToken, reserved: u32, token: FencingToken) -> bool {
    let nth = token.get().checked_sub(first.get());
    nth.is_some_and(|nth| nth < u64::from(reserved.max(1)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) owner: OwnerId,
    pub(super) token: FencingToken,
    pub(super) reserved: u32,
    pub(super) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Expired,
    Forced,
    Released,
}

#[derive(Debug)]
pub(super) struct Written {
    pub(super) state: State,
    pub(super) token: FencingToken,
    pub(super) sequence: u32,
}

impl Record {
    pub(super) fn owns(&self, owner: OwnerId) -> bool {
        self.lease
            .as_ref()
            .is_some_and(|lease| lease.owner == owner && lease.token.is_some())
    }

    /// Whether the lease in force is this very grant. The owner alone does not say so: an acquire
    /// that was held up on its way may have granted the lock to an owner that is long done with it.
    pub(super) fn owns_as(&self, owner: OwnerId, token: FencingToken) -> bool {
        self.lease
            .as_ref()
            .is_some_and(|lease| lease.owner == owner && lease.covers(token))
    }

    /// Ends the lease; a reservation that nobody claimed ends without a trace.
    pub(super) fn end(&mut self, how: How) {
        if let Some(Held {
            owner,
            token: Some(token),
            reserved,
            ..
        }) = self.lease.take()
        {
            self.ended = Some(Ended {
                owner,
                token,
                reserved,
                how,
            });
        }
    }

    pub(super) fn previous(&self) -> Previous {
        match self.ended {
            None => Previous::First,
            Some(Ended {
                owner,
                token,
                how: How::Expired,
                ..
            }) => Previous::Abandoned { owner, token },
            Some(Ended {
                how: How::Forced, ..
            }) => Previous::Forced,
            Some(Ended {
                how: How::Released, ..
            }) => Previous::Released,
        }
    }

    /// How the lease with this token was lost.
    pub(super) fn cause(&self, token: FencingToken) -> LossCause {
        match (self.ended, &self.lease) {
            (
                Some(Ended {
                    token: first,
                    reserved,
                    how: How::Forced,
                    ..
                }),
                _,
            ) if in_block(first, reserved, token) => LossCause::Forced,
            (_, Some(_)) => LossCause::Displaced,
            (_, None) => LossCause::Expired,
        }
    }

    /// Grants the lock to an owner, or answers one that has it with the grant that it has.
    pub(super) fn grant(&mut self, request: &Acquire, client: ClientId, now: Moment) -> Grant {
        let before = self
            .lease
            .take()
            .filter(|lease| lease.owner == request.owner);
        let since = before.as_ref().map_or(now, |lease| lease.since);
        let (token, reserved) = match before {
            Some(Held {
                token: Some(token),
                reserved,
                ..
            }) => (token, reserved),
            _ => {
                // max(clock in µs, last + 1): it increases though the record be forgotten (C2).
                let clock_us = now.as_nanos() / 1000;
                let token = clock_us.max(self.last_token.saturating_add(1));
                let reserved = request.reserved(token.saturating_sub(clock_us));
                self.last_token = token.saturating_add(u64::from(reserved)).saturating_sub(1);
                (FencingToken::new(token), reserved)
            }
        };
        self.line.retain(|(owner, _)| *owner != request.owner);
        self.lease = Some(Held {
            owner: request.owner,
            client,
            token: Some(token),
            reserved,
            since,
            expires: now.after(request.ttl.as_duration()),
            label: request.label.clone(),
        });
        self.keep(request.forget_after, request.spare_state, request.ttl, now);
        let mut grant = Grant::new(token, request.ttl);
        grant.reserved = reserved;
        grant.state = self.state.as_ref().map(|written| written.state.clone());
        grant.previous = self.previous();
        grant.others_wait = !self.line.is_empty();
        grant
    }

    /// Sets when the record is forgotten: never before the clock has passed its last token.
    /// A value that is to be spared is not forgotten sooner than without this.
    pub(super) fn keep(
        &mut self,
        forget_after: Option<Duration>,
        spare_state: bool,
        ttl: Ttl,
        now: Moment,
    ) {
        let passed = Moment::from_nanos(self.last_token.saturating_add(1).saturating_mul(1000));
        let at = forget_after.map(|idle| now.after(ttl.as_duration()).after(idle).max(passed));
        self.forget_at = if spare_state && self.state.is_some() {
            self.forget_at.zip(at).map(|(before, at)| before.max(at))
        } else {
            at
        };
    }

    pub(super) fn info(&self, name: &LockName, now: Moment) -> LockInfo {
        LockInfo {
            name: name.clone(),
            holder: self
                .lease
                .as_ref()
                .filter(|l| l.token.is_some())
                .map(|l| l.info(now)),
            last_token: (self.last_token > 0).then(|| FencingToken::new(self.last_token)),
            waiting: u64::try_from(self.line.len()).unwrap_or(u64::MAX),
            previous: self.previous(),
        }
    }
}

impl Held {
    pub(super) fn info(&self, now: Moment) -> HolderInfo {
        HolderInfo {
            owner: Some(self.owner),
            token: self.token,
            label: self.label.as_str().to_owned(),
            held_for: Some(now.since(self.since)),
            expires_in: Some(self.expires.since(now)),
        }
    }
}
