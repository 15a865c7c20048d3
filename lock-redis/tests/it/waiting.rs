//! Waiters learn of their turn, by push or by timer, and nothing polls (C8); the connection breaks
//! and comes back, and neither holders nor waiters notice.

use std::time::Duration;

use lock_core::{LockClient, LockGuard, LockOptions, Previous};
use lock_testkit::proxy::Direction;
use lock_testkit::service::{Data, RedisServerOptions};
use tokio::task::JoinHandle;

use crate::net::{Net, counter, in_time, lasting, ms, settled, with_ttl};
use crate::server::Server;
use crate::{asks, granted, owner, ttl, until};

/// Without a push it would not look again before the holder's lease ends, long after the test.
fn never_polling() -> LockOptions {
    let minute = ms(60_000);
    let options = LockOptions::builder().ttl(minute).poll(ms(10), minute);
    options.build().unwrap()
}

type Waiter = JoinHandle<LockGuard<u32>>;

/// A waiter behind the network, in line for the name.
async fn waiter(net: &Net, options: LockOptions) -> Waiter {
    let locks = net.client(options).await;
    net.proxy.reset_counts();
    let waiter = tokio::spawn(async move { counter(&locks, "m").lock().await.unwrap() });
    net.stand_in_line("m", 1).await;
    // Refused, and refused once more after it had registered for wake-ups.
    until(|| async { (net.proxy.count("EVALSHA") == 2).then_some(()) }).await;
    waiter
}

/// Waits until the server has renewed so many leases more.
async fn renewals(net: &Net, count: u64) {
    let calls = || async {
        let calls = net.server.command_calls().await.unwrap();
        calls.get("PEXPIRE").copied().unwrap_or(0)
    };
    let before = calls().await;
    until(|| async { (calls().await >= before + count).then_some(()) }).await;
}

async fn has_its_turn(waiter: Waiter) -> LockGuard<u32> {
    in_time(waiter).await.unwrap()
}

#[tokio::test]
async fn a_waiter_gets_the_lock_by_push_and_asks_no_more_than_it_must() {
    let net = Net::start().await;
    let options = LockOptions::builder()
        .ttl(ms(60_000))
        .renew_interval(ms(200))
        .build()
        .unwrap();
    let other = LockClient::builder(net.server.backend().await).options(options);
    let mut holder = counter(&other.build(), "m").lock().await.unwrap();
    *holder = 1;
    let waiter = waiter(&net, never_polling()).await;
    // A poller would have asked by then, and so would one that every renewal stirs.
    renewals(&net, 4).await;
    assert_eq!(net.scripts_only(), 2);
    holder.commit().await.unwrap();
    let next = has_its_turn(waiter).await;
    assert_eq!(*next, 1);
    assert_eq!(net.scripts_only(), 3);
    next.release().await.unwrap();
    assert_eq!(net.scripts_only(), 4);
    net.is_free("m").await;
}

#[tokio::test]
async fn a_waiter_gets_the_lock_by_timer_when_the_holder_is_gone() {
    let net = Net::start().await;
    // A backend alone renews nothing: it is as good as a process that was killed.
    let dead = net.server.backend().await;
    let mut request = asks("m", owner());
    request.ttl = ttl(3000);
    let grant = granted(&dead, &request).await;
    let waiter = waiter(&net, never_polling()).await;
    let next = has_its_turn(waiter).await;
    assert!(next.token() > grant.token);
    assert_eq!(
        next.previous(),
        Previous::Abandoned {
            owner: request.owner,
            token: grant.token
        }
    );
    // One more if the server's clock is behind by more than the margin.
    assert!(net.scripts_only() <= 4, "{:?}", net.proxy.counts());
}

#[tokio::test]
async fn a_release_that_pushes_nothing_costs_the_waiter_a_bounded_delay() {
    let net = Net::start().await;
    let dead = net.server.backend().await;
    granted(&dead, &asks("m", owner())).await;
    // Where pushes are expected, the longest wait between two looks is ten times this second.
    let options = LockOptions::builder()
        .ttl(ms(60_000))
        .poll(ms(10), ms(100))
        .build()
        .unwrap();
    let waiter = waiter(&net, options).await;
    // A key that is deleted tells only its holder.
    assert_eq!(net.server.say::<i64>(&["DEL", "m"]).await, 1);
    let next = tokio::time::timeout(Duration::from_secs(10), waiter).await;
    next.unwrap().unwrap().release().await.unwrap();
}

#[tokio::test]
async fn a_wake_up_that_is_lost_with_its_connection_is_made_up_for() {
    let net = Net::start().await;
    let holder = counter(&net.other().await, "m").lock().await.unwrap();
    let waiter = waiter(&net, never_polling()).await;
    net.proxy.black_hole(Direction::ToClient);
    // The push is sent, and the lock reserved for the waiter.
    holder.commit().await.unwrap();
    net.proxy.reset_all();
    net.proxy.heal().await.unwrap();
    has_its_turn(waiter).await.commit().await.unwrap();
}

#[tokio::test]
async fn a_waiter_keeps_its_place_over_a_reconnect() {
    let net = Net::start().await;
    let holder = counter(&net.other().await, "m").lock().await.unwrap();
    let waiter = waiter(&net, never_polling()).await;
    let accepted = net.proxy.accepted();
    net.proxy.reset_all();
    // Nothing is asked of the connection, and it comes back all the same.
    until(|| async { (net.proxy.accepted() > accepted).then_some(()) }).await;
    until(|| async { (net.proxy.count("EVALSHA") >= 3).then_some(()) }).await;
    let line: i64 = net.server.say(&["ZCARD", "{m}:line"]).await;
    assert_eq!(line, 1);
    holder.commit().await.unwrap();
    has_its_turn(waiter).await.commit().await.unwrap();
    net.is_free("m").await;
}

#[tokio::test]
async fn a_waiter_that_is_away_when_the_lock_is_released_gets_it_when_it_is_back() {
    let net = Net::start().await;
    let holder = counter(&net.other().await, "m").lock().await.unwrap();
    let waiter = waiter(&net, never_polling()).await;
    net.proxy.refuse().await;
    net.proxy.reset_all();
    until(|| async {
        let channels: Vec<String> = net.server.say(&["PUBSUB", "CHANNELS"]).await;
        // The holder's own.
        (channels.len() == 1).then_some(())
    })
    .await;
    holder.commit().await.unwrap();
    net.proxy.heal().await.unwrap();
    has_its_turn(waiter).await.commit().await.unwrap();
}

#[tokio::test]
async fn a_lease_outlives_its_connections() {
    let net = Net::start().await;
    let locks = net.client(with_ttl(ms(2000))).await;
    let mutex = counter(&locks, "m");
    let mut guard = mutex.lock().await.unwrap();
    *guard = 1;
    // Each time as long as the lease was renewed anew since: more than two ttls in all.
    for _ in 0..7 {
        let renewed = net.proxy.count("EVALSHA");
        net.proxy.reset_all();
        until(|| async { (net.proxy.count("EVALSHA") > renewed).then_some(()) }).await;
    }
    net.proxy.reset_all();
    assert!(guard.is_held());
    in_time(guard.commit()).await.unwrap();
    assert_eq!(in_time(mutex.peek()).await.unwrap().value, 1);
    settled(&locks).await;
}

#[tokio::test]
async fn a_server_that_is_killed_and_keeps_its_data_costs_nobody_anything() {
    let options = RedisServerOptions::new()
        .config("appendonly yes")
        .config("appendfsync always");
    let net = Net::before(Server::with(&options).await).await;
    let locks = net.client(with_ttl(ms(30_000))).await;
    let mutex = counter(&locks, "m");
    let mut guard = mutex.lock().await.unwrap();
    *guard = 1;
    guard.save().await.unwrap();
    let token = guard.token();
    let waiting = net.client(never_polling()).await;
    let waiter = tokio::spawn(async move { counter(&waiting, "m").lock().await.unwrap() });
    net.stand_in_line("m", 1).await;
    net.server.restart(Data::Keep).await.unwrap();
    assert!(guard.is_held());
    *guard = 2;
    in_time(guard.commit()).await.unwrap();
    let next = has_its_turn(waiter).await;
    assert!(next.token() > token);
    assert_eq!((*next, next.previous()), (2, Previous::Released));
    next.commit().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_killed_and_forgets_is_told_to_the_holder_and_frees_the_name() {
    let net = Net::start().await;
    let locks = net.client(lasting()).await;
    let mutex = counter(&locks, "m");
    let guard = mutex.lock().await.unwrap();
    let token = guard.token();
    net.server.restart(Data::Discard).await.unwrap();
    // Told by the renewal that the reconnect asks for, and not by the next one in 20 s.
    let lost = tokio::time::timeout(Duration::from_secs(10), guard.lost()).await;
    assert_eq!(lost.unwrap(), lock_core::LossCause::Expired);
    let next = in_time(mutex.lock()).await.unwrap();
    assert!(next.token() > token);
    assert!(guard.commit().await.is_err());
    next.commit().await.unwrap();
}

/// Everything that C2 names, one after the other, for one client.
#[tokio::test]
async fn tokens_increase_over_release_expiry_force_flush_and_a_restart_that_forgets() {
    let net = Net::start().await;
    let locks = net.client(with_ttl(ms(10_000))).await;
    let mutex = counter(&locks, "m");
    let mut last = None;
    for round in 0..12 {
        let guard = in_time(mutex.lock()).await.unwrap();
        assert!(Some(guard.token()) > last, "{round}");
        last = Some(guard.token());
        match round % 6 {
            0 => guard.commit().await.unwrap(),
            1 => drop(locks.force_release("m").await.unwrap()),
            2 => net.server.say(&["FLUSHALL"]).await,
            3 => net.server.restart(Data::Discard).await.unwrap(),
            // It runs out before its time: nothing of the lease is left, its record is.
            4 => assert_eq!(net.server.say::<i64>(&["PEXPIRE", "m", "1"]).await, 1),
            _ => guard.release().await.unwrap(),
        }
    }
}
