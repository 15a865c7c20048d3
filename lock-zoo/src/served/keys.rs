//! Locks on Redis, as they are found in public.

use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Effect, Entropy, Error, SystemEntropy};
use lock_testkit::StepKind;
use lock_testkit::subject::Ask;
use redis::cmd;
use tokio::sync::{Mutex, OnceCell};

use super::redis::Wire;
use super::stand::{Lease, Lock};

/// `SET key locked NX PX ttl`, and a bare `DEL key`.
pub(super) struct BareDel(pub(super) Wire);

#[async_trait]
impl Lock for BareDel {
    async fn attempt(&self, ask: &Ask) -> Result<Option<Lease>, Error> {
        set_if_absent(&self.0, ask, "locked").await
    }

    async fn release(&self, key: &str, _: &Lease) -> Result<bool, Error> {
        self.0
            .ask(StepKind::Release, cmd("DEL").arg(key).take())
            .await
    }
}

/// `SETNX`, and the expiry by a request of its own.
pub(super) struct SetThenExpire(pub(super) Wire);

#[async_trait]
impl Lock for SetThenExpire {
    async fn attempt(&self, ask: &Ask) -> Result<Option<Lease>, Error> {
        let owner = random();
        let set = cmd("SETNX").arg(&ask.key).arg(&owner).take();
        if !self.0.ask::<bool>(StepKind::Acquire, set).await? {
            return Ok(None);
        }
        let expire = cmd("PEXPIRE").arg(&ask.key).arg(ms(ask.ttl)).take();
        self.0.ask::<bool>(StepKind::Acquire, expire).await?;
        Ok(Some(owned(owner)))
    }

    async fn release(&self, key: &str, lease: &Lease) -> Result<bool, Error> {
        delete_if_owned(&self.0, key, &lease.owner).await
    }
}

/// Reads the owner, and then deletes the key.
pub(super) struct GetThenDel(pub(super) Wire);

#[async_trait]
impl Lock for GetThenDel {
    async fn attempt(&self, ask: &Ask) -> Result<Option<Lease>, Error> {
        set_if_absent(&self.0, ask, &random()).await
    }

    async fn release(&self, key: &str, lease: &Lease) -> Result<bool, Error> {
        let get = cmd("GET").arg(key).take();
        let owner: Option<String> = self.0.ask(StepKind::Release, get).await?;
        if owner.as_ref() != Some(&lease.owner) {
            return Ok(false);
        }
        self.0
            .ask(StepKind::Release, cmd("DEL").arg(key).take())
            .await
    }
}

/// One request each, and the owner compared at the store: right, on a server that keeps the key.
pub(super) struct Owned(pub(super) Wire);

#[async_trait]
impl Lock for Owned {
    async fn attempt(&self, ask: &Ask) -> Result<Option<Lease>, Error> {
        set_if_absent(&self.0, ask, &random()).await
    }

    async fn release(&self, key: &str, lease: &Lease) -> Result<bool, Error> {
        delete_if_owned(&self.0, key, &lease.owner).await
    }
}

/// A fencing token with each grant, in one script: right, on a server that forgets nothing.
pub(super) struct Fenced {
    pub(super) wire: Wire,
    /// Whether an attempt whose reply is missing is told as refused.
    pub(super) takes_silence_for_refusal: bool,
}

impl Fenced {
    pub(super) const fn new(wire: Wire) -> Self {
        Self {
            wire,
            takes_silence_for_refusal: false,
        }
    }
}

#[async_trait]
impl Lock for Fenced {
    async fn attempt(&self, ask: &Ask) -> Result<Option<Lease>, Error> {
        let take = cmd("EVAL")
            .arg(TAKE)
            .arg(2)
            .arg(&ask.key)
            .arg(format!("{}:token", ask.key))
            .arg(ms(ask.ttl))
            .take();
        match self.wire.ask(StepKind::Acquire, take).await {
            Ok(0) => Ok(None),
            Ok(token) => Ok(Some(fenced(token))),
            Err(e) if self.takes_silence_for_refusal && e.effect() == Effect::Unknown => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn release(&self, key: &str, lease: &Lease) -> Result<bool, Error> {
        delete_if_owned(&self.wire, key, &lease.token.to_string()).await
    }

    async fn renew(&self, key: &str, lease: &Lease, ttl: Duration) -> Result<bool, Error> {
        let renew = cmd("EVAL")
            .arg(RENEW)
            .arg(1)
            .arg(key)
            .arg(lease.token)
            .arg(ms(ttl))
            .take();
        self.wire.ask(StepKind::Renew, renew).await
    }
}

/// Renews by the digest of a script that it loaded when it started, and takes "no such script" for
/// "the lease is lost".
pub(super) struct ByDigest {
    pub(super) inner: Fenced,
    pub(super) digest: OnceCell<String>,
}

impl ByDigest {
    async fn digest(&self) -> Result<&String, Error> {
        let load = || {
            let load = cmd("SCRIPT").arg("LOAD").arg(RENEW).take();
            self.inner.wire.ask(StepKind::Watch, load)
        };
        self.digest.get_or_try_init(load).await
    }
}

#[async_trait]
impl Lock for ByDigest {
    async fn start(&self) -> Result<(), Error> {
        self.digest().await.map(drop)
    }

    async fn attempt(&self, ask: &Ask) -> Result<Option<Lease>, Error> {
        self.inner.attempt(ask).await
    }

    async fn release(&self, key: &str, lease: &Lease) -> Result<bool, Error> {
        self.inner.release(key, lease).await
    }

    async fn renew(&self, key: &str, lease: &Lease, ttl: Duration) -> Result<bool, Error> {
        let renew = cmd("EVALSHA")
            .arg(self.digest().await?)
            .arg(1)
            .arg(key)
            .arg(lease.token)
            .arg(ms(ttl))
            .take();
        match self.inner.wire.ask(StepKind::Renew, renew).await {
            Err(e) if e.to_string().contains("NOSCRIPT") => Ok(false),
            answer => answer,
        }
    }
}

/// Draws a token by one request and takes the lock by another; a token that was drawn is kept until
/// it is of use.
pub(super) struct TokenFirst {
    pub(super) wire: Wire,
    pub(super) drawn: Mutex<Option<u64>>,
}

#[async_trait]
impl Lock for TokenFirst {
    async fn attempt(&self, ask: &Ask) -> Result<Option<Lease>, Error> {
        let mut drawn = self.drawn.lock().await;
        let token = match *drawn {
            Some(token) => token,
            None => {
                let draw = cmd("INCR").arg(format!("{}:token", ask.key)).take();
                *drawn.insert(self.wire.ask(StepKind::Acquire, draw).await?)
            }
        };
        let taken = set_if_absent(&self.wire, ask, &token.to_string()).await?;
        if taken.is_some() {
            *drawn = None;
        }
        Ok(taken.map(|_| fenced(token)))
    }

    async fn release(&self, key: &str, lease: &Lease) -> Result<bool, Error> {
        delete_if_owned(&self.wire, key, &lease.owner).await
    }
}

async fn set_if_absent(wire: &Wire, ask: &Ask, owner: &str) -> Result<Option<Lease>, Error> {
    let set = cmd("SET")
        .arg(&ask.key)
        .arg(owner)
        .arg("NX")
        .arg("PX")
        .arg(ms(ask.ttl))
        .take();
    let answer: Option<String> = wire.ask(StepKind::Acquire, set).await?;
    Ok(answer.map(|_| owned(owner.to_owned())))
}

async fn delete_if_owned(wire: &Wire, key: &str, owner: &str) -> Result<bool, Error> {
    let delete = cmd("EVAL").arg(DELETE).arg(1).arg(key).arg(owner).take();
    wire.ask(StepKind::Release, delete).await
}

fn owned(owner: String) -> Lease {
    Lease {
        owner,
        ..Lease::default()
    }
}

fn fenced(token: u64) -> Lease {
    Lease {
        token,
        owner: token.to_string(),
        ..Lease::default()
    }
}

fn ms(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

fn random() -> String {
    let mut bytes = [0; 8];
    SystemEntropy.fill(&mut bytes);
    format!("{:016x}", u64::from_le_bytes(bytes))
}

const TAKE: &str = "if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local token = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], token, 'PX', ARGV[1])
return token";

const RENEW: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])";

const DELETE: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])";
