//! [`MemoryBackend`]: the contract in its plainest form.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::mpsc;

use crate::answer::{
    Acquisition, ForcedRelease, LockInfo, LossCause, Peeked, Refusal, Release, Renewal, Stored,
};
use crate::backend::{Alarm, Alarms, Capabilities, Durability, Hints, LockBackend};
use crate::clock::{Clock, Moment, SystemClock};
use crate::error::Error;
use crate::label::Label;
use crate::name::LockName;
use crate::owner::OwnerId;
use crate::request::{Acquire, Commit, Renew, Then};

mod record;

use record::{Ended, Held, How, Record, Written};

/// How long a release reserves the lock for the first in line.
const CLAIM: Duration = Duration::from_millis(500);

/// After how many acquires the records whose time has come are looked for.
const SWEEP_EVERY: usize = 1024;

/// A store in this process' memory: for tests, for documentation, and for services that run alone.
///
/// Each value of this type is one client of a store, as one process would be;
/// [`another_client`](Self::another_client) makes a second one of the same store. Its clock is the
/// machine's, which is virtual under tokio's paused clock.
///
/// Read it beside [`LockBackend`]: every step is one `match` under one mutex.
///
/// # Examples
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use lock_core::{LockClient, MemoryBackend};
///
/// let store = MemoryBackend::new();
/// let one = LockClient::new(store.another_client());
/// let other = LockClient::new(store);
/// let guard = one.mutex::<()>("job")?.lock().await?;
/// assert!(other.mutex::<()>("job")?.try_lock().await?.is_none());
/// # Ok::<(), lock_core::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct MemoryBackend {
    store: Arc<Store>,
    client: ClientId,
}

type ClientId = u64;

#[derive(Debug)]
struct Store {
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    records: BTreeMap<LockName, Record>,
    watchers: BTreeMap<LockName, Vec<(ClientId, mpsc::Sender<()>)>>,
    alarms: BTreeMap<ClientId, Vec<mpsc::UnboundedSender<Alarm>>>,
    clients: ClientId,
    acquires: usize,
}

impl MemoryBackend {
    /// A new, empty store and its first client.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock::new()))
    }

    /// A store that tells the time by this clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            store: Arc::new(Store {
                clock,
                inner: Mutex::default(),
            }),
            client: 0,
        }
    }

    /// Another client of the same store.
    #[must_use]
    pub fn another_client(&self) -> Self {
        let mut inner = self.store.lock();
        inner.clients = inner.clients.saturating_add(1);
        Self {
            store: Arc::clone(&self.store),
            client: inner.clients,
        }
    }

    /// Forgets everything, as a store without persistence does when it restarts.
    pub fn wipe(&self) {
        let mut inner = self.store.lock();
        inner.records.clear();
        for sender in inner.alarms.values().flatten() {
            let _gone = sender.send(Alarm::CheckAll);
        }
        for (_, sender) in inner.watchers.values().flatten() {
            let _full = sender.try_send(());
        }
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for MemoryBackend {
    /// A client that is gone stands in no line.
    fn drop(&mut self) {
        let mut inner = self.store.lock();
        drop(inner.alarms.remove(&self.client));
        for record in inner.records.values_mut() {
            record.line.retain(|(_, client)| *client != self.client);
        }
    }
}

impl Store {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The record of the name, if there is one, with what the clock ended already taken out of it.
    fn look(&mut self, name: &LockName, now: Moment) -> Option<&mut Record> {
        if self
            .records
            .get(name)?
            .forget_at
            .is_some_and(|at| now >= at)
        {
            drop(self.records.remove(name));
        }
        let record = self.records.get_mut(name)?;
        if record
            .lease
            .as_ref()
            .is_some_and(|lease| now >= lease.expires)
        {
            record.end(How::Expired);
        }
        Some(record)
    }

    /// The same, with a new record where there was none; now and then it forgets those whose time
    /// has come.
    fn record(&mut self, name: &LockName, now: Moment) -> &mut Record {
        self.acquires = self.acquires.wrapping_add(1);
        if self.acquires.is_multiple_of(SWEEP_EVERY) {
            self.records
                .retain(|_, record| record.forget_at.is_none_or(|at| now < at));
        }
        let _known: bool = self.look(name, now).is_some();
        self.records.entry(name.clone()).or_default()
    }

    /// Hands a freed lock on to the first in line, or leaves it free for anybody.
    fn hand_on(&mut self, name: &LockName, now: Moment) {
        let Some(record) = self.records.get_mut(name) else {
            return;
        };
        let next = record.line.pop_front();
        if let Some((owner, client)) = next {
            record.lease = Some(Held {
                owner,
                client,
                token: None,
                reserved: 0,
                since: now,
                expires: now.after(CLAIM),
                label: Label::of_this_process(),
            });
        }
        if let Some(watchers) = self.watchers.get_mut(name) {
            watchers.retain(|(_, sender)| !sender.is_closed());
            for (client, sender) in watchers {
                if next.is_none_or(|(_, chosen)| chosen == *client) {
                    // Full means that a hint waits already.
                    let _full = sender.try_send(());
                }
            }
        }
    }
}

#[async_trait]
impl LockBackend for MemoryBackend {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            push: true,
            line: true,
            force_alarm: true,
            loss_alarm: true,
            durability: Durability::None,
        }
    }

    async fn acquire(&self, request: &Acquire) -> Result<Acquisition, Error> {
        let now = self.store.clock.now();
        let mut inner = self.store.lock();
        let record = inner.record(&request.name, now);
        let mine = record
            .lease
            .as_ref()
            .is_some_and(|lease| lease.owner == request.owner);
        // A duplicate that arrives after its owner has ended must not take the lock again.
        let over = |e: &Ended| e.owner == request.owner && e.how != How::Expired;
        if !mine && record.ended.as_ref().is_some_and(over) {
            return Ok(Acquisition::Ended);
        }
        if mine || record.lease.is_none() {
            return Ok(Acquisition::Granted(record.grant(
                request,
                self.client,
                now,
            )));
        }
        if request.stand_in_line {
            let place = (request.owner, self.client);
            if !record.line.contains(&place) {
                record.line.push_back(place);
            }
        }
        let lease = record.lease.as_ref();
        let refusal = Refusal::new(lease.map(|lease| lease.expires.since(now)));
        Ok(Acquisition::Refused(
            match lease.filter(|lease| lease.token.is_some()) {
                Some(lease) => refusal.by(lease.info(now)),
                None => refusal,
            },
        ))
    }

    async fn renew(&self, requests: &[Renew]) -> Vec<Result<Renewal, Error>> {
        let now = self.store.clock.now();
        let mut inner = self.store.lock();
        let mut renew = |request: &Renew| {
            let Some(record) = inner.look(&request.name, now) else {
                return Ok(Renewal::Lost {
                    cause: LossCause::Expired,
                });
            };
            if !record.owns_as(request.owner, request.token) {
                return Ok(Renewal::Lost {
                    cause: record.cause(request.token),
                });
            }
            if let Some(lease) = &mut record.lease {
                lease.expires = now.after(request.ttl.as_duration());
            }
            record.keep(request.forget_after, request.spare_state, request.ttl, now);
            Ok(Renewal::Renewed {
                others_wait: !record.line.is_empty(),
            })
        };
        requests.iter().map(&mut renew).collect()
    }

    async fn commit(&self, request: &Commit) -> Result<Stored, Error> {
        let now = self.store.clock.now();
        let mut inner = self.store.lock();
        let Some(record) = inner.look(&request.name, now) else {
            return Ok(Stored::Lost {
                cause: LossCause::Expired,
                last_commit: None,
            });
        };
        let others_wait = !record.line.is_empty();
        // The commit that is applied already, or one that is older than it (C6).
        if record.state.as_ref().is_some_and(|written| {
            written.token == request.token && written.sequence >= request.sequence
        }) {
            return Ok(Stored::Committed { others_wait });
        }
        if !record.owns_as(request.owner, request.token) {
            let last_commit = record.state.as_ref().map(|written| written.token);
            return Ok(Stored::Lost {
                cause: record.cause(request.token),
                last_commit,
            });
        }
        // A later token of the same lease has committed: this is a late duplicate.
        if let Some(written) = &record.state
            && written.token > request.token
        {
            return Ok(Stored::Lost {
                cause: LossCause::Displaced,
                last_commit: Some(written.token),
            });
        }
        record.state = Some(Written {
            state: request.state.clone(),
            token: request.token,
            sequence: request.sequence,
        });
        if request.then == Then::Release {
            record.end(How::Released);
            inner.hand_on(&request.name, now);
        }
        Ok(Stored::Committed { others_wait })
    }

    async fn release(&self, name: &LockName, owner: OwnerId) -> Result<Release, Error> {
        let now = self.store.clock.now();
        let mut inner = self.store.lock();
        let Some(record) = inner.look(name, now) else {
            return Ok(Release::NotHeld);
        };
        record.line.retain(|(waiting, _)| *waiting != owner);
        let held = record.owns(owner);
        if record
            .lease
            .as_ref()
            .is_some_and(|lease| lease.owner == owner)
        {
            record.end(How::Released);
            inner.hand_on(name, now);
        }
        Ok(if held {
            Release::Released
        } else {
            Release::NotHeld
        })
    }

    async fn peek(&self, name: &LockName) -> Result<Option<Peeked>, Error> {
        let now = self.store.clock.now();
        let mut inner = self.store.lock();
        let written = inner
            .look(name, now)
            .and_then(|record| record.state.as_ref());
        Ok(written.map(|written| Peeked::new(written.state.clone(), written.token)))
    }

    async fn watch(&self, name: &LockName) -> Result<Hints, Error> {
        let (sender, receiver) = mpsc::channel(1);
        self.store
            .lock()
            .watchers
            .entry(name.clone())
            .or_default()
            .push((self.client, sender));
        let watch = Watch {
            store: Arc::clone(&self.store),
            name: name.clone(),
            receiver,
        };
        Ok(stream::unfold(watch, |mut watch| async move {
            watch.receiver.recv().await.map(|()| ((), watch))
        })
        .boxed())
    }

    fn alarms(&self) -> Alarms {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut inner = self.store.lock();
        let mine = inner.alarms.entry(self.client).or_default();
        mine.retain(|sender| !sender.is_closed());
        mine.push(sender);
        stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|alarm| (alarm, receiver))
        })
        .boxed()
    }

    async fn inspect(&self, name: &LockName) -> Result<LockInfo, Error> {
        let now = self.store.clock.now();
        let mut inner = self.store.lock();
        let info = inner.look(name, now).map(|record| record.info(name, now));
        Ok(info.unwrap_or_else(|| LockInfo::free(name.clone())))
    }

    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<LockInfo>, Error> {
        let now = self.store.clock.now();
        let mut inner = self.store.lock();
        let names: Vec<LockName> = inner
            .records
            .keys()
            .filter(|n| n.as_str().starts_with(prefix))
            .cloned()
            .collect();
        let infos = names
            .iter()
            .filter_map(|name| Some(inner.look(name, now)?.info(name, now)));
        Ok(infos
            .filter(|info| info.holder.is_some())
            .take(limit)
            .collect())
    }

    async fn force_release(&self, name: &LockName) -> Result<ForcedRelease, Error> {
        let now = self.store.clock.now();
        let mut inner = self.store.lock();
        let Some(record) = inner.look(name, now) else {
            return Ok(ForcedRelease::NotHeld);
        };
        // Nobody holds what is only reserved.
        let Some(lease) = record.lease.as_ref().filter(|l| l.token.is_some()) else {
            return Ok(ForcedRelease::NotHeld);
        };
        let (info, client) = (lease.info(now), lease.client);
        record.end(How::Forced);
        inner.hand_on(name, now);
        for sender in inner.alarms.get(&client).into_iter().flatten() {
            let _gone = sender.send(Alarm::Check(name.clone()));
        }
        Ok(ForcedRelease::Released(info))
    }
}

/// One interest in a name; its end is cleaned up at once.
struct Watch {
    store: Arc<Store>,
    name: LockName,
    receiver: mpsc::Receiver<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.receiver.close();
        let mut inner = self.store.lock();
        if let Some(watchers) = inner.watchers.get_mut(&self.name) {
            watchers.retain(|(_, sender)| !sender.is_closed());
            if watchers.is_empty() {
                drop(inner.watchers.remove(&self.name));
            }
        }
    }
}

#[cfg(test)]
mod tests;
