//! The conformance suite of lock-testkit on a PostgreSQL of its own.

mod store;

use std::process::ExitCode;

use async_trait::async_trait;
use lock_testkit::SetupError;
use lock_testkit::subject::{ServedStore, Setup};

fn main() -> ExitCode {
    lock_testkit::conformance::main(Postgres)
}

struct Postgres;

#[async_trait]
impl Setup for Postgres {
    fn name(&self) -> String {
        "postgres".to_owned()
    }

    async fn store(&self) -> Result<Box<dyn ServedStore>, SetupError> {
        store::direct().await
    }
}
