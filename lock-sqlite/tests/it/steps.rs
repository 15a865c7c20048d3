//! Each step's contract.

use std::time::Duration;

use lock_core::{
    Acquisition, ErrorKind, FencingToken, ForcedRelease, LockBackend, LossCause, Previous, Release,
    Renew, Renewal, Stored, Then,
};

use crate::file::Locks;
use crate::{
    asks, commits, granted, granted_in_time, is_committed, name, owner, refused, renewed, state,
    ttl,
};

#[tokio::test]
async fn the_first_asker_is_granted_and_the_second_refused() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    let (a, b) = (owner(), owner());
    let grant = granted(&backend, &asks("x", a)).await;
    assert_eq!(grant.previous, Previous::First);
    assert_eq!(
        (grant.state, grant.reserved, grant.others_wait),
        (None, 1, false)
    );
    let refusal = refused(&backend, &asks("x", b)).await;
    let holder = refusal.holder.unwrap();
    assert_eq!((holder.owner, &*holder.label), (Some(a), "test"));
    let left = refusal.holder_expires_in.unwrap();
    assert!(
        left > Duration::from_secs(30) && left <= Duration::from_secs(60),
        "{left:?}"
    );
    granted(&backend, &asks("y", b)).await;
}

#[tokio::test]
async fn the_same_owner_is_given_the_same_grant_again() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    let mut request = asks("x", owner());
    request.reserve = 5;
    let first = granted(&backend, &request).await;
    assert_eq!(first.reserved, 5);
    assert_eq!(granted(&backend, &request).await, first);
    backend.release(&name("x"), request.owner).await.unwrap();
    let next = granted(&backend, &asks("x", owner())).await;
    assert!(next.token.get() >= first.token.get() + 5);
    assert_eq!(next.previous, Previous::Released);
}

#[tokio::test]
async fn a_late_acquire_after_the_release_revives_nothing() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    let request = asks("x", owner());
    granted(&backend, &request).await;
    assert_eq!(
        backend.release(&name("x"), request.owner).await.unwrap(),
        Release::Released
    );
    assert_eq!(
        backend.release(&name("x"), request.owner).await.unwrap(),
        Release::NotHeld
    );
    let late = backend.acquire(&request).await.unwrap();
    assert_eq!(late, Acquisition::Ended);
    granted(&backend, &asks("x", owner())).await;
}

#[tokio::test]
async fn a_commit_is_applied_once_and_never_late() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    let a = owner();
    let grant = granted(&backend, &asks("x", a)).await;
    let first = commits("x", a, &grant, 1, "1");
    let second = commits("x", a, &grant, 2, "2");
    assert!(backend.peek(&name("x")).await.unwrap().is_none());
    assert!(is_committed(&backend.commit(&first).await.unwrap()));
    assert!(is_committed(&backend.commit(&second).await.unwrap()));
    assert!(is_committed(&backend.commit(&first).await.unwrap()));
    let peeked = backend.peek(&name("x")).await.unwrap().unwrap();
    assert_eq!((peeked.state, peeked.token), (state("2"), grant.token));

    let mut last = commits("x", a, &grant, 3, "3");
    last.then = Then::Release;
    assert!(is_committed(&backend.commit(&last).await.unwrap()));
    // The reply was lost and the request is sent again, after the lease has ended by it.
    assert!(is_committed(&backend.commit(&last).await.unwrap()));
    let late = backend
        .commit(&commits("x", a, &grant, 4, "4"))
        .await
        .unwrap();
    let lost = Stored::Lost {
        cause: LossCause::Expired,
        last_commit: Some(grant.token),
    };
    assert_eq!(late, lost);

    let next = granted(&backend, &asks("x", owner())).await;
    assert_eq!(next.state, Some(state("3")));
    assert_eq!(next.previous, Previous::Released);
}

#[tokio::test]
async fn the_state_is_kept_byte_for_byte() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    let a = owner();
    let grant = granted(&backend, &asks("x", a)).await;
    for (sequence, text) in ["", "\0\r\n", "1e400"].into_iter().enumerate() {
        let sequence = u32::try_from(sequence).unwrap() + 1;
        let commit = commits("x", a, &grant, sequence, text);
        assert!(is_committed(&backend.commit(&commit).await.unwrap()));
        assert_eq!(
            backend.peek(&name("x")).await.unwrap().unwrap().state,
            state(text)
        );
    }
}

#[tokio::test]
async fn a_commit_of_an_earlier_token_of_the_same_lease_is_refused() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    let mut request = asks("x", owner());
    request.reserve = 3;
    let mut grant = granted(&backend, &request).await;
    let late = commits("x", request.owner, &grant, 1, "late");
    grant.token = FencingToken::new(grant.token.get() + 2);
    let newer = commits("x", request.owner, &grant, 1, "new");
    assert!(is_committed(&backend.commit(&newer).await.unwrap()));
    assert!(!is_committed(&backend.commit(&late).await.unwrap()));
    assert_eq!(
        backend.peek(&name("x")).await.unwrap().unwrap().state,
        state("new")
    );
    grant.token = FencingToken::new(grant.token.get() + 1);
    let beyond = commits("x", request.owner, &grant, 1, "beyond");
    assert!(!is_committed(&backend.commit(&beyond).await.unwrap()));
}

#[tokio::test]
async fn an_expired_lease_is_lost_and_not_revived() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    let mut short = asks("x", owner());
    short.ttl = ttl(50);
    let old = granted(&backend, &short).await;
    let b = owner();
    let grant = granted_in_time(&backend, &asks("x", b)).await;
    let abandoned = Previous::Abandoned {
        owner: short.owner,
        token: old.token,
    };
    assert_eq!(grant.previous, abandoned);
    let displaced = Renewal::Lost {
        cause: LossCause::Displaced,
    };
    assert_eq!(
        renewed(&backend, "x", short.owner, old.token).await,
        displaced
    );
    assert!(!is_committed(
        &backend
            .commit(&commits("x", short.owner, &old, 1, "?"))
            .await
            .unwrap()
    ));
    assert_eq!(
        backend.release(&name("x"), short.owner).await.unwrap(),
        Release::NotHeld
    );
    assert_eq!(
        backend.release(&name("x"), b).await.unwrap(),
        Release::Released
    );
    let expired = Renewal::Lost {
        cause: LossCause::Expired,
    };
    assert_eq!(
        renewed(&backend, "x", short.owner, old.token).await,
        expired
    );
}

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
async fn a_forced_release_fences_the_holder_out_and_says_so() {
    let locks = Locks::new();
    let backend = locks.backend().await;
    let request = asks("x", owner());
    let grant = granted(&backend, &request).await;
    let ForcedRelease::Released(holder) = backend.force_release(&name("x")).await.unwrap() else {
        panic!("it was held");
    };
    assert_eq!(holder.owner, Some(request.owner));
    assert_eq!(holder.token, Some(grant.token));
    assert_eq!(holder.label, "test");
    assert_eq!(
        backend.force_release(&name("x")).await.unwrap(),
        ForcedRelease::NotHeld
    );
    let forced = Renewal::Lost {
        cause: LossCause::Forced,
    };
    assert_eq!(
        renewed(&backend, "x", request.owner, grant.token).await,
        forced
    );
    let late = backend.acquire(&request).await.unwrap();
    assert_eq!(late, Acquisition::Ended);
    let next = granted(&backend, &asks("x", owner())).await;
    assert_eq!(next.previous, Previous::Forced);
    // Also when somebody else holds it by now.
    assert_eq!(
        renewed(&backend, "x", request.owner, grant.token).await,
        forced
    );
    let late = backend
        .commit(&commits("x", request.owner, &grant, 1, "?"))
        .await
        .unwrap();
    assert_eq!(
        late,
        Stored::Lost {
            cause: LossCause::Forced,
            last_commit: None
        }
    );
}

#[tokio::test]
async fn an_inspection_tells_the_holder_and_a_list_finds_it() {
    let locks = Locks::new();
    let backend = locks.options().namespace("app").connect().await.unwrap();
    let hostile = ["a{b}c%*", "a?[x]\\^-", "a", "b", "a\0\n", "ä"];
    for lock in hostile {
        granted(&backend, &asks(lock, owner())).await;
    }
    let free = asks("a-free", owner());
    granted(&backend, &free).await;
    backend.release(&name("a-free"), free.owner).await.unwrap();
    granted(&locks.backend().await, &asks("a-elsewhere", owner())).await;

    let mut found: Vec<String> = backend
        .list("a", 100)
        .await
        .unwrap()
        .into_iter()
        .map(|info| info.name.as_str().to_owned())
        .collect();
    found.sort();
    assert_eq!(found, ["a", "a\0\n", "a?[x]\\^-", "a{b}c%*"]);
    assert_eq!(backend.list("", 100).await.unwrap().len(), 6);
    assert_eq!(backend.list("a", 2).await.unwrap().len(), 2);
    assert_eq!(backend.list("a?[x", 9).await.unwrap().len(), 1);
    assert!(backend.list("zz", 9).await.unwrap().is_empty());

    let info = backend.inspect(&name("a")).await.unwrap();
    let holder = info.holder.unwrap();
    assert_eq!((holder.label.as_str(), info.waiting), ("test", 0));
    assert!(holder.held_for.unwrap() < Duration::from_secs(60));
    assert!(holder.expires_in.unwrap() <= Duration::from_secs(60));
    assert_eq!(holder.token, info.last_token);
    let info = backend.inspect(&name("a-free")).await.unwrap();
    assert_eq!((info.holder, info.previous), (None, Previous::Released));
    let info = backend.inspect(&name("never")).await.unwrap();
    assert_eq!(info, lock_core::LockInfo::free(name("never")));
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
