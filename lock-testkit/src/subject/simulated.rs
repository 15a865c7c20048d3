//! [`Simulated`]: a backend in this process' memory, on a simulated network.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use lock_core::{Clock, LockBackend, MemoryBackend, SeededEntropy};

use super::{Client, ServerFault, StepClient, Subject, Traits, World};
use crate::SetupError;
use crate::fault::{FaultyBackend, Link};

/// A store of which clients can be made.
pub trait Store: Send + Sync + 'static {
    /// One more client of the store.
    fn client(&self, number: u32) -> Arc<dyn LockBackend>;

    /// Does something to the store; `false` if it cannot.
    fn suffer(&self, _fault: &ServerFault) -> bool {
        false
    }
}

impl Store for MemoryBackend {
    fn client(&self, _number: u32) -> Arc<dyn LockBackend> {
        Arc::new(self.another_client())
    }
}

/// A backend whose store lives in this process, driven step by step.
///
/// # Examples
/// ```
/// use lock_core::{LockBackend, MemoryBackend};
/// use lock_testkit::subject::{Simulated, Traits};
///
/// // As `Simulated::memory()` does; implement `Store` for a store of your own.
/// let traits = Traits::of(MemoryBackend::new().capabilities());
/// let subject = Simulated::new("memory", traits, |_seed, clock| {
///     Box::new(MemoryBackend::with_clock(clock))
/// });
/// ```
pub struct Simulated {
    name: String,
    traits: Traits,
    store: Box<Make>,
}

type Make = dyn Fn(u64, Arc<dyn Clock>) -> Box<dyn Store> + Send + Sync;

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulated")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Simulated {
    /// The reference backend.
    #[must_use]
    pub fn memory() -> Self {
        let traits = Traits::of(MemoryBackend::new().capabilities());
        Self::new("memory", traits, |_seed, clock| {
            Box::new(MemoryBackend::with_clock(clock))
        })
    }

    /// A subject of this name; `store` makes a fresh store from a seed and a clock.
    pub fn new(
        name: impl Into<String>,
        traits: Traits,
        store: impl Fn(u64, Arc<dyn Clock>) -> Box<dyn Store> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            traits,
            store: Box::new(store),
        }
    }
}

#[async_trait]
impl Subject for Simulated {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn traits(&self) -> Traits {
        self.traits
    }

    async fn world(&self, seed: u64, clock: Arc<dyn Clock>) -> Result<Box<dyn World>, SetupError> {
        Ok(Box::new(SimulatedWorld {
            store: (self.store)(seed, Arc::clone(&clock)),
            clock,
            seed,
        }))
    }
}

struct SimulatedWorld {
    store: Box<dyn Store>,
    clock: Arc<dyn Clock>,
    seed: u64,
}

#[async_trait]
impl World for SimulatedWorld {
    async fn client(&self, number: u32, link: Link) -> Result<Arc<dyn Client>, SetupError> {
        let backend = FaultyBackend::over(self.store.client(number), link);
        let seed = self.seed ^ (u64::from(number).saturating_add(1)).rotate_left(40);
        Ok(Arc::new(StepClient::new(
            Arc::new(backend),
            Arc::clone(&self.clock),
            Arc::new(SeededEntropy::new(seed)),
        )))
    }

    async fn server(&self, fault: &ServerFault) -> Result<bool, SetupError> {
        Ok(self.store.suffer(fault))
    }
}
