//! [`BrokenLock`]: a store with a defect and clients with a habit, as a subject of the test kit.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use lock_core::{Clock, SeededEntropy};
use lock_testkit::subject::{Client, ServerFault, StepClient, Store, Subject, Traits, World};
use lock_testkit::{FaultyBackend, Link, SetupError};

use crate::client::{Habit, Habitual};
use crate::relay::{BLOCK, Relaying};
use crate::store::{Defect, ZooStore};

/// A lock that may be broken in its store, in its clients, or not at all.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct BrokenLock {
    /// What it is called.
    pub name: &'static str,
    /// What its store does wrong.
    pub defect: Defect,
    /// What its clients do wrong.
    pub habit: Habit,
    /// Whether its store declares a line.
    pub has_line: bool,
}

impl BrokenLock {
    /// A lock in which nothing is broken yet.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            defect: Defect::None,
            habit: Habit::None,
            has_line: false,
        }
    }
}

#[async_trait]
impl Subject for BrokenLock {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn traits(&self) -> Traits {
        let mut traits = Traits::of(ZooStore::capabilities(self.has_line));
        if self.habit.is_tokenless() {
            (traits.tokens, traits.state, traits.renews) = (false, false, false);
        }
        if self.habit.passes() && self.has_line {
            traits.overtaken = Some(BLOCK);
        }
        traits
    }

    async fn world(&self, seed: u64, clock: Arc<dyn Clock>) -> Result<Box<dyn World>, SetupError> {
        Ok(Box::new(BrokenWorld {
            store: ZooStore::new(Arc::clone(&clock), self.defect, self.has_line),
            habit: self.habit,
            clock,
            seed,
        }))
    }
}

struct BrokenWorld {
    store: ZooStore,
    habit: Habit,
    clock: Arc<dyn Clock>,
    seed: u64,
}

#[async_trait]
impl World for BrokenWorld {
    async fn client(&self, number: u32, link: Link) -> Result<Arc<dyn Client>, SetupError> {
        let backend = Arc::new(FaultyBackend::over(self.store.client(number), link));
        let seed = self.seed ^ u64::from(number).saturating_add(1).rotate_left(40);
        let clock = Arc::clone(&self.clock);
        let entropy = Arc::new(SeededEntropy::new(seed));
        let inner = StepClient::new(backend.clone(), Arc::clone(&clock), entropy.clone());
        if self.habit.passes() {
            return Ok(Arc::new(Relaying {
                inner,
                backend,
                clock,
                entropy,
                habit: self.habit,
                queues: Mutex::default(),
            }));
        }
        if self.habit == Habit::None {
            return Ok(Arc::new(inner));
        }
        Ok(Arc::new(Habitual {
            inner,
            backend,
            clock,
            habit: self.habit,
            has_lost: AtomicBool::new(false),
        }))
    }

    async fn server(&self, fault: &ServerFault) -> Result<bool, SetupError> {
        Ok(self.store.suffer(fault))
    }
}
