//! [`Served`]: a backend whose store is a real server, with a proxy in front of each client.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Clock, Entropy, LockBackend, LockName, SystemEntropy};
use tokio::sync::Mutex;

use super::{Client, ServerFault, StepClient, Subject, Traits, World};
use crate::SetupError;
use crate::fault::{FaultyBackend, Link};
use crate::plan::NetworkFault;
use crate::proxy::{Direction, Proxy, Shape};

/// How a backend is made for tests: what its author writes.
///
/// # Examples
/// ```
/// use std::net::SocketAddr;
/// use std::sync::Arc;
///
/// use async_trait::async_trait;
/// use lock_core::{LockBackend, MemoryBackend};
/// use lock_testkit::SetupError;
/// use lock_testkit::subject::{ServedStore, Setup, Traits};
///
/// struct Memory;
///
/// #[async_trait]
/// impl Setup for Memory {
///     fn name(&self) -> String {
///         "memory".to_owned()
///     }
///
///     async fn store(&self) -> Result<Box<dyn ServedStore>, SetupError> {
///         Ok(Box::new(Store(MemoryBackend::new())))
///     }
/// }
///
/// struct Store(MemoryBackend);
///
/// #[async_trait]
/// impl ServedStore for Store {
///     async fn connect(&self, _: Option<SocketAddr>) -> Result<Arc<dyn LockBackend>, SetupError> {
///         Ok(Arc::new(self.0.another_client()))
///     }
/// }
/// ```
#[async_trait]
pub trait Setup: Send + Sync + 'static {
    /// What the backend is called in reports.
    fn name(&self) -> String;

    /// Starts a store that is empty, or connects to one that does not mind more names.
    ///
    /// # Errors
    /// If none is to be had, with what to do about it.
    async fn store(&self) -> Result<Box<dyn ServedStore>, SetupError>;

    /// By how much a lease may last longer than asked for, beyond a millisecond: what the store
    /// rounds a ttl up to, and how late it notices that one is over. No lease may be shorter.
    fn granularity(&self) -> Duration {
        Duration::ZERO
    }
}

/// A store that was started for tests. It is gone when it is dropped.
#[async_trait]
pub trait ServedStore: Send + Sync + 'static {
    /// Where clients connect, so that a proxy can stand in between; `None` where there is no network.
    fn address(&self) -> Option<SocketAddr> {
        None
    }

    /// One more client, as a process of its own would have it, by way of the proxy at this address.
    ///
    /// # Errors
    /// If it cannot connect.
    async fn connect(&self, by: Option<SocketAddr>) -> Result<Arc<dyn LockBackend>, SetupError>;

    /// Deletes the store's record of a lease behind the library's back, as a careless administrator
    /// would; `false` if it cannot. Asked only where
    /// [`loss_alarm`](lock_core::Capabilities::loss_alarm) is to be proved.
    ///
    /// # Errors
    /// If it should have been done and failed.
    async fn delete(&self, _name: &LockName) -> Result<bool, SetupError> {
        Ok(false)
    }

    /// Does something to the server, and comes back when it serves again; `false` if it cannot.
    ///
    /// # Errors
    /// If it should have been done and failed.
    async fn suffer(&self, _fault: &ServerFault) -> Result<bool, SetupError> {
        Ok(false)
    }
}

/// A backend whose store is real, driven step by step in real time. All of its worlds share one
/// store, under names of their own.
pub struct Served {
    name: String,
    traits: Traits,
    store: Arc<dyn ServedStore>,
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served")
            .field("name", &self.name)
            .field("traits", &self.traits)
            .finish_non_exhaustive()
    }
}

impl Served {
    /// Starts a store and asks the backend what it promises.
    ///
    /// # Errors
    /// If the store is not to be had or does not let a client in.
    pub async fn start(setup: &dyn Setup) -> Result<Self, SetupError> {
        let store: Arc<dyn ServedStore> = setup.store().await?.into();
        let backend = connect(&*store, store.address()).await?;
        let mut traits = Traits::of(backend.capabilities());
        traits.granularity = setup.granularity();
        Ok(Self {
            name: setup.name(),
            traits,
            store,
        })
    }

    /// One more client. A server on a busy machine may let one in at the second try only, and that
    /// says nothing of its locks.
    ///
    /// # Errors
    /// That of the last of three tries.
    pub async fn connect(
        &self,
        by: Option<SocketAddr>,
    ) -> Result<Arc<dyn LockBackend>, SetupError> {
        connect(&*self.store, by).await
    }

    /// The store of all worlds.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ServedStore> {
        &self.store
    }
}

#[async_trait]
impl Subject for Served {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn traits(&self) -> Traits {
        self.traits
    }

    async fn world(&self, _seed: u64, clock: Arc<dyn Clock>) -> Result<Box<dyn World>, SetupError> {
        let mut random = [0; 8];
        SystemEntropy.fill(&mut random);
        Ok(Box::new(ServedWorld {
            store: Arc::clone(&self.store),
            clock,
            prefix: format!("{:016x}/", u64::from_le_bytes(random)),
            proxies: Mutex::default(),
        }))
    }
}

async fn connect(
    store: &dyn ServedStore,
    by: Option<SocketAddr>,
) -> Result<Arc<dyn LockBackend>, SetupError> {
    for _ in 1..CONNECT_TRIES {
        if let Ok(backend) = store.connect(by).await {
            return Ok(backend);
        }
    }
    store.connect(by).await
}

/// So often a client tries to get in.
const CONNECT_TRIES: u32 = 3;

struct ServedWorld {
    store: Arc<dyn ServedStore>,
    clock: Arc<dyn Clock>,
    prefix: String,
    proxies: Mutex<BTreeMap<u32, Proxy>>,
}

#[async_trait]
impl World for ServedWorld {
    async fn client(&self, number: u32, link: Link) -> Result<Arc<dyn Client>, SetupError> {
        let by = match self.store.address() {
            Some(address) => {
                let proxy = Proxy::start_opaque(address).await?;
                let by = proxy.addr();
                drop(self.proxies.lock().await.insert(number, proxy));
                Some(by)
            }
            None => None,
        };
        let backend = FaultyBackend::over(connect(&*self.store, by).await?, link);
        Ok(Arc::new(StepClient::new(
            Arc::new(backend),
            Arc::clone(&self.clock),
            Arc::new(SystemEntropy),
        )))
    }

    fn prefix(&self) -> String {
        self.prefix.clone()
    }

    async fn server(&self, fault: &ServerFault) -> Result<bool, SetupError> {
        let is_done = self.store.suffer(fault).await?;
        // Another server may have taken its place.
        if let Some(address) = self.store.address() {
            for proxy in self.proxies.lock().await.values() {
                proxy.set_upstream(address);
            }
        }
        Ok(is_done)
    }

    async fn network(&self, client: u32, fault: Option<&NetworkFault>) -> Result<bool, SetupError> {
        let proxies = self.proxies.lock().await;
        match proxies.get(&client) {
            Some(proxy) => disturb(proxy, fault).await,
            None => Ok(false),
        }
    }
}

/// Does to the proxy in front of one client what a plan says; `None` ends it. `false` for what no
/// network does: it is up to the client's [`Link`]. For a [`World`] of one's own.
///
/// # Errors
/// If the proxy's port was taken while connections were refused.
///
/// # Cancel safety
/// Safe to drop: the network may be disturbed or not.
pub async fn disturb(proxy: &Proxy, fault: Option<&NetworkFault>) -> Result<bool, SetupError> {
    let both = [Direction::ToClient, Direction::ToServer];
    match fault {
        Some(NetworkFault::BlackHole { requests, replies }) => {
            if *requests {
                proxy.black_hole(Direction::ToServer);
            }
            if *replies {
                proxy.black_hole(Direction::ToClient);
            }
        }
        Some(NetworkFault::HalfOpen) => proxy.half_open(),
        Some(NetworkFault::Refuse) => {
            proxy.refuse().await;
            proxy.reset_all();
        }
        Some(NetworkFault::Reset) => proxy.reset_all(),
        Some(NetworkFault::Slow { ms }) => {
            let shape = Shape::new().latency(Duration::from_millis(*ms));
            for direction in both {
                proxy.shape(direction, shape);
            }
        }
        Some(NetworkFault::Sliced) => {
            let shape = Shape::new().slice(SLICE_BYTES);
            for direction in both {
                proxy.shape(direction, shape);
            }
        }
        // These are up to the link.
        Some(NetworkFault::HintsLost | NetworkFault::RenewalsStarved) => return Ok(false),
        None => {
            proxy.heal().await?;
            // Connections that were made to a line that is gone.
            proxy.reset_all();
        }
    }
    Ok(true)
}

const SLICE_BYTES: usize = 3;
