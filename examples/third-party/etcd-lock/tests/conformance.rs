//! The conformance suite of lock-testkit on an etcd of its own.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use etcd_lock::EtcdBackend;
use lock_core::LockBackend;
use lock_testkit::SetupError;
use lock_testkit::service::{EtcdServer, EtcdServerOptions};
use lock_testkit::subject::{ServedStore, ServerFault, Setup};

fn main() -> ExitCode {
    lock_testkit::conformance::main(Etcd)
}

struct Etcd;

#[async_trait]
impl Setup for Etcd {
    fn name(&self) -> String {
        "etcd".to_owned()
    }

    async fn store(&self) -> Result<Box<dyn ServedStore>, SetupError> {
        // A lease of one second is the shortest with these; with the default it is two.
        let options = EtcdServerOptions::new()
            .flag("--heartbeat-interval=50")
            .flag("--election-timeout=500");
        Ok(Box::new(Store(options.start().await?)))
    }

    /// Whole seconds: one to round up to, and half of one until its end is noticed.
    fn granularity(&self) -> Duration {
        Duration::from_secs(2)
    }
}

struct Store(EtcdServer);

#[async_trait]
impl ServedStore for Store {
    fn address(&self) -> Option<SocketAddr> {
        Some(self.0.addr())
    }

    async fn connect(&self, by: Option<SocketAddr>) -> Result<Arc<dyn LockBackend>, SetupError> {
        let url = self.0.endpoint_via(by.unwrap_or(self.0.addr()));
        let backend = EtcdBackend::connect(&[&url], "lock/").await;
        let backend = backend.map_err(|e| SetupError::new("cannot connect").with_source(e))?;
        Ok(Arc::new(backend))
    }

    async fn suffer(&self, fault: &ServerFault) -> Result<bool, SetupError> {
        self.0.suffer(fault).await
    }
}
