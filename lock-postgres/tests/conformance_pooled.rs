//! The conformance suite of lock-testkit through PgBouncer in transaction mode, a test a group: a
//! server and a pooler for each case would take their time.

mod store;

use async_trait::async_trait;
use lock_testkit::SetupError;
use lock_testkit::subject::{ServedStore, Setup};

lock_testkit::conformance!(Pooled);

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
