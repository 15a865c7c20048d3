//! Requests that arrive long after their client gave up, and others went on (C3, C6).

use lock_core::{
    DistributedMutex, Effect, ErrorKind, LockGuard, LockOptions, LossCause, Previous, Renewal,
};
use lock_testkit::proxy::{Fault, Hold, Injected, ReplyFate};

use crate::net::{Net, Step, add_one, counter, in_time, lasting, ms, settled, with_ttl};
use crate::{asks, granted_in_time, owner, renewed, until};

const HELD: Fault = Fault::HoldRequest(Hold::UntilTold);

/// Gives up soon, so that a test need not wait for it.
fn impatient(ttl: u64) -> LockOptions {
    LockOptions::builder()
        .ttl(ms(ttl))
        .request_timeout(ms(500))
        .patience(ms(700))
        .build()
        .unwrap()
}

/// Delivers all that is held, and waits until the server has executed it.
async fn delivered(zombies: &Injected) {
    assert!(!zombies.fates().is_empty());
    zombies.cancel();
    zombies.deliver();
    until(|| async {
        let executed = |fate: &lock_testkit::proxy::Fate| fate.reply != ReplyFate::None;
        zombies.fates().iter().all(executed).then_some(())
    })
    .await;
}

/// The next holder, in the middle of its work, has not noticed anything.
async fn undisturbed(net: &Net, mutex: &DistributedMutex<u32>, mut next: LockGuard<u32>) {
    let lock = next.name().as_str().to_owned();
    let left: i64 = net.server.say(&["PTTL", &lock]).await;
    assert!(left > 20_000, "the lease was shortened to {left} ms");
    assert_eq!(mutex.peek().await.unwrap().value, 10);
    *next += 1;
    next.commit().await.unwrap();
    assert_eq!(mutex.peek().await.unwrap().value, 11);
    net.is_free(&lock).await;
}

/// The next holder, in the middle of its work: it has written 10.
async fn next_holder(net: &Net) -> (DistributedMutex<u32>, LockGuard<u32>) {
    let mutex = counter(&net.other().await, "m");
    let mut next = in_time(mutex.lock()).await.unwrap();
    assert_eq!(*next, 0);
    *next = 10;
    next.save().await.unwrap();
    (mutex, next)
}

#[tokio::test]
async fn a_commit_that_arrives_after_the_next_grant_changes_nothing() {
    let net = Net::start().await;
    let locks = net.hasty(impatient(60_000)).await;
    let mut guard = counter(&locks, "m").lock().await.unwrap();
    *guard = 1;
    let zombies = net.proxy.inject(Step::Commit.requests().all(), HELD);
    let error = in_time(guard.commit()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Unavailable, Effect::Unknown)
    );
    let (mutex, next) = next_holder(&net).await;
    delivered(&zombies).await;
    undisturbed(&net, &mutex, next).await;
}

#[tokio::test]
async fn a_commit_whose_caller_went_away_changes_nothing_once_it_was_released() {
    let net = Net::start().await;
    let locks = net.hasty(lasting()).await;
    let mut guard = counter(&locks, "m").lock().await.unwrap();
    *guard = 1;
    let zombies = net.proxy.inject(Step::Commit.requests(), HELD);
    let commit = tokio::spawn(guard.commit());
    zombies.reached().await.unwrap();
    commit.abort();
    let (mutex, next) = next_holder(&net).await;
    delivered(&zombies).await;
    undisturbed(&net, &mutex, next).await;
    settled(&locks).await;
}

#[tokio::test]
async fn a_save_that_arrives_after_a_later_one_does_not_undo_it() {
    let net = Net::start().await;
    let locks = net.hasty(lasting()).await;
    let mutex = counter(&locks, "m");
    let mut guard = mutex.lock().await.unwrap();
    let zombies = net.proxy.inject(Step::Commit.requests(), HELD);
    *guard = 1;
    in_time(guard.save()).await.unwrap();
    *guard = 2;
    guard.save().await.unwrap();
    delivered(&zombies).await;
    assert_eq!(mutex.peek().await.unwrap().value, 2);
    guard.commit().await.unwrap();
}

#[tokio::test]
async fn an_acquire_that_arrives_after_its_end_takes_nothing_from_the_next_holder() {
    let net = Net::start().await;
    let locks = net.hasty(impatient(60_000)).await;
    let zombies = net.proxy.inject(Step::Acquire.requests().all(), HELD);
    let error = in_time(counter(&locks, "m").lock()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Unavailable, Effect::Unknown)
    );
    settled(&locks).await;
    let (mutex, next) = next_holder(&net).await;
    delivered(&zombies).await;
    // It may stand in line now, which costs whoever comes next the claim time at most.
    let third = counter(&net.other().await, "m");
    let third = tokio::spawn(async move { in_time(third.lock()).await });
    net.stand_in_line("m", 2).await;
    assert_eq!(mutex.peek().await.unwrap().value, 10);
    let token = next.token();
    next.commit().await.unwrap();
    let third = third.await.unwrap().unwrap();
    assert!(third.token() > token);
    assert_eq!((*third, third.previous()), (10, Previous::Released));
    third.commit().await.unwrap();
    net.is_free("m").await;
}

#[tokio::test]
async fn an_acquire_that_arrives_after_its_own_release_was_answered_takes_nothing() {
    let net = Net::start().await;
    let locks = net.hasty(lasting()).await;
    let zombies = net.proxy.inject(Step::Acquire.requests(), HELD);
    let guard = in_time(counter(&locks, "m").lock()).await.unwrap();
    guard.release().await.unwrap();
    delivered(&zombies).await;
    net.is_free("m").await;
}

/// The late acquire makes its owner holder once more, and the late commit finds it in place.
#[tokio::test]
async fn a_late_acquire_does_not_let_a_late_commit_of_the_same_owner_through() {
    let net = Net::start().await;
    let locks = net.hasty(with_ttl(ms(5000))).await;
    let acquire = net.proxy.inject(Step::Acquire.requests(), HELD);
    let mut guard = in_time(counter(&locks, "m").lock()).await.unwrap();
    *guard = 1;
    let commit = net.proxy.inject(Step::Commit.requests(), HELD);
    in_time(guard.commit()).await.unwrap();
    let other = counter(&net.other().await, "m");
    assert_eq!(in_time(add_one(&other)).await.unwrap(), 2);
    delivered(&acquire).await;
    assert_eq!(net.server.say::<i64>(&["EXISTS", "m"]).await, 1);
    delivered(&commit).await;
    assert_eq!(other.peek().await.unwrap().value, 2);
    // Nobody renews what the late acquire took.
    assert_eq!(in_time(add_one(&other)).await.unwrap(), 3);
}

#[tokio::test]
async fn an_acquire_that_arrives_when_nobody_wants_it_any_more_ends_at_its_ttl() {
    let net = Net::start().await;
    let locks = net.hasty(impatient(1000)).await;
    let zombies = net.proxy.inject(Step::Acquire.requests().all(), HELD);
    in_time(counter(&locks, "m").lock()).await.unwrap_err();
    settled(&locks).await;
    delivered(&zombies).await;
    let mutex = counter(&net.other().await, "m");
    in_time(mutex.lock()).await.unwrap().commit().await.unwrap();
    net.is_free("m").await;
}

#[tokio::test]
async fn a_release_that_arrives_after_the_next_grant_releases_nothing() {
    let net = Net::start().await;
    let locks = net.hasty(impatient(1500)).await;
    let guard = counter(&locks, "m").lock().await.unwrap();
    let zombies = net.proxy.inject(Step::Release.requests().all(), HELD);
    let error = in_time(guard.release()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Unavailable, Effect::Unknown)
    );
    let (mutex, next) = next_holder(&net).await;
    assert!(matches!(next.previous(), Previous::Abandoned { .. }));
    delivered(&zombies).await;
    undisturbed(&net, &mutex, next).await;
}

#[tokio::test]
async fn a_renewal_that_arrives_after_the_next_grant_prolongs_nothing() {
    let net = Net::start().await;
    let locks = net.hasty(with_ttl(ms(1500))).await;
    let mut guard = counter(&locks, "m").lock().await.unwrap();
    *guard = 1;
    let zombies = net.proxy.inject(Step::Renew.requests().all(), HELD);
    assert_eq!(in_time(guard.lost()).await, LossCause::Expired);
    // A backend alone: a client would be told of a change to its lease, and renew it.
    let backend = net.server.backend().await;
    let next = asks("m", owner());
    let grant = granted_in_time(&backend, &next).await;
    delivered(&zombies).await;
    let left: i64 = net.server.say(&["PTTL", "m"]).await;
    assert!(left > 20_000, "the lease was changed to {left} ms");
    let held = renewed(&backend, "m", next.owner, grant.token).await;
    assert!(matches!(held, Renewal::Renewed { .. }));
    let error = guard.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LeaseLost);
}

#[tokio::test]
async fn a_renewal_that_arrives_after_the_end_revives_nothing() {
    let net = Net::start().await;
    let locks = net.hasty(with_ttl(ms(2000))).await;
    let mutex = counter(&locks, "m");
    for committing in [false, true] {
        let guard = mutex.lock().await.unwrap();
        let zombies = net.proxy.inject(Step::Renew.requests(), HELD);
        zombies.reached().await.unwrap();
        let ended = if committing {
            in_time(guard.commit()).await
        } else {
            in_time(guard.release()).await
        };
        ended.unwrap();
        delivered(&zombies).await;
        let revived: i64 = net.server.say(&["EXISTS", "m"]).await;
        assert_eq!(revived, 0, "committing: {committing}");
        settled(&locks).await;
    }
}
