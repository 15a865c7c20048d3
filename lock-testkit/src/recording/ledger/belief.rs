//! For how long the client believes in a lease, reckoned as lock-core does.

use std::time::Duration;

use lock_core::LockName;

use super::super::nanos;
use super::{Inner, Ledger, Owner};
use crate::history::Belief;

/// A lease that the client believes in, until something ends it.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenBelief {
    token: u64,
    from: u64,
    until: u64,
}

impl Inner {
    /// For how long a client believes in a lease of this ttl, from before its request was sent.
    fn validity(&self, ttl: Duration) -> u64 {
        let by_default = (ttl / 50).saturating_add(Duration::from_millis(5));
        let allowance = self.drift_allowance.unwrap_or(by_default);
        nanos(ttl.saturating_sub(allowance))
    }
}

impl Ledger {
    /// Until when the client believes in a lease that it asked for at `sent`.
    pub(super) fn valid_until(&self, sent: u64, ttl: Duration) -> u64 {
        sent.saturating_add(self.inner().validity(ttl))
    }

    /// Notes that the client has a grant in hand; one that came too late is not believed in.
    pub(super) fn believe(&self, owner: &mut Owner, name: &LockName, token: u64, until: u64) {
        let from = self.now();
        self.disbelieve(owner, name);
        if from < until {
            owner.belief = Some(OpenBelief { token, from, until });
        }
    }

    /// Notes that the client stops believing now, unless it did so before.
    pub(super) fn disbelieve(&self, owner: &mut Owner, name: &LockName) {
        let now = self.now();
        self.end_belief(owner, name, now);
    }

    /// The same, if it is the lease of this token that it believes in.
    pub(super) fn disbelieve_in(&self, owner: &mut Owner, name: &LockName, token: u64) {
        if owner.belief.is_some_and(|belief| belief.token == token) {
            self.disbelieve(owner, name);
        }
    }

    fn end_belief(&self, owner: &mut Owner, name: &LockName, now: u64) {
        let Some(belief) = owner.belief.take() else {
            return;
        };
        let (client, task) = (self.client, owner.task);
        self.recorder.believe(name.as_str(), |key| Belief {
            key,
            client,
            task,
            token: belief.token,
            from: belief.from,
            until: belief.until.min(now),
        });
    }

    /// Notes all beliefs that have not ended, up to the end of their validity.
    pub(in super::super) fn finish(&self) {
        let mut inner = self.inner();
        for ((name, _), owner) in &mut inner.owners {
            self.end_belief(owner, name, u64::MAX);
        }
    }
}

impl Owner {
    /// The store prolonged the lease of this token, unless the client thought it over by then.
    pub(super) fn prolong(&mut self, token: u64, now: u64, until: u64) {
        if let Some(belief) = &mut self.belief
            && belief.token == token
            && now < belief.until
        {
            belief.until = belief.until.max(until);
        }
    }
}
