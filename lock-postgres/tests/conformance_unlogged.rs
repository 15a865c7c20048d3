//! The conformance suite of lock-testkit on an unlogged table, a test a group.

mod store;

use async_trait::async_trait;
use lock_testkit::SetupError;
use lock_testkit::subject::{ServedStore, Setup};

lock_testkit::conformance!(Unlogged);

struct Unlogged;

#[async_trait]
impl Setup for Unlogged {
    fn name(&self) -> String {
        "postgres, unlogged".to_owned()
    }

    async fn store(&self) -> Result<Box<dyn ServedStore>, SetupError> {
        store::unlogged().await
    }
}
