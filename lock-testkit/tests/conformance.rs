//! The conformance suite on the reference backend, as a third party would run it.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use lock_core::{LockBackend, MemoryBackend};
use lock_testkit::SetupError;
use lock_testkit::subject::{ServedStore, Setup};

fn main() -> ExitCode {
    lock_testkit::conformance::main(Memory)
}

struct Memory;

#[async_trait]
impl Setup for Memory {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    async fn store(&self) -> Result<Box<dyn ServedStore>, SetupError> {
        Ok(Box::new(Store(MemoryBackend::new())))
    }
}

struct Store(MemoryBackend);

#[async_trait]
impl ServedStore for Store {
    async fn connect(&self, _: Option<SocketAddr>) -> Result<Arc<dyn LockBackend>, SetupError> {
        Ok(Arc::new(self.0.another_client()))
    }
}
