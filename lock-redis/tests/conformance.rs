//! The conformance suite of lock-testkit on a Redis of its own.

use std::process::ExitCode;

use async_trait::async_trait;
use lock_redis::RedisBackend;
use lock_testkit::SetupError;
use lock_testkit::service::{RedisServerOptions, RedisStore};
use lock_testkit::subject::{ServedStore, Setup};

fn main() -> ExitCode {
    lock_testkit::conformance::main(Redis)
}

struct Redis;

#[async_trait]
impl Setup for Redis {
    fn name(&self) -> String {
        "redis".to_owned()
    }

    async fn store(&self) -> Result<Box<dyn ServedStore>, SetupError> {
        let connect = |url: String| async move { RedisBackend::connect(&url).await };
        let options = RedisServerOptions::new();
        Ok(Box::new(RedisStore::start(&options, connect).await?))
    }
}
