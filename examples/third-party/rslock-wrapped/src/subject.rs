//! [`Rslock`]: what lock-testkit drives by plans, on a Redis of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Capabilities, Clock, Effect, Entropy, SystemEntropy, Then};
use lock_testkit::plan::NetworkFault;
use lock_testkit::proxy::{Fault, Proxy, Requests};
use lock_testkit::service::RedisServer;
use lock_testkit::subject::{
    Acquired, Ask, Client, Failure, Held, Read, ServerFault, Subject, Traits, World, disturb,
};
use lock_testkit::{Link, SetupError};
use rslock::LockError;
use tokio::sync::Mutex;

use crate::{Answer, Wrapped};

/// How long a client that waits lets pass between two attempts.
const POLL: Duration = Duration::from_millis(20);

/// rslock on one Redis, with a proxy in front of each client.
#[derive(Debug)]
pub struct Rslock {
    server: Arc<RedisServer>,
    faults: Vec<(u32, Requests, Fault)>,
}

impl Rslock {
    /// Starts a Redis that knows rslock's scripts already, so that each call of one is one request.
    ///
    /// # Errors
    /// If no Redis is to be had, or rslock does not get through to it.
    pub async fn start() -> Result<Self, SetupError> {
        let server = RedisServer::start().await?;
        let locks = Wrapped::new(&[server.url()]);
        let Answer::Granted(mut held) = locks.acquire("warm-up", Duration::from_secs(60)).await
        else {
            return Err(SetupError::new("rslock does not grant a free lock"));
        };
        let extended = locks.extend(&mut held, Duration::from_secs(60)).await;
        let _validity = extended.map_err(|e| SetupError::new("no extension").with_source(e))?;
        locks.release(&held).await;
        Ok(Self {
            server: Arc::new(server),
            faults: Vec::new(),
        })
    }

    /// Does this to requests of the client with this number, in each run.
    #[must_use]
    pub fn inject(mut self, client: u32, requests: Requests, fault: Fault) -> Self {
        self.faults.push((client, requests, fault));
        self
    }
}

#[async_trait]
impl Subject for Rslock {
    fn name(&self) -> String {
        "rslock 0.10.0 on one Redis".to_owned()
    }

    fn traits(&self) -> Traits {
        let mut traits = Traits::of(Capabilities::none());
        (traits.tokens, traits.state) = (false, false);
        traits
    }

    async fn world(&self, _seed: u64, clock: Arc<dyn Clock>) -> Result<Box<dyn World>, SetupError> {
        let mut random = [0; 8];
        SystemEntropy.fill(&mut random);
        Ok(Box::new(RslockWorld {
            server: Arc::clone(&self.server),
            faults: self.faults.clone(),
            clock,
            prefix: format!("{:016x}/", u64::from_le_bytes(random)),
            proxies: Mutex::default(),
        }))
    }
}

struct RslockWorld {
    server: Arc<RedisServer>,
    faults: Vec<(u32, Requests, Fault)>,
    clock: Arc<dyn Clock>,
    prefix: String,
    proxies: Mutex<BTreeMap<u32, Proxy>>,
}

#[async_trait]
impl World for RslockWorld {
    async fn client(&self, number: u32, link: Link) -> Result<Arc<dyn Client>, SetupError> {
        let proxy = Proxy::start(self.server.addr()).await?;
        for (client, requests, fault) in &self.faults {
            if *client == number {
                let _injected = proxy.inject(requests.clone(), *fault);
            }
        }
        let by: SocketAddr = proxy.addr();
        drop(self.proxies.lock().await.insert(number, proxy));
        Ok(Arc::new(RslockClient {
            locks: Wrapped::new(&[&self.server.url_via(by)]),
            clock: Arc::clone(&self.clock),
            link,
        }))
    }

    fn prefix(&self) -> String {
        self.prefix.clone()
    }

    /// The server is left alone: what rslock makes of one that forgets is known.
    async fn server(&self, _fault: &ServerFault) -> Result<bool, SetupError> {
        Ok(false)
    }

    async fn network(&self, client: u32, fault: Option<&NetworkFault>) -> Result<bool, SetupError> {
        match self.proxies.lock().await.get(&client) {
            Some(proxy) => disturb(proxy, fault).await,
            None => Ok(false),
        }
    }
}

struct RslockClient {
    locks: Wrapped,
    clock: Arc<dyn Clock>,
    /// Only tells when the client's process stands still.
    link: Link,
}

impl RslockClient {
    /// One attempt. `None` is all that rslock says of a refusal, a lost reply and a lost connection.
    async fn attempt(&self, ask: &Ask, repeated: bool) -> Result<Option<Acquired>, Failure> {
        self.link.thaw().await;
        let sent = self.clock.now();
        let answer = self.locks.acquire(&ask.key, ask.ttl).await;
        self.link.thaw().await;
        match answer {
            Answer::Granted(lock) => {
                // The most careful reading of the length that is returned: from before the request.
                let valid_until = sent.after(lock.validity());
                let mut held = Held::new(&ask.key, 0, valid_until);
                held.repeated = repeated;
                held.inner = Box::new(lock);
                Ok(Some(match self.clock.now() < valid_until {
                    true => Acquired::Held(held),
                    false => Acquired::Late(held),
                }))
            }
            Answer::NotGranted(LockError::TtlTooLarge) => Err(Failure::new(
                Effect::NotApplied,
                LockError::TtlTooLarge.to_string(),
            )),
            Answer::NotGranted(_) => Ok(None),
        }
    }
}

#[async_trait]
impl Client for RslockClient {
    async fn acquire(&self, ask: &Ask) -> Result<Acquired, Failure> {
        let deadline = self.clock.now().after(ask.wait);
        let mut repeated = false;
        loop {
            if let Some(acquired) = self.attempt(ask, repeated).await? {
                return Ok(acquired);
            }
            repeated = true;
            let now = self.clock.now();
            if now >= deadline {
                return Err(Failure::new(
                    Effect::Unknown,
                    "not granted, for whatever reason",
                ));
            }
            self.clock.sleep_until(now.after(POLL).min(deadline)).await;
        }
    }

    async fn renew(&self, held: &mut Held, ttl: Duration) -> Result<bool, Failure> {
        self.link.thaw().await;
        let sent = self.clock.now();
        let lock = held.inner.downcast_mut::<crate::Held>();
        let lock = lock.ok_or_else(|| Failure::new(Effect::NotApplied, "another client's"))?;
        let answer = self.locks.extend(lock, ttl).await;
        self.link.thaw().await;
        match answer {
            Ok(validity) => {
                held.valid_until = sent.after(validity);
                Ok(true)
            }
            // The time for which the grant was said to be valid has not passed yet.
            Err(error) => Err(Failure::new(Effect::Unknown, error.to_string())),
        }
    }

    async fn commit(&self, _: &mut Held, _: &str, _: Then) -> Result<bool, Failure> {
        Err(Failure::new(Effect::NotApplied, "rslock keeps no value"))
    }

    async fn release(&self, held: &mut Held) -> Result<bool, Failure> {
        self.link.thaw().await;
        let lock = held.inner.downcast_ref::<crate::Held>();
        let lock = lock.ok_or_else(|| Failure::new(Effect::NotApplied, "another client's"))?;
        self.locks.release(lock).await;
        Err(Failure::new(
            Effect::Unknown,
            "rslock does not say how a release went",
        ))
    }

    async fn peek(&self, _: &str) -> Result<(Read, u64), Failure> {
        Err(Failure::new(Effect::NotApplied, "rslock keeps no value"))
    }
}
