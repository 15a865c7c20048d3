//! [`Stand`]: a lock of somebody else on a real server, as a subject of the test kit.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use lock_core::{Capabilities, Clock, Durability, Effect, Error, Moment, Then};
use lock_testkit::subject::{Acquired, Ask, Client, Failure, Held, Read, ServerFault};
use lock_testkit::subject::{Subject, Traits, World};
use lock_testkit::{Link, SetupError};

/// A lock as a user writes it on a driver: one attempt, and what is done with a lease.
#[async_trait]
pub(super) trait Lock: Send + Sync + 'static {
    /// What the process does before it needs the lock.
    async fn start(&self) -> Result<(), Error> {
        Ok(())
    }

    /// One attempt to take the lock.
    async fn attempt(&self, ask: &Ask) -> Result<Option<Lease>, Error>;

    /// Ends the lease; `false` if it was not held.
    async fn release(&self, key: &str, lease: &Lease) -> Result<bool, Error>;

    /// Prolongs the lease; `false` if it is lost.
    async fn renew(&self, _key: &str, _lease: &Lease, _ttl: Duration) -> Result<bool, Error> {
        Ok(false)
    }
}

/// What a lock knows of a lease that it took.
#[derive(Clone, Debug, Default)]
pub(super) struct Lease {
    /// The fencing token; 0 where there are none.
    pub(super) token: u64,
    /// What tells this lease from others at the store.
    pub(super) owner: String,
    /// Whether the lock lasts as long as a connection does, and not for a ttl.
    pub(super) is_of_session: bool,
}

/// Where the clients of a lock connect.
#[async_trait]
pub(super) trait Ground: Send + Sync + 'static {
    /// One more process with the lock in it. What it sends goes over the link.
    async fn lock(&self, link: Link) -> Result<Box<dyn Lock>, SetupError>;

    /// Does something to the server, and comes back when it serves again; `false` if it cannot.
    async fn suffer(&self, _fault: &ServerFault) -> Result<bool, SetupError> {
        Ok(false)
    }
}

/// Starts the servers of a lock.
pub(super) type Start = fn() -> BoxFuture<'static, Result<Arc<dyn Ground>, SetupError>>;

/// Whether worlds share one server.
enum Source {
    Shared(Arc<dyn Ground>),
    EachItsOwn(Start),
}

/// A lock on a real server.
pub(super) struct Stand {
    name: &'static str,
    traits: Traits,
    source: Source,
    worlds: AtomicU32,
}

impl fmt::Debug for Stand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stand")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Stand {
    /// All worlds share one server, under names of their own.
    pub(super) async fn shared(name: &'static str, start: Start) -> Result<Self, SetupError> {
        Ok(Self::on(name, Source::Shared(start().await?)))
    }

    /// Each world has servers of its own, since it leaves nothing of them.
    pub(super) fn each_its_own(name: &'static str, start: Start) -> Self {
        Self::on(name, Source::EachItsOwn(start))
    }

    fn on(name: &'static str, source: Source) -> Self {
        let mut traits = Traits::of(Capabilities::none());
        (traits.tokens, traits.state, traits.renews) = (false, false, false);
        Self {
            name,
            traits,
            source,
            worlds: AtomicU32::new(0),
        }
    }

    /// It grants tokens.
    pub(super) fn fenced(mut self) -> Self {
        self.traits.tokens = true;
        self
    }

    /// It declares that what it acknowledged survives a restart.
    pub(super) fn durable(mut self) -> Self {
        self.traits.capabilities.durability = Durability::Restart;
        self
    }
}

#[async_trait]
impl Subject for Stand {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn traits(&self) -> Traits {
        self.traits
    }

    async fn world(&self, _seed: u64, clock: Arc<dyn Clock>) -> Result<Box<dyn World>, SetupError> {
        let (ground, prefix) = match &self.source {
            Source::Shared(ground) => match self.worlds.fetch_add(1, Ordering::Relaxed) {
                0 => (Arc::clone(ground), String::new()),
                number => (Arc::clone(ground), format!("{number}/")),
            },
            Source::EachItsOwn(start) => (start().await?, String::new()),
        };
        Ok(Box::new(StandWorld {
            ground,
            clock,
            prefix,
        }))
    }
}

struct StandWorld {
    ground: Arc<dyn Ground>,
    clock: Arc<dyn Clock>,
    prefix: String,
}

#[async_trait]
impl World for StandWorld {
    async fn client(&self, _: u32, link: Link) -> Result<Arc<dyn Client>, SetupError> {
        let lock = self.ground.lock(link).await?;
        let started = lock.start().await;
        started.map_err(|e| SetupError::new("a client cannot start").with_source(e))?;
        Ok(Arc::new(Polling {
            lock,
            clock: Arc::clone(&self.clock),
        }))
    }

    fn prefix(&self) -> String {
        self.prefix.clone()
    }

    async fn server(&self, fault: &ServerFault) -> Result<bool, SetupError> {
        self.ground.suffer(fault).await
    }
}

/// The loop that everybody writes around one attempt. It does nothing wrong: it counts a lease from
/// before the request, less what clocks may differ by.
struct Polling {
    lock: Box<dyn Lock>,
    clock: Arc<dyn Clock>,
}

impl Polling {
    fn until(&self, sent: Moment, lease: &Lease, ttl: Duration) -> Moment {
        if lease.is_of_session {
            // As long as its connection, which lasts longer than any plan.
            return self.clock.now().after(SESSION);
        }
        let allowance = (ttl / 100).saturating_add(Duration::from_millis(2));
        sent.after(ttl.saturating_sub(allowance))
    }
}

#[async_trait]
impl Client for Polling {
    async fn acquire(&self, ask: &Ask) -> Result<Acquired, Failure> {
        let deadline = self.clock.now().after(ask.wait);
        let mut repeated = false;
        loop {
            let sent = self.clock.now();
            let answer = self.lock.attempt(ask).await;
            let now = self.clock.now();
            match answer {
                Ok(Some(lease)) => {
                    let until = self.until(sent, &lease, ask.ttl);
                    let mut held = Held::new(&ask.key, lease.token, until);
                    (held.repeated, held.inner) = (repeated, Box::new(lease));
                    return Ok(match now < until {
                        true => Acquired::Held(held),
                        false => Acquired::Late(held),
                    });
                }
                Ok(None) if now >= deadline => return Ok(Acquired::Refused { repeated }),
                Err(error) if now >= deadline => {
                    let mut failure = Failure::from(error);
                    if repeated {
                        failure.effect = Effect::Unknown;
                    }
                    return Err(failure);
                }
                Ok(None) => {}
                Err(error) => repeated |= error.effect() != Effect::NotApplied,
            }
            let until = now.after(POLL).min(deadline);
            self.clock.sleep_until(until).await;
        }
    }

    async fn renew(&self, held: &mut Held, ttl: Duration) -> Result<bool, Failure> {
        let lease = lease(held)?.clone();
        let sent = self.clock.now();
        let is_renewed = self.lock.renew(&held.key, &lease, ttl).await?;
        if is_renewed {
            held.valid_until = held.valid_until.max(self.until(sent, &lease, ttl));
        }
        Ok(is_renewed)
    }

    async fn commit(&self, _: &mut Held, _: &str, _: Then) -> Result<bool, Failure> {
        Err(no_value())
    }

    async fn release(&self, held: &mut Held) -> Result<bool, Failure> {
        let lease = lease(held)?.clone();
        Ok(self.lock.release(&held.key, &lease).await?)
    }

    async fn peek(&self, _: &str) -> Result<(Read, u64), Failure> {
        Err(no_value())
    }
}

fn lease(held: &Held) -> Result<&Lease, Failure> {
    held.inner
        .downcast_ref()
        .ok_or_else(|| Failure::new(Effect::NotApplied, "a lease of another client"))
}

fn no_value() -> Failure {
    Failure::new(Effect::NotApplied, "the lock keeps no value")
}

/// The pause between two attempts.
const POLL: Duration = Duration::from_millis(10);

/// A lock of a session is believed in for so long.
const SESSION: Duration = Duration::from_secs(3600);
