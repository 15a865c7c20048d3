//! The line of waiting owners and the reservation for its first.

use std::time::Duration;

use lock_core::{LockBackend, LossCause, Previous, Release, Renewal, Then};

use crate::server::Server;
use crate::{
    asks, commits, granted, granted_in_time, hinted, name, owner, refused, renewed, ttl, until,
};

const LONG_CLAIM: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_release_reserves_the_lock_for_the_first_in_line_and_wakes_it() {
    let server = Server::start().await;
    let connect = || async {
        let options = server.options().claim_time(LONG_CLAIM);
        options.connect().await.unwrap()
    };
    let backends = [connect().await, connect().await, connect().await];
    let holder = asks("x", owner());
    let grant = granted(&backends[0], &holder).await;
    let first = asks("x", owner()).standing_in_line();
    let second = asks("x", owner()).standing_in_line();
    let mut hints = backends[1].watch(&name("x")).await.unwrap();
    refused(&backends[1], &first).await;
    refused(&backends[2], &second).await;
    // Asking again keeps the place.
    refused(&backends[1], &first).await;
    assert_eq!(backends[0].inspect(&name("x")).await.unwrap().waiting, 2);
    let held = renewed(&backends[0], "x", holder.owner, grant.token).await;
    assert_eq!(held, Renewal::Renewed { others_wait: true });

    let mut commit = commits("x", holder.owner, &grant, 1, "1");
    commit.then = Then::Release;
    backends[0].commit(&commit).await.unwrap();
    hinted(&mut hints).await;
    refused(&backends[2], &second).await;
    refused(&backends[0], &asks("x", owner())).await;
    assert_eq!(backends[0].inspect(&name("x")).await.unwrap().holder, None);
    let next = granted(&backends[1], &first).await;
    assert!(next.token > grant.token);
    assert!(next.others_wait);
    assert_eq!(next.previous, Previous::Released);
    assert_eq!(granted(&backends[1], &first).await, next);

    assert_eq!(
        backends[1].release(&name("x"), first.owner).await.unwrap(),
        Release::Released
    );
    // Late duplicates of it neither take the lock back nor stand in line again.
    assert_eq!(
        backends[1].acquire(&first).await.unwrap(),
        lock_core::Acquisition::Ended
    );
    assert!(!granted(&backends[2], &second).await.others_wait);
}

#[tokio::test]
async fn a_client_that_is_gone_is_skipped() {
    let server = Server::start().await;
    let backend = server
        .options()
        .claim_time(LONG_CLAIM)
        .connect()
        .await
        .unwrap();
    let gone = server.backend().await;
    let holder = asks("x", owner());
    granted(&backend, &holder).await;
    refused(&gone, &asks("x", owner()).standing_in_line()).await;
    refused(&gone, &asks("x", owner()).standing_in_line()).await;
    drop(gone);
    // The server notices the end of a connection in its own time.
    let listeners = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    until(|| async { (server.value(listeners).await == "1").then_some(()) }).await;
    let next = asks("x", owner()).standing_in_line();
    refused(&backend, &next).await;
    backend.release(&name("x"), holder.owner).await.unwrap();
    granted(&backend, &next).await;
    assert_eq!(backend.inspect(&name("x")).await.unwrap().waiting, 0);
}

#[tokio::test]
async fn a_reservation_that_nobody_claims_ends_and_wakes_the_second() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let frozen = server.backend().await;
    let holder = asks("x", owner());
    let grant = granted(&backend, &holder).await;
    refused(&frozen, &asks("x", owner()).standing_in_line()).await;
    let second = asks("x", owner()).standing_in_line();
    let mut hints = backend.watch(&name("x")).await.unwrap();
    refused(&backend, &second).await;
    backend.release(&name("x"), holder.owner).await.unwrap();
    hinted(&mut hints).await;
    let next = granted_in_time(&backend, &second).await;
    // Whom the lock was reserved for never held it.
    assert_eq!(next.previous, Previous::Released);
    assert!(next.token > grant.token);
}

#[tokio::test]
async fn one_that_gives_up_leaves_the_line_and_passes_its_reservation_on() {
    let server = Server::start().await;
    let backend = server
        .options()
        .claim_time(LONG_CLAIM)
        .connect()
        .await
        .unwrap();
    let holder = asks("x", owner());
    let grant = granted(&backend, &holder).await;
    let waiters: Vec<_> = (0..3)
        .map(|_| asks("x", owner()).standing_in_line())
        .collect();
    for waiter in &waiters {
        refused(&backend, waiter).await;
    }
    assert_eq!(
        backend.release(&name("x"), waiters[0].owner).await.unwrap(),
        Release::NotHeld
    );
    assert_eq!(backend.inspect(&name("x")).await.unwrap().waiting, 2);
    backend.release(&name("x"), holder.owner).await.unwrap();
    // The lock is reserved for the second waiter now, which is no lease yet.
    let lost = renewed(&backend, "x", waiters[1].owner, grant.token).await;
    assert!(matches!(lost, Renewal::Lost { .. }));
    assert_eq!(
        backend.release(&name("x"), waiters[1].owner).await.unwrap(),
        Release::NotHeld
    );
    assert_eq!(
        granted(&backend, &waiters[2]).await.previous,
        Previous::Released
    );
}

#[tokio::test]
async fn a_forced_release_hands_on_like_any_other() {
    let server = Server::start().await;
    let backend = server
        .options()
        .claim_time(LONG_CLAIM)
        .connect()
        .await
        .unwrap();
    let holder = asks("x", owner());
    let grant = granted(&backend, &holder).await;
    let waiter = asks("x", owner()).standing_in_line();
    refused(&backend, &waiter).await;
    let mut hints = backend.watch(&name("x")).await.unwrap();
    backend.force_release(&name("x")).await.unwrap();
    hinted(&mut hints).await;
    assert_eq!(granted(&backend, &waiter).await.previous, Previous::Forced);
    let forced = Renewal::Lost {
        cause: LossCause::Forced,
    };
    assert_eq!(
        renewed(&backend, "x", holder.owner, grant.token).await,
        forced
    );
}

#[tokio::test]
async fn a_lease_that_ran_out_leaves_the_line_to_the_next_attempts() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let mut short = asks("x", owner());
    short.ttl = ttl(50);
    granted(&backend, &short).await;
    let waiter = asks("x", owner()).standing_in_line();
    backend.acquire(&waiter).await.unwrap();
    let grant = granted_in_time(&backend, &waiter).await;
    assert!(!grant.others_wait);
    assert_eq!(backend.inspect(&name("x")).await.unwrap().waiting, 0);
}
