//! Requests and replies that get lost: the client repeats them, and each applies once (C6).

use lock_core::{Effect, ErrorKind, LockOptions};
use lock_testkit::proxy::{Fault, ReplyFate, Then};

use crate::net::{Net, Step, add_one, counter, in_time, lasting, ms, settled, with_ttl};
use crate::until;

/// Every way in which a request or its reply gets lost, seen and unseen.
const LOST: [Fault; 4] = [
    Fault::DropReply(Then::Close),
    Fault::DropReply(Then::Stall),
    Fault::DropRequest(Then::Close),
    Fault::DropRequest(Then::Stall),
];

#[tokio::test]
async fn an_acquire_whose_reply_was_lost_is_answered_with_the_grant_that_it_has() {
    let net = Net::start().await;
    let locks = net.hasty(lasting()).await;
    for (lock, then) in [("a", Then::Close), ("b", Then::Stall)] {
        let lost = net
            .proxy
            .inject(Step::Acquire.requests(), Fault::DropReply(then));
        // The repetition cannot come before the first grant was looked at.
        net.proxy.refuse().await;
        let mutex = counter(&locks, lock);
        let waiter = tokio::spawn(async move { mutex.lock().await });
        lost.answered().await.unwrap();
        let granted = net.record(lock, "g").await;
        net.proxy.heal().await.unwrap();
        let guard = in_time(waiter).await.unwrap().unwrap();
        assert_eq!(Some(guard.token().to_string()), granted, "{then:?}");
        assert_eq!(net.record(lock, "t").await, granted, "a token was burnt");
        guard.commit().await.unwrap();
        net.is_free(lock).await;
    }
    settled(&locks).await;
}

#[tokio::test]
async fn an_acquire_that_was_lost_is_sent_again() {
    let net = Net::start().await;
    let locks = net.hasty(lasting()).await;
    for (lock, then) in [("a", Then::Close), ("b", Then::Stall)] {
        let requests = Step::Acquire.requests().take(2);
        let lost = net.proxy.inject(requests, Fault::DropRequest(then));
        let guard = in_time(counter(&locks, lock).lock()).await.unwrap();
        assert!(lost.fates().iter().all(|fate| !fate.forwarded), "{lost:?}");
        assert_eq!(lost.fates().len(), 2);
        guard.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_commit_is_repeated_until_it_is_known_and_applies_once() {
    let net = Net::start().await;
    let locks = net.hasty(lasting()).await;
    let mutex = counter(&locks, "m");
    let mut expected = 0;
    for fault in LOST {
        // Twice in a row: the repetition is lost as well.
        let lost = net.proxy.inject(Step::Commit.requests().take(2), fault);
        expected += 1;
        let counted = in_time(add_one(&mutex)).await.unwrap();
        assert_eq!(counted, expected, "{fault:?}");
        assert_eq!(mutex.peek().await.unwrap().value, expected, "{fault:?}");
        let executed = matches!(fault, Fault::DropReply(_));
        assert_eq!(lost.fates().len(), 2);
        assert!(lost.fates().iter().all(|fate| fate.forwarded == executed));
        net.is_free("m").await;
    }
    settled(&locks).await;
}

#[tokio::test]
async fn saves_under_one_token_each_apply_once() {
    let net = Net::start().await;
    let locks = net.hasty(lasting()).await;
    let mutex = counter(&locks, "m");
    let mut guard = mutex.lock().await.unwrap();
    let token = guard.token();
    for fault in LOST {
        *guard += 1;
        let lost = net.proxy.inject(Step::Commit.requests(), fault);
        in_time(guard.save()).await.unwrap();
        assert_eq!(lost.fates().len(), 1);
        let peeked = mutex.peek().await.unwrap();
        assert_eq!((peeked.value, peeked.token), (*guard, Some(token)));
    }
    *guard += 1;
    net.proxy
        .inject(Step::Commit.requests(), Fault::DropReply(Then::Close));
    in_time(guard.commit()).await.unwrap();
    assert_eq!(mutex.peek().await.unwrap().value, 5);
}

#[tokio::test]
async fn a_release_whose_reply_was_lost_is_a_release() {
    let net = Net::start().await;
    let locks = net.hasty(lasting()).await;
    let mutex = counter(&locks, "m");
    for fault in LOST {
        let guard = mutex.lock().await.unwrap();
        let lost = net.proxy.inject(Step::Release.requests(), fault);
        in_time(guard.release()).await.unwrap();
        assert_eq!(lost.fates().len(), 1, "{fault:?}");
        net.is_free("m").await;
        assert_eq!(net.record("m", "e").await.as_deref(), Some("R"));
    }
    settled(&locks).await;
}

#[tokio::test]
async fn renewals_whose_replies_get_lost_cost_no_lease() {
    let net = Net::start().await;
    let locks = net.hasty(with_ttl(ms(2000))).await;
    let guard = counter(&locks, "m").lock().await.unwrap();
    let lose = |skip, fault| {
        let requests = Step::Renew.requests().skip(skip);
        net.proxy.inject(requests, fault)
    };
    let reply = lose(0, Fault::DropReply(Then::Close));
    let request = lose(2, Fault::DropRequest(Then::Close));
    let silent = lose(4, Fault::DropReply(Then::Stall));
    let after = lose(5, Fault::DeliverTwice);
    for lost in [&reply, &request, &silent, &after] {
        until(|| async { lost.fates().first().cloned() }).await;
    }
    until(|| async { (after.fates()[0].reply == ReplyFate::Delivered).then_some(()) }).await;
    assert!(guard.is_held());
    in_time(guard.commit()).await.unwrap();
}

#[tokio::test]
async fn steps_that_arrive_twice_apply_once() {
    let net = Net::start().await;
    let locks = net.client(lasting()).await;
    let twice = net.proxy.inject(
        lock_testkit::proxy::Requests::command("EVALSHA").all(),
        Fault::DeliverTwice,
    );
    let mutex = counter(&locks, "m");
    for _ in 0..5 {
        let mut guard = mutex.lock().await.unwrap();
        *guard += 1;
        guard.save().await.unwrap();
        *guard += 1;
        guard.commit().await.unwrap();
        mutex.lock().await.unwrap().release().await.unwrap();
    }
    assert_eq!(twice.fates().len(), 25);
    assert_eq!(mutex.peek().await.unwrap().value, 10);
    net.is_free("m").await;
}

#[tokio::test]
async fn a_commit_that_was_overtaken_before_it_was_known_is_unknown_and_not_applied_again() {
    let net = Net::start().await;
    let locks = net.hasty(lasting()).await;
    let mut guard = counter(&locks, "m").lock().await.unwrap();
    *guard = 1;
    let lost = net
        .proxy
        .inject(Step::Commit.requests(), Fault::DropReply(Then::Close));
    net.proxy.refuse().await;
    let commit = tokio::spawn(guard.commit());
    lost.answered().await.unwrap();
    let other = counter(&net.other().await, "m");
    let mut next = in_time(other.lock()).await.unwrap();
    assert_eq!(*next, 1);
    *next = 2;
    next.commit().await.unwrap();
    net.proxy.heal().await.unwrap();
    let error = in_time(commit).await.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::LeaseLost, Effect::Unknown),
        "{error}"
    );
    assert_eq!(other.peek().await.unwrap().value, 2);
}

#[tokio::test]
async fn what_is_not_known_when_the_time_is_up_is_reported_as_unknown() {
    let net = Net::start().await;
    let impatient = LockOptions::builder()
        .ttl(ms(4000))
        .request_timeout(ms(500))
        .patience(ms(700))
        .build()
        .unwrap();
    let locks = net.hasty(impatient).await;
    let mut committed = counter(&locks, "commit").lock().await.unwrap();
    let mut saved = counter(&locks, "save").lock().await.unwrap();
    let released = counter(&locks, "release").lock().await.unwrap();
    let wanted = counter(&locks, "acquire");
    (*committed, *saved) = (1, 1);
    net.proxy.partition();
    let (commit, save, release, acquire) = in_time(async {
        tokio::join!(
            committed.commit(),
            saved.save(),
            released.release(),
            wanted.lock()
        )
    })
    .await;
    let errors = [
        ("commit", commit.unwrap_err()),
        ("save", save.unwrap_err()),
        ("release", release.unwrap_err()),
        ("acquire", acquire.map(drop).unwrap_err()),
    ];
    for (operation, error) in errors {
        assert_eq!(
            (error.kind(), error.effect()),
            (ErrorKind::Unavailable, Effect::Unknown),
            "{error}"
        );
        assert!(error.attempts().unwrap() > 1, "{error}");
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("cannot {operation} lock '{operation}': "))
                && text.contains("; it may have taken effect ("),
            "{text}"
        );
    }
    drop(saved);
    // What was under way arrives now, and the releases of what was given up.
    net.proxy.heal().await.unwrap();
    settled(&locks).await;
    for lock in ["commit", "save", "release", "acquire"] {
        net.is_free(lock).await;
    }
    let value = counter(&locks, "commit").peek().await.unwrap().value;
    assert!(value <= 1, "{value}");
}
