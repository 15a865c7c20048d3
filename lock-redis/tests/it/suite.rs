//! Parts of the conformance suite on servers that the whole of it does not need: one that writes
//! everything to its disk, and one whose clock jumps.

use async_trait::async_trait;
use lock_redis::RedisBackend;
use lock_testkit::SetupError;
use lock_testkit::conformance::{Settings, Standing, Summary, run};
use lock_testkit::service::{RedisServerOptions, RedisStore};
use lock_testkit::subject::{ServedStore, Setup};

enum Kind {
    Durable,
    Jumping,
}

#[async_trait]
impl Setup for Kind {
    fn name(&self) -> String {
        match self {
            Self::Durable => "redis with a log".to_owned(),
            Self::Jumping => "redis whose clock jumps".to_owned(),
        }
    }

    async fn store(&self) -> Result<Box<dyn ServedStore>, SetupError> {
        let connect = |url: String| async move { RedisBackend::connect(&url).await };
        let options = RedisServerOptions::new();
        Ok(Box::new(match self {
            Self::Durable => {
                let options = options
                    .config("appendonly yes")
                    .config("appendfsync always");
                RedisStore::start(&options, connect).await?
            }
            Self::Jumping => {
                let options = options.steppable_clock();
                RedisStore::start(&options, connect).await?.clock_steps()
            }
        }))
    }
}

#[track_caller]
fn passes(summary: &Summary) {
    for case in &summary.cases {
        assert!(matches!(case.standing, Standing::Pass(_)), "{case:?}");
    }
    assert!(!summary.cases.is_empty());
}

#[test]
fn what_a_server_with_a_log_acknowledged_survives_its_kills() {
    let settings = Settings::default()
        .filter("claims/durability-acknowledged-steps-survive-a-restart")
        .filter("claims/tokens-increase-over-a-restart")
        .filter("plans/server-kill");
    let summary = run(Kind::Durable, settings).unwrap();
    passes(&summary);
    assert!(
        summary.statement().contains("durability restart"),
        "{summary}"
    );
}

#[test]
fn tokens_and_values_survive_a_clock_that_jumps() {
    let settings = Settings::default().filter("plans/clock-step");
    passes(&run(Kind::Jumping, settings).unwrap());
}
