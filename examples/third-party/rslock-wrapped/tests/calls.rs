//! The three calls on a real server.
#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use lock_testkit::service::RedisServer;
use rslock_wrapped::{Answer, Held, Wrapped};

const TTL: Duration = Duration::from_secs(600);

async fn granted(locks: &Wrapped) -> Held {
    match locks.acquire("x", TTL).await {
        Answer::Granted(held) => held,
        Answer::NotGranted(error) => panic!("it was free: {error}"),
    }
}

#[tokio::test]
async fn a_lock_is_granted_refused_extended_and_released() {
    let server = RedisServer::start().await.expect("a server");
    let (one, other) = (Wrapped::new(&[server.url()]), Wrapped::new(&[server.url()]));
    let mut held = granted(&one).await;
    assert!(held.validity() < TTL);
    let refused = other.acquire("x", TTL).await;
    assert!(matches!(refused, Answer::NotGranted(_)), "{refused}");
    let extended = one.extend(&mut held, 2 * TTL).await.expect("it is held");
    assert!(extended > TTL && extended == held.validity());
    one.release(&held).await;
    let next = granted(&other).await;
    assert_ne!(next.owner(), held.owner());
    // What is no longer held is not extended.
    assert!(one.extend(&mut held, TTL).await.is_err());
    // A release by one that does not hold it changes nothing.
    one.release(&held).await;
    let refused = one.acquire("x", TTL).await;
    assert!(matches!(refused, Answer::NotGranted(_)), "{refused}");
}
