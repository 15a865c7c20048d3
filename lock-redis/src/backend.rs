//! [`RedisBackend`]: each step of the trait is one script.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use lock_core::{
    Acquire, Acquisition, Alarms, Capabilities, Clock, Commit, Entropy, Error, Finding,
    ForcedRelease, Hints, LockBackend, LockInfo, LockName, OwnerId, Peeked, Release, Renew,
    Renewal, Stored, SystemClock, SystemEntropy, Then,
};
use redis::{Cmd, Value};

use crate::answers;
use crate::config::{MinReplicas, RedisOptions};
use crate::connection::{Connector, Live};
use crate::error::Failure;
use crate::examine;
use crate::keys::{Keys, Keyspace, slot};
use crate::scripts::{SCRIPTS, Script};
use crate::wakeups::Wakeups;

/// Locks on a Redis or Valkey server, or on a cluster of them.
///
/// It is one connection. It reconnects by itself, at the next request or, while somebody waits for
/// pushes, in the background. A request that finds no connection waits for one at most for the
/// connect timeout and a second; then its own time begins. Dropping it closes the connection and
/// ends its tasks.
#[derive(Debug)]
pub struct RedisBackend {
    connector: Arc<Connector>,
    keyspace: Keyspace,
    /// The id of this client, by which scripts address its channel.
    client: String,
    channel_prefix: String,
}

impl RedisBackend {
    /// Connects to the server at this URL with default options; see [`RedisOptions`].
    ///
    /// # Errors
    /// Those of [`RedisOptions::new`] and [`RedisOptions::connect`].
    /// # Cancel safety
    /// Safe to drop: the connection is closed, nothing is left behind.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        RedisOptions::new(url)?.connect().await
    }

    pub(crate) async fn with_options(options: RedisOptions) -> Result<Self, Error> {
        let keyspace = options.check()?;
        let mut id = [0; 16];
        SystemEntropy.fill(&mut id);
        let client = format!("{:032x}", u128::from_be_bytes(id));
        let channel_prefix = keyspace.channel_prefix();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let wakeups = Arc::new(Wakeups::new(keyspace.clone(), Arc::clone(&clock)));
        let channel = format!("{channel_prefix}{client}");
        let backend = Self {
            connector: Arc::new(Connector::new(options, wakeups, channel, clock)),
            keyspace,
            client,
            channel_prefix,
        };
        backend.connector.live().await?;
        Ok(backend)
    }

    async fn run(
        &self,
        script: &Script,
        keys: Keys,
        args: impl Fn(&mut Cmd) + Send + Sync,
    ) -> Result<(Value, Live), Failure> {
        self.connector.run(script, &[keys], args).await
    }

    /// The arguments by which a script hands the lock on: client's channel and claim time.
    fn hand_on(&self, cmd: &mut Cmd) {
        let options = &self.connector.options;
        cmd.arg(millis(options.claim_time))
            .arg(&self.channel_prefix)
            // A node of a cluster counts only its own listeners.
            .arg(u8::from(!options.cluster));
    }

    /// Waits for the replicas that the options ask for, on the connection that wrote.
    async fn replicate(&self, live: &Live) -> Result<(), Failure> {
        match self.connector.options.min_replicas {
            // Boxed, as all that is seldom needed, so that requests stay small.
            Some(replicas) => Box::pin(self.wait_for(replicas, live)).await,
            None => Ok(()),
        }
    }

    async fn wait_for(&self, replicas: MinReplicas, live: &Live) -> Result<(), Failure> {
        let mut wait = redis::cmd("WAIT");
        wait.arg(replicas.count).arg(millis(replicas.within));
        let answer = self.connector.send(live, &wait).await;
        match answer {
            Ok(Value::Int(reached)) if reached >= i64::from(replicas.count) => Ok(()),
            Ok(Value::Int(reached)) => Err(Failure::unavailable(format!(
                "{reached} of {} replicas acknowledged within {} ms",
                replicas.count,
                replicas.within.as_millis()
            ))),
            Ok(_) => Err(Failure::unexpected("WAIT")),
            Err(failure) => Err(failure),
        }
    }

    async fn try_acquire(&self, request: &Acquire) -> Result<Acquisition, Failure> {
        let answer = self
            .run(&SCRIPTS.acquire, self.keyspace.keys(&request.name), |cmd| {
                cmd.arg(request.owner.to_string())
                    .arg(request.ttl.as_millis())
                    .arg(request.reserve.max(1))
                    .arg(request.label.as_str())
                    .arg(&self.client)
                    .arg(u8::from(request.stand_in_line));
                forget(cmd, request.forget_after);
                cmd.arg(u8::from(request.spare_state));
            })
            .await;
        let (value, live) = answer?;
        if let Some(stranger) = answers::refused_by_stranger(&value) {
            self.connector.wakeups.refused(&request.name, stranger);
        }
        let acquisition = answers::acquisition(value, request.ttl)?;
        if matches!(acquisition, Acquisition::Granted(_))
            && let Err(missed) = self.replicate(&live).await
        {
            // CANCEL: the caller releases by owner, as after a lost reply.
            return Err(
                match Box::pin(self.try_release(&request.name, request.owner)).await {
                    Ok(_) => missed,
                    Err(_) => missed.with_unknown_effect(),
                },
            );
        }
        Ok(acquisition)
    }

    async fn try_renew(&self, batch: &[&Renew]) -> Result<Vec<Result<Renewal, Failure>>, Failure> {
        let keys: Vec<Keys> = batch.iter().map(|r| self.keyspace.keys(&r.name)).collect();
        let (value, _) = self
            .connector
            .run(&SCRIPTS.renew, &keys, |cmd| {
                for request in batch {
                    cmd.arg(request.owner.to_string())
                        .arg(request.token.get())
                        .arg(request.ttl.as_millis());
                    forget(cmd, request.forget_after);
                    cmd.arg(u8::from(request.spare_state));
                }
            })
            .await?;
        answers::renewals(value, batch.len(), &self.connector.at)
    }

    async fn try_commit(&self, request: &Commit) -> Result<Stored, Failure> {
        let (value, live) = self
            .run(&SCRIPTS.commit, self.keyspace.keys(&request.name), |cmd| {
                cmd.arg(request.owner.to_string())
                    .arg(request.token.get())
                    .arg(request.sequence)
                    .arg(&**request.state.bytes())
                    .arg(request.state.format().get())
                    .arg(u8::from(request.then == Then::Release));
                self.hand_on(cmd);
            })
            .await?;
        let stored = answers::stored(value)?;
        if matches!(stored, Stored::Committed { .. }) {
            // The primary has it: only a failover could make it undone.
            self.replicate(&live)
                .await
                .map_err(Failure::with_unknown_effect)?;
        }
        Ok(stored)
    }

    async fn try_release(&self, name: &LockName, owner: OwnerId) -> Result<Release, Failure> {
        let (value, _) = self
            .run(&SCRIPTS.release, self.keyspace.keys(name), |cmd| {
                cmd.arg(owner.to_string()).arg(&self.client);
                self.hand_on(cmd);
            })
            .await?;
        answers::release(&value)
    }

    async fn try_inspect(&self, name: &LockName) -> Result<LockInfo, Failure> {
        let (value, _) = self
            .run(&SCRIPTS.inspect, self.keyspace.keys(name), |_| {})
            .await?;
        answers::inspection(value, name.clone())
    }

    /// The batches in which leases are renewed: as large as the bound allows, and in a cluster one
    /// for each slot, since a script must not touch two.
    fn batches(&self, requests: &[Renew]) -> Vec<Vec<usize>> {
        let mut order: Vec<(u16, usize)> = requests
            .iter()
            .enumerate()
            .map(|(index, request)| (self.slot(&request.name), index))
            .collect();
        order.sort_unstable();
        order
            .chunk_by(|a, b| a.0 == b.0)
            .flat_map(|slot| slot.chunks(RENEWALS_PER_CALL_MAX))
            .map(|batch| batch.iter().map(|(_, index)| *index).collect())
            .collect()
    }

    fn slot(&self, name: &LockName) -> u16 {
        if self.connector.options.cluster {
            slot(&self.keyspace.lock_key(name.as_str()))
        } else {
            0
        }
    }
}

#[async_trait]
impl LockBackend for RedisBackend {
    fn kind(&self) -> &'static str {
        "redis"
    }

    fn capabilities(&self) -> Capabilities {
        let facts = self.connector.facts();
        let mut capabilities = Capabilities::none();
        capabilities.push = true;
        capabilities.line = true;
        capabilities.force_alarm = true;
        capabilities.loss_alarm = facts.tracking;
        capabilities.durability = facts.durability;
        capabilities
    }

    async fn acquire(&self, request: &Acquire) -> Result<Acquisition, Error> {
        let answer = self.try_acquire(request).await;
        answer.map_err(|f| Error::from(f).in_operation("acquire", &request.name))
    }

    async fn renew(&self, requests: &[Renew]) -> Vec<Result<Renewal, Error>> {
        let batches = self
            .batches(requests)
            .into_iter()
            .map(|indices| async move {
                let batch: Vec<&Renew> = indices.iter().filter_map(|i| requests.get(*i)).collect();
                let answers = match self.try_renew(&batch).await {
                    Ok(answers) => answers,
                    Err(failure) => batch.iter().map(|_| Err(failure.clone())).collect(),
                };
                indices.into_iter().zip(answers).collect::<Vec<_>>()
            });
        let mut answers: Vec<_> = join_all(batches).await.into_iter().flatten().collect();
        answers.sort_unstable_by_key(|(index, _)| *index);
        answers
            .into_iter()
            .zip(requests)
            .map(|((_, answer), request)| {
                answer.map_err(|f| Error::from(f).in_operation("renew", &request.name))
            })
            .collect()
    }

    async fn commit(&self, request: &Commit) -> Result<Stored, Error> {
        let answer = self.try_commit(request).await;
        answer.map_err(|f| Error::from(f).in_operation("commit", &request.name))
    }

    async fn release(&self, name: &LockName, owner: OwnerId) -> Result<Release, Error> {
        let answer = self.try_release(name, owner).await;
        answer.map_err(|f| Error::from(f).in_operation("release", name))
    }

    async fn peek(&self, name: &LockName) -> Result<Option<Peeked>, Error> {
        let mut cmd = redis::cmd("HMGET");
        cmd.arg(self.keyspace.keys(name).record)
            .arg(&["s", "f", "ct"]);
        let answer = self.connector.ask(&cmd).await.and_then(answers::peeked);
        answer.map_err(|f| Error::from(f).in_operation("peek at", name))
    }

    async fn watch(&self, name: &LockName) -> Result<Hints, Error> {
        // Registered first: what is pushed from the moment that the connection stands counts.
        let hints = self.connector.wakeups.watch(name);
        match self.connector.live().await {
            Ok(_) => Ok(hints),
            Err(failure) => Err(Error::from(failure).in_operation("watch", name)),
        }
    }

    fn alarms(&self) -> Alarms {
        self.connector.wakeups.alarms()
    }

    async fn inspect(&self, name: &LockName) -> Result<LockInfo, Error> {
        let answer = self.try_inspect(name).await;
        answer.map_err(|f| Error::from(f).in_operation("inspect", name))
    }

    /// Finds names by their records (SCAN), so it does not see a lock that only another program has
    /// ever held. It walks the whole keyspace, a thousand keys a request.
    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<LockInfo>, Error> {
        let mut found = Vec::new();
        let mut walk = crate::walk::Walk::new(&self.connector, &self.keyspace, prefix);
        while found.len() < limit
            && let Some(names) = walk.next().await.map_err(Error::from)?
        {
            for name in names {
                if found.len() >= limit {
                    break;
                }
                // A key of another type in a lock's place is no lock of ours.
                if let Ok(info) = self.inspect(&name).await
                    && info.holder.is_some()
                {
                    found.push(info);
                }
            }
        }
        Ok(found)
    }

    async fn force_release(&self, name: &LockName) -> Result<ForcedRelease, Error> {
        let answer = self
            .run(&SCRIPTS.force_release, self.keyspace.keys(name), |cmd| {
                self.hand_on(cmd)
            })
            .await
            .and_then(|(value, _)| answers::forced(value));
        answer.map_err(|f| Error::from(f).in_operation("force-release", name))
    }

    async fn examine(&self) -> Result<Vec<Finding>, Error> {
        Ok(examine::examine(&self.connector).await?)
    }
}

impl Drop for RedisBackend {
    fn drop(&mut self) {
        self.connector.close();
    }
}

/// How many leases one script renews. In Redis 7.0 client tracking makes the cost of a call grow
/// with the square of this: 256 leases took a server 45 ms, 32 take less than one.
const RENEWALS_PER_CALL_MAX: usize = 32;

fn forget(cmd: &mut Cmd, after: Option<std::time::Duration>) {
    match after {
        // Beyond a thousand years the server's own clock arithmetic would overflow.
        Some(length) => cmd.arg(millis(length).min(31_557_600_000_000)),
        None => cmd.arg(""),
    };
}

fn millis(length: std::time::Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
