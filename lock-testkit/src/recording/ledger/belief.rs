//! For how long the client believes in a lease, reckoned as lock-core does.

use std::sync::PoisonError;
use std::time::Duration;

use lock_core::LockName;

use super::super::nanos;
use super::{Inner, Ledger, Owner};
use crate::history::{Belief, History};

/// How a belief ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By a release, or a commit that releases.
    GivenUp,
    /// The store said so.
    Lost,
    /// Its validity was over.
    RanOut,
}

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
    /// Until when the client believes in a lease for which it asks now. That is a matter of the
    /// clock, and not of stamps, which may run a little ahead of it.
    pub(super) fn valid_until(&self, ttl: Duration) -> u64 {
        let now = self.recorder.clock_now().as_nanos();
        now.saturating_add(self.inner().validity(ttl))
    }

    /// Notes that the client has a grant in hand; one that came too late is not believed in.
    pub(super) fn believe(&self, owner: &mut Owner, name: &LockName, token: u64, until: u64) {
        let from = self.now();
        self.disbelieve(owner, name, Ending::Lost);
        if from < until {
            owner.belief = Some(OpenBelief { token, from, until });
        }
    }

    /// Notes that the client stops believing now, unless it did so before.
    pub(super) fn disbelieve(&self, owner: &mut Owner, name: &LockName, how: Ending) {
        let now = self.now();
        let Some(belief) = owner.belief.take() else {
            return;
        };
        let is_over = belief.until.saturating_sub(now) < SLACK_NS;
        let how = if is_over { Ending::RanOut } else { how };
        let mut endings = self.endings.lock().unwrap_or_else(PoisonError::into_inner);
        let _before = endings.insert((name.as_str().to_owned(), belief.token), how);
        drop(endings);
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

    /// The same, if it is the lease of this token that it believes in.
    pub(super) fn disbelieve_in(
        &self,
        owner: &mut Owner,
        name: &LockName,
        token: u64,
        how: Ending,
    ) {
        if owner.belief.is_some_and(|belief| belief.token == token) {
            self.disbelieve(owner, name, how);
        }
    }

    /// Adds the beliefs that have not ended, up to the end of their validity.
    pub(in super::super) fn add_beliefs(&self, history: &mut History) {
        let inner = self.inner();
        let open = inner.owners.iter();
        let open = open.filter_map(|((name, _), owner)| Some((name, owner.task, owner.belief?)));
        let mut open: Vec<_> = open.collect();
        open.sort_unstable_by_key(|(_, _, belief)| belief.from);
        for (name, task, belief) in open {
            let key = history.key(name.as_str());
            history.believe(Belief {
                key,
                client: self.client,
                task,
                token: belief.token,
                from: belief.from,
                until: belief.until,
            });
        }
    }

    /// How the belief in the lease of a token ended, if it was ended by anything but the clock yet.
    pub(crate) fn ending(&self, lock: &str, token: u64) -> Option<Ending> {
        let endings = self.endings.lock().unwrap_or_else(PoisonError::into_inner);
        endings.get(&(lock.to_owned(), token)).copied()
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

/// What follows from the end of a lease may be stamped so much before it.
const SLACK_NS: u64 = 1_000_000;
