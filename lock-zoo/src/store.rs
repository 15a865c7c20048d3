//! A small store that keeps the contract in its plainest form, and a [`Defect`] for each place where
//! real code goes wrong.
//!
//! It is written apart from lock-core's reference backend, so that a mistake of one is not a mistake
//! of both. Every step is one action under one mutex; a defect that takes a step apart waits between
//! its parts. With [`Defect::None`] it is right: the same plans that kill its broken sisters must
//! pass on it.

mod defect;
mod record;
mod steps;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_core::{
    Acquire, Acquisition, Capabilities, Clock, Commit, Durability, FencingToken, Grant,
    LockBackend, LockName, LossCause, Moment, OwnerId, Refusal, Renew, Renewal,
};
use lock_testkit::subject::{ServerFault, Store};
use tokio::sync::mpsc;

pub use defect::Defect;
use record::{Lease, Record};

/// A store of this process, with its defect.
#[derive(Clone)]
pub struct ZooStore {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    defect: Defect,
    has_line: bool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    records: BTreeMap<String, Record>,
    /// What a replica knows, which lags behind.
    replica: BTreeMap<String, Record>,
    replicated: Option<Moment>,
    watchers: BTreeMap<String, Vec<(u32, mpsc::Sender<()>)>>,
    steps: u64,
}

impl fmt::Debug for ZooStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZooStore")
            .field("defect", &self.shared.defect)
            .finish_non_exhaustive()
    }
}

impl ZooStore {
    /// A fresh store with this defect.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, defect: Defect, has_line: bool) -> Self {
        Self {
            shared: Arc::new(Shared {
                clock,
                defect,
                has_line,
                inner: Mutex::default(),
            }),
        }
    }

    /// What such a store promises.
    #[must_use]
    pub fn capabilities(has_line: bool) -> Capabilities {
        let mut capabilities = Capabilities::none();
        capabilities.push = true;
        capabilities.line = has_line;
        capabilities.durability = Durability::Failover;
        capabilities
    }
}

impl Store for ZooStore {
    fn client(&self, number: u32) -> Arc<dyn LockBackend> {
        Arc::new(Handle {
            shared: Arc::clone(&self.shared),
            client: number,
        })
    }

    fn suffer(&self, fault: &ServerFault) -> bool {
        let defect = self.shared.defect;
        let mut inner = self.shared.lock();
        match fault {
            ServerFault::FailOver if defect == Defect::ReplicaLags => {
                inner.records = inner.replica.clone();
            }
            ServerFault::Kill { .. } if defect == Defect::ForgetsAtRestart => inner.records.clear(),
            ServerFault::Kill { .. } if defect == Defect::ForgetsValueAtRestart => {
                for record in inner.records.values_mut() {
                    record.forget_value();
                }
            }
            // It keeps what it acknowledged.
            ServerFault::FailOver | ServerFault::Kill { .. } => {}
            _ => return false,
        }
        true
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    async fn pause(&self, length: Duration) {
        self.clock.sleep_until(self.clock.now().after(length)).await;
    }
}

/// The store as one client sees it.
struct Handle {
    shared: Arc<Shared>,
    client: u32,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.client).finish()
    }
}

impl Drop for Handle {
    /// A client that is gone stands in no line. Its lease goes on until its time is over.
    fn drop(&mut self) {
        let ends = self.shared.is(Defect::LeaseEndsWithConnection);
        let mut inner = self.shared.lock();
        for record in inner.records.values_mut() {
            record.line.retain(|(_, client)| *client != self.client);
            let is_mine = record
                .lease
                .as_ref()
                .is_some_and(|l| l.client == self.client);
            if ends && is_mine {
                record.lease = None;
            }
        }
    }
}

impl Handle {
    fn is(&self, defect: Defect) -> bool {
        self.shared.is(defect)
    }

    /// Where the record of a name is.
    fn key(&self, name: &LockName) -> String {
        let name = name.as_str();
        match self.shared.defect {
            Defect::FoldsCase => name.to_lowercase(),
            Defect::HashesNames => {
                let hash = name
                    .bytes()
                    .fold(0_u32, |sum, b| sum.wrapping_add(b.into()));
                (hash % 2).to_string()
            }
            _ => name.to_owned(),
        }
    }

    /// Where the value of a name is: in its record.
    fn value_key(&self, name: &LockName) -> String {
        match self.shared.defect {
            Defect::FoldsCaseOfValues => name.as_str().to_lowercase(),
            _ => self.key(name),
        }
    }

    /// Whom the store takes an owner for.
    fn owner(&self, owner: OwnerId) -> OwnerId {
        match self.shared.defect {
            Defect::OwnerIsClient => OwnerId::from_bits(u128::from(self.client).saturating_add(1)),
            _ => owner,
        }
    }

    /// The store's clock; with a defect, that of the client.
    fn now(&self) -> Moment {
        self.shared.clock.now()
    }

    fn client_now(&self) -> Moment {
        let ahead = Duration::from_millis(u64::from(self.client % 4).saturating_mul(70));
        self.now().after(ahead)
    }

    fn look<'a>(&self, inner: &'a mut Inner, key: &str) -> &'a mut Record {
        inner.steps = inner.steps.saturating_add(1);
        let now = self.now();
        if inner.replicated.is_none_or(|at| now.since(at) >= LAG) {
            inner.replica = inner.records.clone();
            inner.replicated = Some(now);
        }
        let record = inner.records.entry(key.to_owned());
        let record = record.or_insert_with(|| Record::new(key));
        let judged = match self.shared.defect {
            Defect::ExpiryByClientClock => self.client_now(),
            _ => now,
        };
        if !self.is(Defect::NeverExpires) {
            record.expire(judged);
        }
        if self.is(Defect::ForgetsIdleRecords) && record.is_idle(now, FORGETS_AFTER) {
            *record = Record::new(key);
        }
        record.used = Some(now);
        record
    }

    fn ttl(&self, asked: Duration) -> Duration {
        match self.shared.defect {
            Defect::TtlTooShort => asked / 10,
            Defect::TtlTooLong => asked.saturating_mul(1000),
            Defect::TtlInWholeSeconds => Duration::from_secs(asked.as_secs()),
            _ => asked,
        }
    }

    fn next_token(&self, record: &Record, steps: u64) -> u64 {
        let next = record.last_token.saturating_add(1);
        match self.shared.defect {
            Defect::TokenFromClientClock => self.client_now().as_nanos() / 1000,
            // A clock that is set back by a quarter of a second at every seventh step.
            Defect::TokenFromSteppedClock => {
                let back = (steps / 7).saturating_mul(250_007);
                let base = u64::from(u32::MAX).saturating_add(self.now().as_nanos() / 1000);
                let time = base.saturating_sub(back);
                time.saturating_mul(1000).saturating_add(steps % 1000)
            }
            _ => next,
        }
    }

    fn grant(&self, request: &Acquire, inner: &mut Inner, key: &str) -> Acquisition {
        let owner = self.owner(request.owner);
        let now = self.now();
        let steps = inner.steps;
        let expires = now.after(self.ttl(request.ttl.as_duration()));
        let Some(record) = inner.records.get_mut(key) else {
            return Acquisition::Refused(Refusal::new(None));
        };
        let token = match &record.lease {
            Some(lease) if lease.owner == owner => lease.token,
            _ => self.next_token(record, steps),
        };
        let more = u64::from(request.reserve.saturating_sub(1));
        let last = match &record.lease {
            Some(lease) if lease.owner == owner => lease.last,
            _ => token.saturating_add(more),
        };
        record.last_token = record.last_token.max(last);
        record.line.retain(|(waiting, _)| *waiting != request.owner);
        record.reserved = None;
        record.lease = Some(Lease {
            owner,
            client: self.client,
            token,
            last,
            expires,
            since: now,
        });
        let others_wait = !record.line.is_empty();
        let mut grant = Grant::new(FencingToken::new(token), request.ttl);
        let values = inner.records.get(&self.value_key(&request.name));
        grant.state = values.and_then(|record| record.value(self.shared.defect, now));
        grant.others_wait = others_wait;
        let reserved = last.saturating_sub(token).saturating_add(1);
        grant.reserved = u32::try_from(reserved).unwrap_or(u32::MAX);
        Acquisition::Granted(grant)
    }

    fn write(&self, inner: &mut Inner, request: &Commit) {
        let now = self.now();
        let key = self.value_key(&request.name);
        let record = inner.records.entry(key).or_default();
        record.write(request, self.shared.defect, now);
    }

    /// Tells those who wait that the lock is free, or reserves it for the first in line.
    fn hand_on(&self, inner: &mut Inner, key: &str) {
        let now = self.now();
        let until = now.after(CLAIM);
        let Some(record) = inner.records.get_mut(key) else {
            return;
        };
        let next = match self.shared.defect {
            Defect::LastComeFirstServed => record.line.pop_back(now),
            _ => record.line.pop_front(now),
        };
        record.reserved = next.map(|(owner, _)| (owner, until));
        if self.is(Defect::WakesNobody) {
            return;
        }
        let watchers = inner.watchers.get_mut(key).into_iter().flatten();
        for (client, watcher) in watchers {
            if next.is_none_or(|(_, chosen)| chosen == *client) {
                // Full means that a hint waits already.
                let _full = watcher.try_send(());
            }
        }
    }

    /// The end of a lease on purpose.
    fn end(&self, inner: &mut Inner, key: &str) {
        if let Some(record) = inner.records.get_mut(key) {
            if let Some(lease) = record.lease.take() {
                record.ended = Some(lease.owner);
            }
            record.freed = Some(self.now());
            if self.is(Defect::TokenResetByRelease) {
                record.last_token = Record::new(key).last_token;
                record.ended = None;
            }
        }
        self.hand_on(inner, key);
    }

    fn renew_one(&self, request: &Renew) -> Renewal {
        let mut inner = self.shared.lock();
        let now = self.now();
        let key = self.key(&request.name);
        let expires = now.after(self.ttl(request.ttl.as_duration()));
        let owner = self.owner(request.owner);
        let defect = self.shared.defect;
        let client = self.client;
        let record = self.look(&mut inner, &key);
        if defect == Defect::RenewRevives && record.lease.is_none() && record.ended != Some(owner) {
            record.lease = Some(Lease {
                owner,
                client,
                token: request.token.get(),
                last: request.token.get(),
                expires,
                since: now,
            });
        }
        let lost = Renewal::Lost {
            cause: LossCause::Expired,
        };
        let is_free_for_all = defect == Defect::RenewWithoutOwnerCheck;
        let others_wait = !record.line.is_empty();
        match &mut record.lease {
            Some(lease) if defect == Defect::RenewAsksReplica && now.since(lease.since) < LAG => {
                lost
            }
            Some(lease) if is_free_for_all || lease.is(owner, request.token) => {
                if defect != Defect::RenewDoesNotProlong {
                    lease.expires = expires;
                }
                Renewal::Renewed { others_wait }
            }
            _ => lost,
        }
    }
}

/// How far a replica lags behind.
const LAG: Duration = Duration::from_millis(30);

/// For how long a release reserves the lock for the first in line.
const CLAIM: Duration = Duration::from_millis(15);

/// After how long an idle record is forgotten, with that defect.
const FORGETS_AFTER: Duration = Duration::from_millis(40);
