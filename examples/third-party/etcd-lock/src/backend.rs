//! [`EtcdBackend`]: each step of the trait looks, decides and changes.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{Client, ConnectOptions, TxnOp};
use futures_util::future::try_join;
use futures_util::{StreamExt, TryStreamExt, stream};
use lock_core::{
    Acquire, Acquisition, Alarms, Capabilities, Commit, Durability, Effect, Error, ErrorKind,
    FencingToken, ForcedRelease, Grant, Hints, LockBackend, LockInfo, LockName, LossCause, OwnerId,
    Peeked, Refusal, Release, Renew, Renewal, Stored, Then, Ttl,
};

use crate::record::{Holder, How, Keys, Seen, Written};
use crate::store::{Change, Fetch, Store, bind, failed, put, put_bytes, within};
use crate::watch;

/// How often a step decides anew because another client was faster. One that loses so often meets
/// more rivals than a lock without a line is good for; the client pauses before it tries again.
const TRIES: usize = 16;

/// How many renewals and inspections are under way at once.
const AT_ONCE: usize = 64;

/// Locks on an etcd cluster.
///
/// It is one HTTP/2 connection to each endpoint, and reconnects by itself. Dropping it closes them.
pub struct EtcdBackend {
    store: Store,
    prefix: String,
    durability: Durability,
}

/// For how long an owner wants its lease and the name's record kept.
#[derive(Clone, Copy)]
struct Keep {
    ttl: Ttl,
    forget_after: Option<Duration>,
    spare_state: bool,
}

impl EtcdBackend {
    /// Connects to the members at these URLs; all keys begin with the prefix.
    ///
    /// # Errors
    /// `Invalid` for a URL that is none, `Unavailable` if no member answers.
    ///
    /// # Cancel safety
    /// Safe to drop: the connections are closed, nothing is left behind.
    pub async fn connect(endpoints: &[&str], prefix: &str) -> Result<Self, Error> {
        // A peer that fell silent is noticed by pings, and a member cut off from the others says so
        // instead of serving a watch on which nothing will ever come.
        let options = ConnectOptions::new()
            .with_connect_timeout(Duration::from_secs(2))
            .with_keep_alive(Duration::from_secs(5), Duration::from_secs(3))
            .with_require_leader(true);
        let client = Client::connect(endpoints, Some(options)).await;
        let client = client.map_err(|e| failed(e, Effect::NotApplied))?;
        let members = within(async {
            let answer = client.cluster_client().member_list().await;
            answer.map_err(|e| failed(e, Effect::NotApplied))
        })
        .await;
        let durability = match members {
            Ok(answer) => {
                let voters = answer.members().iter().filter(|m| !m.is_learner()).count();
                if voters >= 3 {
                    Durability::Failover
                } else {
                    Durability::Restart
                }
            }
            // Who may use keys need not be allowed to list members.
            Err(error) if error.kind() == ErrorKind::Denied => Durability::Restart,
            Err(error) => return Err(error),
        };
        Ok(Self {
            store: Store { client },
            prefix: prefix.to_owned(),
            durability,
        })
    }

    fn keys(&self, name: &LockName) -> Keys {
        Keys::new(&self.prefix, name)
    }

    async fn try_acquire(&self, request: &Acquire) -> Result<Acquisition, Error> {
        let keys = self.keys(&request.name);
        let keep = Keep {
            ttl: request.ttl,
            forget_after: request.forget_after,
            spare_state: request.spare_state,
        };
        let mut seen = self.store.look(&keys, Fetch::Everything).await?;
        let id = lease_id(&request.name, request.owner);
        let mut lease = None;
        for _ in 0..TRIES {
            if seen.is_over_for(request.owner) {
                return Ok(Acquisition::Ended);
            }
            if let Some(holder) = &seen.holder {
                if holder.owner != request.owner {
                    let left = self.store.lease_left(holder.lease).await?;
                    return Ok(Acquisition::Refused(Refusal::new(Some(left))));
                }
                // A repetition: the same grant, and its ttl starts anew.
                if let Some(holder) = self.prolong(&keys, &seen, holder, keep).await? {
                    return Ok(Acquisition::Granted(granted(&seen, &holder)));
                }
                seen = self.store.look(&keys, Fetch::Everything).await?;
                continue;
            }
            let epoch = seen.epoch.unwrap_or_else(time_of_day_us);
            let mut after = seen.clone();
            let mut holder = after.grant(request, epoch);
            // From here on the lease runs, before the lock is taken: a delay shortens what the
            // holder has of it, and never lets it outlast what the store keeps.
            let take_lease = async {
                match lease {
                    Some(lease) => Ok(lease),
                    None => self.store.grant_lease(id, seconds(request.ttl)).await,
                }
            };
            let leases = try_join(take_lease, self.record_lease(&after, keep)).await?;
            let (forget_s, record_lease) = leases.1;
            (holder.lease, holder.ttl_s) = *lease.insert(leases.0);
            after.record.forget_s = forget_s;
            let mut writes = vec![
                put(&keys.holder, &holder, holder.lease)?,
                put(&keys.record, &after.record, record_lease)?,
            ];
            if seen.epoch.is_none() {
                writes.push(put(&keys.epoch, &epoch, 0)?);
            }
            if record_lease != seen.record_lease {
                writes.push(bind(&keys.state, record_lease));
            }
            // CANCEL: if nobody hears of the grant, `release` by its owner undoes it.
            let change = self
                .store
                .change(&keys, &seen, Fetch::Everything, writes)
                .await?;
            let made = matches!(change, Change::Made);
            self.tidy_up(made, seen.record_lease, record_lease);
            match change {
                Change::Made => return Ok(Acquisition::Granted(granted(&seen, &holder))),
                // If another owner has it now, our etcd lease, to which nothing is bound, runs out.
                Change::Overtaken(now) => seen = *now,
            }
        }
        Err(overtaken())
    }

    /// Starts the ttl of a holder's lease anew; `None` if it is too late or something changed.
    async fn prolong(
        &self,
        keys: &Keys,
        seen: &Seen,
        holder: &Holder,
        keep: Keep,
    ) -> Result<Option<Holder>, Error> {
        // This etcd lease is this grant's alone, so that no other holder can be prolonged by it.
        let kept = self.store.keep_lease(holder.lease);
        let (kept, (forget_s, record_lease)) =
            try_join(kept, self.record_lease(seen, keep)).await?;
        let mut after = holder.clone();
        if holder.ttl_s >= seconds(keep.ttl) && record_lease == seen.record_lease {
            return Ok(kept.then_some(after));
        }
        // What follows is rare: an etcd lease cannot be lengthened, so the holder moves to a longer
        // one; or the record is to be forgotten later or sooner than before.
        if holder.ttl_s < seconds(keep.ttl) {
            let lease = self.store.grant_lease(0, seconds(keep.ttl)).await?;
            (after.lease, after.ttl_s) = lease;
        }
        let mut record = seen.record.clone();
        record.forget_s = forget_s;
        let writes = vec![
            put(&keys.holder, &after, after.lease)?,
            put(&keys.record, &record, record_lease)?,
            bind(&keys.state, record_lease),
        ];
        let change = self
            .store
            .change(keys, seen, Fetch::NoState, writes)
            .await?;
        let made = matches!(change, Change::Made);
        self.tidy_up(made, holder.lease, after.lease);
        self.tidy_up(made, seen.record_lease, record_lease);
        Ok(made.then_some(after))
    }

    /// After how many seconds the record is to be forgotten, and the etcd lease to bind it to: the
    /// one that it has, its ttl started anew, or a new one.
    async fn record_lease(&self, seen: &Seen, keep: Keep) -> Result<(u64, i64), Error> {
        let forget_s = seen.forget_s(keep.ttl, keep.forget_after, keep.spare_state);
        if forget_s == 0 {
            return Ok((0, 0));
        }
        let has_it = forget_s == seen.record.forget_s && seen.record_lease != 0;
        if has_it && self.store.keep_lease(seen.record_lease).await? {
            return Ok((forget_s, seen.record_lease));
        }
        let (lease, _) = self.store.grant_lease(0, forget_s).await?;
        Ok((forget_s, lease))
    }

    /// Ends whichever of two etcd leases has no keys after a change that was, or was not, made.
    fn tidy_up(&self, made: bool, before: i64, after: i64) {
        let idle = if made { before } else { after };
        if before != after && idle != 0 {
            self.revoke_later(idle);
        }
    }

    async fn try_renew(&self, request: &Renew) -> Result<Renewal, Error> {
        let keys = self.keys(&request.name);
        let keep = Keep {
            ttl: request.ttl,
            forget_after: request.forget_after,
            spare_state: request.spare_state,
        };
        for _ in 0..TRIES {
            let seen = self.store.look(&keys, Fetch::NoState).await?;
            let Some(holder) = seen.granted_as(request.owner, request.token) else {
                let cause = seen.cause(request.token);
                return Ok(Renewal::Lost { cause });
            };
            let kept = self.prolong(&keys, &seen, holder, keep).await?;
            if kept.is_some() {
                return Ok(Renewal::Renewed { others_wait: false });
            }
        }
        Err(overtaken())
    }

    async fn renew_one(&self, request: &Renew) -> Result<Renewal, Error> {
        let answer = within(self.try_renew(request)).await;
        answer.map_err(|e| e.in_operation("renew", &request.name))
    }

    async fn try_commit(&self, request: &Commit) -> Result<Stored, Error> {
        let keys = self.keys(&request.name);
        let token = request.token.get();
        let mut seen = self.store.look(&keys, Fetch::NoState).await?;
        for _ in 0..TRIES {
            let written = seen.record.written;
            // The commit that is applied already, or one that is older than it (C6).
            if written.is_some_and(|w| w.token == token && w.sequence >= request.sequence) {
                return Ok(Stored::Committed { others_wait: false });
            }
            let Some(holder) = seen.granted_as(request.owner, request.token) else {
                return Ok(Stored::Lost {
                    cause: seen.cause(request.token),
                    last_commit: written.map(|w| FencingToken::new(w.token)),
                });
            };
            // A later token of the same lease has committed: this is a late duplicate.
            if let Some(later) = written.filter(|w| w.token > token) {
                return Ok(Stored::Lost {
                    cause: LossCause::Displaced,
                    last_commit: Some(FencingToken::new(later.token)),
                });
            }
            let lease = holder.lease;
            let mut after = seen.clone();
            after.record.written = Some(Written {
                token,
                sequence: request.sequence,
                format: request.state.format().get(),
            });
            let bytes = request.state.bytes().to_vec();
            let mut writes = vec![put_bytes(&keys.state, bytes, seen.record_lease)];
            if request.then == Then::Release {
                after.end(How::Released);
                writes.push(TxnOp::delete(keys.holder.as_str(), None));
            }
            writes.push(put(&keys.record, &after.record, seen.record_lease)?);
            match self
                .store
                .change(&keys, &seen, Fetch::NoState, writes)
                .await?
            {
                Change::Made => {
                    if request.then == Then::Release {
                        self.revoke_later(lease);
                    }
                    return Ok(Stored::Committed { others_wait: false });
                }
                Change::Overtaken(now) => seen = *now,
            }
        }
        Err(overtaken())
    }

    /// Ends the present lease; `None` if `of` does not hold it.
    async fn end(
        &self,
        keys: &Keys,
        of: Option<OwnerId>,
        how: How,
    ) -> Result<Option<Holder>, Error> {
        let mut seen = self.store.look(keys, Fetch::NoState).await?;
        for _ in 0..TRIES {
            let is_meant = |holder: &Holder| of.is_none_or(|owner| holder.owner == owner);
            let Some(holder) = seen.holder.clone().filter(is_meant) else {
                return Ok(None);
            };
            let mut after = seen.clone();
            after.end(how);
            let writes = vec![
                TxnOp::delete(keys.holder.as_str(), None),
                put(&keys.record, &after.record, seen.record_lease)?,
            ];
            match self
                .store
                .change(keys, &seen, Fetch::NoState, writes)
                .await?
            {
                Change::Made => return Ok(Some(holder)),
                Change::Overtaken(now) => seen = *now,
            }
        }
        Err(overtaken())
    }

    async fn try_release(&self, name: &LockName, owner: OwnerId) -> Result<Release, Error> {
        let ended = self
            .end(&self.keys(name), Some(owner), How::Released)
            .await?;
        if let Some(holder) = ended {
            self.revoke_later(holder.lease);
            return Ok(Release::Released);
        }
        // An acquire of this owner may be on its way still. Without its etcd lease it fails.
        self.store.revoke_lease(lease_id(name, owner)).await?;
        Ok(Release::NotHeld)
    }

    async fn try_force_release(&self, name: &LockName) -> Result<ForcedRelease, Error> {
        let Some(holder) = self.end(&self.keys(name), None, How::Forced).await? else {
            return Ok(ForcedRelease::NotHeld);
        };
        // The lock is free already; for how long it would have been held yet is for the curious.
        let left = self.store.lease_left(holder.lease).await;
        self.revoke_later(holder.lease);
        Ok(ForcedRelease::Released(
            holder.info(left.unwrap_or_default()),
        ))
    }

    async fn try_inspect(&self, name: &LockName) -> Result<LockInfo, Error> {
        let seen = self.store.look(&self.keys(name), Fetch::NoState).await?;
        let holder = match &seen.holder {
            Some(holder) => Some(holder.info(self.store.lease_left(holder.lease).await?)),
            None => None,
        };
        Ok(seen.info(name.clone(), holder))
    }

    async fn try_list(&self, prefix: &str, limit: usize) -> Result<Vec<LockInfo>, Error> {
        let holders = Keys::holders(&self.prefix);
        let keys = self
            .store
            .keys(&format!("{holders}{prefix}"), limit)
            .await?;
        let name = |key: &String| LockName::new(key.strip_prefix(&holders)?).ok();
        let names: Vec<LockName> = keys.iter().filter_map(name).collect();
        stream::iter(names)
            .map(|name| async move { self.try_inspect(&name).await })
            .buffer_unordered(AT_ONCE)
            .try_filter(|info| std::future::ready(info.holder.is_some()))
            .try_collect()
            .await
    }

    /// Ends an etcd lease to which no key is bound any more. Nobody waits for it, and if it fails,
    /// the lease runs out.
    fn revoke_later(&self, lease: i64) {
        let store = self.store.clone();
        drop(tokio::spawn(async move {
            let _runs_out = within(store.revoke_lease(lease)).await;
        }));
    }
}

#[async_trait]
impl LockBackend for EtcdBackend {
    fn kind(&self) -> &'static str {
        "etcd"
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::none();
        capabilities.push = true;
        capabilities.durability = self.durability;
        capabilities
    }

    async fn acquire(&self, request: &Acquire) -> Result<Acquisition, Error> {
        let answer = within(self.try_acquire(request)).await;
        answer.map_err(|e| e.in_operation("acquire", &request.name))
    }

    async fn renew(&self, requests: &[Renew]) -> Vec<Result<Renewal, Error>> {
        let renewals: Vec<_> = requests.iter().map(|r| self.renew_one(r)).collect();
        stream::iter(renewals).buffered(AT_ONCE).collect().await
    }

    async fn commit(&self, request: &Commit) -> Result<Stored, Error> {
        let answer = within(self.try_commit(request)).await;
        answer.map_err(|e| e.in_operation("commit", &request.name))
    }

    async fn release(&self, name: &LockName, owner: OwnerId) -> Result<Release, Error> {
        let answer = within(self.try_release(name, owner)).await;
        answer.map_err(|e| e.in_operation("release", name))
    }

    async fn peek(&self, name: &LockName) -> Result<Option<Peeked>, Error> {
        let keys = self.keys(name);
        let seen = within(self.store.look(&keys, Fetch::Everything)).await;
        let seen = seen.map_err(|e| e.in_operation("peek at", name))?;
        let written = seen.state.zip(seen.record.written);
        Ok(written.map(|(state, w)| Peeked::new(state, FencingToken::new(w.token))))
    }

    async fn watch(&self, name: &LockName) -> Result<Hints, Error> {
        let hints = watch::deletions(self.store.clone(), self.keys(name).holder).await;
        hints.map_err(|e| e.in_operation("watch", name))
    }

    /// None: the client finds out at its next renewal.
    fn alarms(&self) -> Alarms {
        stream::pending().boxed()
    }

    async fn inspect(&self, name: &LockName) -> Result<LockInfo, Error> {
        let answer = within(self.try_inspect(name)).await;
        answer.map_err(|e| e.in_operation("inspect", name))
    }

    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<LockInfo>, Error> {
        within(self.try_list(prefix, limit)).await
    }

    async fn force_release(&self, name: &LockName) -> Result<ForcedRelease, Error> {
        let answer = within(self.try_force_release(name)).await;
        answer.map_err(|e| e.in_operation("force-release", name))
    }
}

impl fmt::Debug for EtcdBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdBackend")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

fn overtaken() -> Error {
    let message = format!("other clients were faster {TRIES} times in a row");
    Error::new(ErrorKind::Unavailable, message)
}

fn granted(seen: &Seen, holder: &Holder) -> Grant {
    // The server's minimum is the only length that could lie outside of the bounds of a ttl.
    let ttl = Ttl::new(Duration::from_secs(holder.ttl_s)).unwrap_or(Ttl::MAX);
    let mut grant = Grant::new(FencingToken::new(holder.token), ttl);
    grant.reserved = holder.reserved;
    grant.state.clone_from(&seen.state);
    grant.previous = seen.previous();
    grant
}

/// The ttl in etcd's unit, rounded up: a lease is never shorter than asked for.
fn seconds(ttl: Ttl) -> u64 {
    ttl.as_millis().div_ceil(1000)
}

/// The id of the etcd lease with which an owner takes a name: a digest of the two (FNV-1a), positive
/// and not 0. It can be told from the owner alone, so that a release finds the lease of an acquire
/// of which nobody heard.
fn lease_id(name: &LockName, owner: OwnerId) -> i64 {
    let owner = owner.bits().to_be_bytes();
    let digest = owner
        .iter()
        .chain(name.as_str().as_bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
            (digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    i64::try_from(digest >> 1).unwrap_or(i64::MAX).max(1)
}

/// Where the tokens of an empty store begin, since etcd tells no time. Nothing else here looks at a
/// wall clock.
fn time_of_day_us() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
