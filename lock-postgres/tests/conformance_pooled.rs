//! The conformance suite of lock-testkit through PgBouncer in transaction mode.

mod store;

use std::process::ExitCode;

use async_trait::async_trait;
use lock_testkit::SetupError;
use lock_testkit::subject::{ServedStore, Setup};

fn main() -> ExitCode {
    lock_testkit::conformance::main(Pooled)
}

struct Pooled;

#[async_trait]
impl Setup for Pooled {
    fn name(&self) -> String {
        "postgres behind PgBouncer".to_owned()
    }

    async fn store(&self) -> Result<Box<dyn ServedStore>, SetupError> {
        store::pooled().await
    }
}
