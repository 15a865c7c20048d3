//! A Redis that writes everything to its disk keeps what it declares.

use async_trait::async_trait;
use lock_redis::RedisBackend;
use lock_testkit::SetupError;
use lock_testkit::conformance::{Settings, Standing, run};
use lock_testkit::service::{RedisServerOptions, RedisStore};
use lock_testkit::subject::{ServedStore, Setup};

struct Durable;

#[async_trait]
impl Setup for Durable {
    fn name(&self) -> String {
        "redis with a log".to_owned()
    }

    async fn store(&self) -> Result<Box<dyn ServedStore>, SetupError> {
        let options = RedisServerOptions::new()
            .config("appendonly yes")
            .config("appendfsync always");
        let connect = |url: String| async move { RedisBackend::connect(&url).await };
        Ok(Box::new(RedisStore::start(&options, connect).await?))
    }
}

#[test]
fn what_a_server_with_a_log_acknowledged_survives_its_kills() {
    let settings = Settings::default()
        .filter("claims/durability-acknowledged-steps-survive-a-restart")
        .filter("claims/tokens-increase-over-a-restart")
        .filter("plans/server-kill");
    let summary = run(Durable, settings).unwrap();
    assert!(summary.is_success(), "{summary}");
    for case in &summary.cases {
        assert!(matches!(case.standing, Standing::Pass(_)), "{case:?}");
    }
    assert!(
        summary.statement().contains("durability restart"),
        "{summary}"
    );
}
