//! Each step's contract.

use std::time::Duration;

use lock_core::{ErrorKind, FencingToken, LockBackend, LossCause, Previous, Renew, Renewal, Then};

use crate::file::Locks;
use crate::{
    asks, commits, granted, granted_in_time, is_committed, name, owner, refused, renewed, state,
    ttl,
};

#[tokio::test]
async fn a_thousand_leases_are_renewed_each_by_itself() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    let mut requests = Vec::new();
    for i in 0..600 {
        let lock = format!("lock-{i}");
        let request = asks(&lock, owner());
        let grant = granted(&backend, &request).await;
        requests.push(Renew::new(
            name(&lock),
            request.owner,
            grant.token,
            ttl(50_000),
        ));
    }
    locks
        .sql("DELETE FROM locks WHERE name = CAST('lock-300' AS BLOB)")
        .await;
    locks
        .sql("UPDATE locks SET owner = x'00' WHERE name = CAST('lock-7' AS BLOB)")
        .await;
    let answers = backend.renew(&requests).await;
    assert_eq!(answers.len(), requests.len());
    for (i, answer) in answers.into_iter().enumerate() {
        match i {
            7 => assert_eq!(answer.unwrap_err().kind(), ErrorKind::Invalid),
            300 => assert_eq!(
                answer.unwrap(),
                Renewal::Lost {
                    cause: LossCause::Expired
                }
            ),
            _ => assert_eq!(answer.unwrap(), Renewal::Renewed { others_wait: false }),
        }
    }
    assert!(backend.renew(&[]).await.is_empty());
}

#[tokio::test]
async fn names_are_independent_whatever_bytes_they_hold() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    let names = [
        "x",
        "\0",
        "x\0",
        "x\0y",
        "x ",
        "X",
        "%",
        "_",
        "'; DROP TABLE locks; --",
        "\u{feff}x",
        "ä",
        "a\u{308}",
    ];
    for lock in names {
        let request = asks(lock, owner());
        let grant = granted(&backend, &request).await;
        assert!(is_committed(
            &backend
                .commit(&commits(lock, request.owner, &grant, 1, lock))
                .await
                .unwrap()
        ));
    }
    for lock in names {
        assert_eq!(
            backend.peek(&name(lock)).await.unwrap().unwrap().state,
            state(lock)
        );
    }
}

#[tokio::test]
async fn tokens_increase_over_release_expiry_force_and_the_loss_of_the_file() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    let mut last = FencingToken::new(0);
    for round in 0..5 {
        let mut request = asks("x", owner());
        request.ttl = ttl(50);
        let grant = granted_in_time(&backend, &request).await;
        assert!(grant.token > last);
        assert!(grant.token.get() < 1 << 53);
        last = grant.token;
        match round {
            0 => drop(backend.release(&name("x"), request.owner).await.unwrap()),
            // The lease runs out before the next is granted.
            1 => {}
            2 => drop(backend.force_release(&name("x")).await.unwrap()),
            _ => std::fs::remove_file(locks.path()).unwrap(),
        }
    }
    assert!(granted_in_time(&backend, &asks("x", owner())).await.token > last);
}

#[tokio::test]
async fn tokens_increase_although_many_are_reserved_ahead_of_the_clock() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    let mut request = asks("x", owner());
    request.reserve = u32::MAX;
    request.forget_after = Some(Duration::ZERO);
    let first = granted(&backend, &request).await;
    // 2^32 µs are 71 minutes, for which the record has to be kept beyond the lease.
    let kept = locks
        .number("SELECT forget_at_us - unixepoch() * 1000000 FROM locks")
        .await;
    assert!(kept > 70 * 60 * 1_000_000, "{kept}");
    backend.release(&name("x"), request.owner).await.unwrap();
    let next = granted(&backend, &asks("x", owner())).await;
    assert_eq!(next.token.get(), first.token.get() + u64::from(u32::MAX));
}

#[tokio::test]
async fn an_idle_name_is_forgotten_only_if_asked_and_its_tokens_go_on() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    let kept = asks("kept", owner());
    granted(&backend, &kept).await;
    assert_eq!(
        locks.number("SELECT count(forget_at_us) FROM locks").await,
        0
    );
    backend.release(&name("kept"), kept.owner).await.unwrap();

    let mut request = asks("x", owner());
    request.forget_after = Some(Duration::from_secs(3600));
    let grant = granted(&backend, &request).await;
    let mut commit = commits("x", request.owner, &grant, 1, "1");
    commit.then = Then::Release;
    backend.commit(&commit).await.unwrap();
    // Its time comes; and its last token is ahead of the clock, as if that had been set back.
    let ahead = 1_i64 << 52;
    locks
        .sql(&format!(
            "UPDATE locks SET forget_at_us = 1, last_token = {ahead} WHERE forget_at_us > 0"
        ))
        .await;
    assert!(backend.peek(&name("x")).await.unwrap().is_none());
    assert_eq!(
        backend.inspect(&name("x")).await.unwrap(),
        lock_core::LockInfo::free(name("x"))
    );
    // The next client that comes clears it away.
    let next = granted(&locks.backend().await, &asks("x", owner())).await;
    assert_eq!((next.previous, next.state), (Previous::First, None));
    assert_eq!(next.token.get(), ahead.unsigned_abs() + 1);
    assert_eq!(locks.number("SELECT count(*) FROM states").await, 0);
    assert_eq!(locks.number("SELECT count(*) FROM locks").await, 2);
}

#[tokio::test]
async fn a_lease_in_force_is_not_forgotten_whatever_the_wall_clock_says() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    let mut request = asks("x", owner());
    request.forget_after = Some(Duration::ZERO);
    let grant = granted(&backend, &request).await;
    locks.sql("UPDATE locks SET forget_at_us = 1").await;
    let other = locks.backend().await;
    refused(&other, &asks("x", owner())).await;
    let held = renewed(&backend, "x", request.owner, grant.token).await;
    assert!(matches!(held, Renewal::Renewed { .. }));
}

#[tokio::test]
async fn a_lease_of_an_earlier_boot_is_over_and_counts_as_abandoned() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    let request = asks("x", owner());
    let grant = granted(&backend, &request).await;
    // After a restart of the machine its clock may be anywhere.
    locks
        .sql("UPDATE locks SET boot = x'000102030405060708090a0b0c0d0e0f', expires_ns = 1 << 62")
        .await;
    let lost = Renewal::Lost {
        cause: LossCause::Expired,
    };
    assert_eq!(
        renewed(&backend, "x", request.owner, grant.token).await,
        lost
    );
    assert!(backend.list("", 9).await.unwrap().is_empty());
    let next = granted(&backend, &asks("x", owner())).await;
    let abandoned = Previous::Abandoned {
        owner: request.owner,
        token: grant.token,
    };
    assert_eq!(next.previous, abandoned);
    assert!(next.token > grant.token);
}

#[tokio::test]
async fn a_plain_lock_does_not_make_the_file_forget_a_value() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    let request = asks("x", owner());
    let grant = granted(&backend, &request).await;
    let mut commit = commits("x", request.owner, &grant, 1, "1");
    commit.then = Then::Release;
    backend.commit(&commit).await.unwrap();
    let mut plain = asks("x", owner());
    plain.forget_after = Some(Duration::from_secs(1));
    plain.spare_state = true;
    granted(&backend, &plain).await;
    assert_eq!(
        locks.number("SELECT count(forget_at_us) FROM locks").await,
        0
    );
}

#[tokio::test]
async fn each_namespace_has_its_own_names() {
    let locks = Locks::new();
    let (one, other) = (
        locks.options().namespace("a").connect().await.unwrap(),
        locks.options().namespace("").connect().await.unwrap(),
    );
    let request = asks("x", owner());
    granted(&one, &request).await;
    granted(&other, &asks("ax", owner())).await;
    granted(&other, &asks("x", owner())).await;
    assert_eq!(one.list("", 9).await.unwrap().len(), 1);
    assert_eq!(other.list("", 9).await.unwrap().len(), 2);
    one.release(&name("x"), request.owner).await.unwrap();
    assert!(other.inspect(&name("x")).await.unwrap().holder.is_some());
}
