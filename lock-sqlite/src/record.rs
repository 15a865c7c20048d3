//! What is kept of one name, and what the steps make of it: pure values.

use std::time::Duration;

use lock_core::{Acquire, FencingToken, HolderInfo, LossCause, OwnerId, Previous, Ttl};

use crate::clock::{Boot, Now};

/// The id of one backend value: whom to wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientId(pub(crate) u128);

/// What is kept of one name, but for the value's bytes and the line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// The largest token granted or reserved so far.
    pub(crate) last_token: u64,
    pub(crate) lease: Option<Lease>,
    /// How the last lease that was really held ended.
    pub(crate) ended: Option<Ended>,
    /// The commit that wrote the value.
    pub(crate) written: Option<Written>,
    /// When the record is forgotten if nobody uses it, by the wall clock.
    pub(crate) forget_at_us: Option<u64>,
}

/// A lease, or the reservation of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) owner: OwnerId,
    pub(crate) client: ClientId,
    /// `None` while the lock is only reserved for the owner and not claimed yet.
    pub(crate) tokens: Option<Tokens>,
    pub(crate) boot: Boot,
    pub(crate) since_ns: u64,
    pub(crate) expires_ns: u64,
    pub(crate) label: String,
}

/// The tokens of one grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) first: u64,
    pub(crate) count: u32,
}

impl Tokens {
    fn covers(self, token: FencingToken) -> bool {
        token
            .get()
            .checked_sub(self.first)
            .is_some_and(|ahead| ahead < u64::from(self.count))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) owner: OwnerId,
    pub(crate) tokens: Tokens,
    pub(crate) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Expired,
    Forced,
    Released,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) token: FencingToken,
    pub(crate) sequence: u32,
}

impl Lease {
    fn is_over(&self, now: &Now) -> bool {
        // Whoever held it in an earlier boot is gone.
        self.boot != now.boot || now.ns >= self.expires_ns
    }

    pub(crate) fn left(&self, now: &Now) -> Duration {
        Duration::from_nanos(self.expires_ns.saturating_sub(now.ns))
    }

    pub(crate) fn info(&self, now: &Now) -> HolderInfo {
        let mut info = HolderInfo::unknown();
        info.owner = Some(self.owner);
        info.token = self.tokens.map(|tokens| FencingToken::new(tokens.first));
        info.label.clone_from(&self.label);
        info.held_for = Some(Duration::from_nanos(now.ns.saturating_sub(self.since_ns)));
        info.expires_in = Some(self.left(now));
        info
    }
}

impl Record {
    /// Takes out of it what the clock has ended.
    pub(crate) fn settle(&mut self, now: &Now) {
        if self.lease.as_ref().is_some_and(|lease| lease.is_over(now)) {
            self.end(How::Expired);
        }
    }

    /// Whether its time has come. One whose lease is in force is in use, whatever the wall clock says.
    pub(crate) fn is_forgotten(&self, now: &Now) -> bool {
        self.lease.is_none() && self.forget_at_us.is_some_and(|at| now.wall_us >= at)
    }

    /// Ends the lease; a reservation that nobody claimed ends without a trace.
    pub(crate) fn end(&mut self, how: How) {
        if let Some(Lease {
            owner,
            tokens: Some(tokens),
            ..
        }) = self.lease.take()
        {
            self.ended = Some(Ended { owner, tokens, how });
        }
    }

    /// Whether the owner has given the lock up or was forced out: what it sends now is late.
    pub(crate) fn has_ended(&self, owner: OwnerId) -> bool {
        !self.is_for(owner)
            && self
                .ended
                .is_some_and(|ended| ended.owner == owner && ended.how != How::Expired)
    }

    /// Whether the owner holds the lock or has it reserved.
    pub(crate) fn is_for(&self, owner: OwnerId) -> bool {
        self.lease
            .as_ref()
            .is_some_and(|lease| lease.owner == owner)
    }

    /// Whether the owner holds the lock.
    pub(crate) fn owns(&self, owner: OwnerId) -> bool {
        self.holder().is_some_and(|lease| lease.owner == owner)
    }

    /// The lease that somebody holds; nobody holds what is only reserved.
    pub(crate) fn holder(&self) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| lease.tokens.is_some())
    }

    /// Whether the lease in force is the very grant of this token. The owner alone does not say so:
    /// an acquire that was held up on its way may have granted the lock to an owner that is long done
    /// with it.
    pub(crate) fn owns_as(&self, owner: OwnerId, token: FencingToken) -> bool {
        self.lease.as_ref().is_some_and(|lease| {
            lease.owner == owner && lease.tokens.is_some_and(|tokens| tokens.covers(token))
        })
    }

    /// How the lease with this token was lost.
    pub(crate) fn cause(&self, token: FencingToken) -> LossCause {
        match (self.ended, &self.lease) {
            (
                Some(Ended {
                    tokens,
                    how: How::Forced,
                    ..
                }),
                _,
            ) if tokens.covers(token) => LossCause::Forced,
            (_, Some(_)) => LossCause::Displaced,
            (_, None) => LossCause::Expired,
        }
    }

    pub(crate) fn previous(&self) -> Previous {
        match self.ended {
            None => Previous::First,
            Some(Ended {
                owner,
                tokens,
                how: How::Expired,
            }) => Previous::Abandoned {
                owner,
                token: FencingToken::new(tokens.first),
            },
            Some(Ended {
                how: How::Forced, ..
            }) => Previous::Forced,
            Some(Ended {
                how: How::Released, ..
            }) => Previous::Released,
        }
    }

    /// Grants the lock to an owner, or answers one that has it with the grant that it has.
    pub(crate) fn grant(&mut self, request: &Acquire, client: ClientId, now: &Now) -> Tokens {
        let before = self
            .lease
            .take()
            .filter(|lease| lease.owner == request.owner && lease.tokens.is_some());
        let since_ns = before.as_ref().map_or(now.ns, |lease| lease.since_ns);
        let tokens = before.and_then(|lease| lease.tokens).unwrap_or_else(|| {
            // max(clock in µs, last + 1): it increases though the file be lost (C2).
            let first = now.wall_us.max(self.last_token.saturating_add(1));
            let count = request.reserved(first.saturating_sub(now.wall_us));
            self.last_token = first.saturating_add(u64::from(count)).saturating_sub(1);
            Tokens { first, count }
        });
        self.lease = Some(Lease {
            owner: request.owner,
            client,
            tokens: Some(tokens),
            boot: now.boot,
            since_ns,
            expires_ns: now.ns_after(request.ttl.as_duration()),
            label: request.label.as_str().to_owned(),
        });
        self.keep(request.forget_after, request.spare_state, request.ttl, now);
        tokens
    }

    /// Keeps the lock for the first in line.
    pub(crate) fn reserve(&mut self, owner: OwnerId, client: ClientId, claim: Duration, now: &Now) {
        self.lease = Some(Lease {
            owner,
            client,
            tokens: None,
            boot: now.boot,
            since_ns: now.ns,
            expires_ns: now.ns_after(claim),
            label: String::new(),
        });
    }

    /// Lets the lease last one ttl from now.
    pub(crate) fn prolong(&mut self, ttl: Ttl, now: &Now) {
        if let Some(lease) = &mut self.lease {
            lease.expires_ns = now.ns_after(ttl.as_duration());
        }
    }

    /// Sets when the record is forgotten: never before the clock has passed its last token.
    /// A value that is to be spared is not forgotten sooner than without this.
    pub(crate) fn keep(
        &mut self,
        forget_after: Option<Duration>,
        spare_state: bool,
        ttl: Ttl,
        now: &Now,
    ) {
        let at = forget_after.map(|idle| {
            let idle = ttl.as_duration().saturating_add(idle);
            let idle_us = u64::try_from(idle.as_micros()).unwrap_or(u64::MAX);
            let passed = self.last_token.saturating_add(1);
            let at = now.wall_us.saturating_add(idle_us).max(passed);
            // The store keeps signed numbers.
            at.min(i64::MAX.unsigned_abs())
        });
        self.forget_at_us = if spare_state && self.written.is_some() {
            self.forget_at_us.zip(at).map(|(before, at)| before.max(at))
        } else {
            at
        };
    }
}

#[cfg(test)]
mod tests;
