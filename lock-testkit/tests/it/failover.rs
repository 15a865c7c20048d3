//! What a replica that takes over remembers, and clocks that step.

use std::time::Duration;

use lock_testkit::resp::Reply;
use lock_testkit::service::{ClockStep, RedisFailover, RedisServerOptions};

use crate::client::bulk;

#[tokio::test]
async fn a_token_from_after_the_cut_is_forgotten_by_the_failover() {
    let pair = RedisFailover::start().await.unwrap();
    let token = pair.primary().command(&["INCR", "token"]).await.unwrap();
    assert_eq!(token, Reply::Integer(1));
    pair.until_in_step().await.unwrap();
    pair.cut_link().await.unwrap();
    let token = pair.primary().command(&["INCR", "token"]).await.unwrap();
    assert_eq!(token, Reply::Integer(2));
    pair.fail_over().await.unwrap();
    // The same token is given a second time.
    let token = pair.replica().command(&["INCR", "token"]).await.unwrap();
    assert_eq!(token, Reply::Integer(2));
}

#[tokio::test]
async fn a_token_is_not_forgotten_by_a_failover_in_step() {
    let options = RedisServerOptions::new().password("secret");
    let pair = RedisFailover::start_with(&options).await.unwrap();
    pair.primary().command(&["INCR", "token"]).await.unwrap();
    pair.until_in_step().await.unwrap();
    pair.fail_over().await.unwrap();
    let token = pair.replica().command(&["GET", "token"]).await.unwrap();
    assert_eq!(token, bulk("1"));
    pair.primary().command(&["PING"]).await.unwrap_err();
}

#[tokio::test]
async fn a_key_expires_when_the_clock_of_its_redis_steps_past_it() {
    let options = RedisServerOptions::new().steppable_clock();
    let server = options.start().await.unwrap();
    let hour = Duration::from_secs(3600);
    server
        .command(&["SET", "k", "v", "EX", "3600"])
        .await
        .unwrap();
    server.step_clock(ClockStep::Back(hour)).await.unwrap();
    let Reply::Integer(left_ms) = server.command(&["PTTL", "k"]).await.unwrap() else {
        panic!("PTTL answers with a number");
    };
    assert!(left_ms > 3_600_000, "{left_ms}");
    server
        .step_clock(ClockStep::Forward(3 * hour))
        .await
        .unwrap();
    let gone = server.command(&["GET", "k"]).await.unwrap();
    assert_eq!(gone, Reply::Nil);
}

#[tokio::test]
async fn a_clock_that_is_the_machine_s_does_not_step() {
    let server = RedisServerOptions::new().start().await.unwrap();
    let hour = Duration::from_secs(3600);
    let error = server.step_clock(ClockStep::Forward(hour)).await;
    error.unwrap_err();
}

#[tokio::test]
async fn flushed_scripts_are_forgotten() {
    let server = RedisServerOptions::new().start().await.unwrap();
    let digest = server
        .command(&["SCRIPT", "LOAD", "return 1"])
        .await
        .unwrap();
    let digest = digest.text().unwrap();
    server.command(&["EVALSHA", &digest, "0"]).await.unwrap();
    server.flush_scripts().await.unwrap();
    let error = server
        .command(&["EVALSHA", &digest, "0"])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("NOSCRIPT"), "{error}");
}
