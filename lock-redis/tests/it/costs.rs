//! How many round trips things cost, counted in the network: every command, not only ours.

use std::time::Instant;

use futures_util::future::{join_all, try_join_all};

use crate::net::{Net, add_one, counter, in_time, lasting, ms, with_ttl};
use crate::until;

#[tokio::test]
async fn a_lock_and_a_commit_are_two_round_trips() {
    let net = Net::start().await;
    let locks = net.client(lasting()).await;
    let mutex = counter(&locks, "m");
    net.proxy.reset_counts();
    for rounds in 1..=10 {
        let mut guard = mutex.lock().await.unwrap();
        *guard += 1;
        guard.commit().await.unwrap();
        assert_eq!(net.scripts_only(), 2 * rounds);
    }
    add_one(&mutex).await.unwrap();
    assert_eq!(net.scripts_only(), 22);
    mutex.lock().await.unwrap().release().await.unwrap();
    assert_eq!(net.scripts_only(), 24);
    assert!(mutex.try_lock().await.unwrap().is_some());
    assert_eq!(net.scripts_only(), 25);
}

#[tokio::test]
async fn a_hundred_updates_at_once_share_a_commit() {
    let net = Net::start().await;
    let locks = net.client(lasting()).await;
    let mutex = counter(&locks, "m");
    net.proxy.reset_counts();
    in_time(try_join_all((0..100).map(|_| add_one(&mutex))))
        .await
        .unwrap();
    assert_eq!(net.scripts_only(), 2);
    assert_eq!(mutex.peek().await.unwrap().value, 100);
}

#[tokio::test]
async fn a_hundred_local_waiters_share_grants() {
    let net = Net::start().await;
    let locks = net.client(lasting()).await;
    let mutex = counter(&locks, "m");
    let holder = mutex.lock().await.unwrap();
    let waiting = try_join_all((0..100).map(|_| async {
        let mut guard = mutex.lock().await?;
        *guard += 1;
        guard.commit().await
    }));
    tokio::pin!(waiting);
    // They stand in the queue.
    assert!(futures_util::FutureExt::now_or_never(&mut waiting).is_none());
    net.proxy.reset_counts();
    let (released, done) = tokio::join!(holder.release(), in_time(waiting));
    released.unwrap();
    done.unwrap();
    // One commit each, and far fewer grants than one each.
    let scripts = net.scripts_only();
    assert!((101..150).contains(&scripts), "{scripts}");
    assert_eq!(mutex.peek().await.unwrap().value, 100);
}

#[tokio::test]
async fn a_held_lock_is_renewed_once_in_each_third_of_its_ttl() {
    let net = Net::start().await;
    let locks = net.client(with_ttl(ms(1500))).await;
    let started = Instant::now();
    let guard = counter(&locks, "m").lock().await.unwrap();
    net.proxy.reset_counts();
    until(|| async { (net.scripts_only() >= 6).then_some(()) }).await;
    let took = started.elapsed();
    // Sooner would be too often; later, a renewal was left out and the lease may be in danger.
    assert!(took >= ms(6 * 500 - 50), "{took:?}");
    assert!(took <= ms(6 * 500 + 1500), "{took:?}");
    assert!(guard.is_held());
}

#[tokio::test]
async fn a_thousand_held_locks_are_renewed_in_batches() {
    let net = Net::start().await;
    let locks = net.client(with_ttl(ms(6000))).await;
    let (locks, net) = (&locks, &net);
    let lock = |i: usize| async move { counter(locks, &format!("m{i}")).lock().await.unwrap() };
    let started = Instant::now();
    let guards = in_time(join_all((0..1000).map(lock))).await;
    net.proxy.reset_counts();
    let _reset: String = net.server.say(&["CONFIG", "RESETSTAT"]).await;
    // The only PEXPIRE from now on are those of renewals: one for each lease.
    let renewed = || async {
        net.server
            .command_calls()
            .await
            .unwrap()
            .get("PEXPIRE")
            .copied()
    };
    let enough = until(|| async { renewed().await.filter(|count| *count >= 3000) }).await;
    let rounds = started.elapsed().as_millis().div_ceil(1800);
    assert!(
        u128::from(enough) <= 1000 * rounds,
        "{enough} renewals of a thousand leases in {rounds} renew intervals"
    );
    // 32 leases a call at the most, so 32 calls a round if all are due at once; and a call of fewer
    // than twelve leases on average would be no batch.
    let calls = net.scripts_only();
    assert!((94..=250).contains(&calls), "{calls} calls");
    assert!(guards.iter().all(lock_core::LockGuard::is_held));
    in_time(join_all(
        guards.into_iter().map(lock_core::LockGuard::release),
    ))
    .await;
}
