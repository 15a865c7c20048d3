//! Each step's contract.

use std::time::Duration;

use lock_core::{
    Acquisition, FencingToken, ForcedRelease, LockBackend, LossCause, Previous, Release, Renew,
    Renewal, Stored, Then,
};
use lock_testkit::service::Data;

use crate::server::Server;
use crate::{
    asks, commits, granted, granted_in_time, is_committed, name, owner, refused, renewed, state,
    ttl,
};

#[tokio::test]
async fn the_first_asker_is_granted_and_the_second_refused() {
    let server = Server::start().await;
    let backend = server.backend().await;
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
    let server = Server::start().await;
    let backend = server.backend().await;
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
async fn tokens_increase_over_release_expiry_flush_and_restart() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let mut last = FencingToken::new(0);
    for round in 0..4 {
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
            2 => drop(server.say("DELETE FROM lock_records").await),
            _ => {
                server.restart(Data::Discard).await.unwrap();
                server.options().migrate().await.unwrap();
            }
        }
    }
    assert!(granted_in_time(&backend, &asks("x", owner())).await.token > last);
}

#[tokio::test]
async fn tokens_increase_although_many_are_reserved_ahead_of_the_clock() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let mut request = asks("x", owner());
    request.reserve = u32::MAX;
    request.forget_after = Some(Duration::ZERO);
    let first = granted(&backend, &request).await;
    // 2^32 µs are 71 minutes, for which the record has to be kept beyond the lease.
    let kept = "SELECT forget_at > clock_timestamp() + interval '70 minutes' FROM lock_records";
    assert_eq!(server.value(kept).await, "t");
    backend.release(&name("x"), request.owner).await.unwrap();
    let next = granted(&backend, &asks("x", owner())).await;
    assert_eq!(next.token.get(), first.token.get() + u64::from(u32::MAX));
    let last = server.value("SELECT last_token FROM lock_records").await;
    assert_eq!(last, next.token.to_string());
}

#[tokio::test]
async fn an_idle_name_is_forgotten_only_if_asked() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let mut request = asks("x", owner());
    let grant = granted(&backend, &request).await;
    let forget_at = "SELECT forget_at > clock_timestamp() + interval '1 hour' FROM lock_records";
    assert_eq!(server.value(forget_at).await, "");
    request.forget_after = Some(Duration::from_secs(3600));
    granted(&backend, &request).await;
    assert_eq!(server.value(forget_at).await, "t");
    renewed(&backend, "x", request.owner, grant.token).await;
    assert_eq!(server.value(forget_at).await, "");
}

#[tokio::test]
async fn a_late_acquire_after_the_release_revives_nothing() {
    let server = Server::start().await;
    let backend = server.backend().await;
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
    let server = Server::start().await;
    let backend = server.backend().await;
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
    let server = Server::start().await;
    let backend = server.backend().await;
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
    let server = Server::start().await;
    let backend = server.backend().await;
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
    let server = Server::start().await;
    let backend = server.backend().await;
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
async fn a_new_grant_of_the_same_owner_does_not_revive_its_old_token() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let request = asks("x", owner());
    let old = granted(&backend, &request).await;
    server.say("DELETE FROM lock_records").await;
    let new = granted(&backend, &request).await;
    assert!(new.token > old.token);
    assert_eq!(new.previous, Previous::First);
    let lost = renewed(&backend, "x", request.owner, old.token).await;
    assert!(matches!(lost, Renewal::Lost { .. }));
    assert!(!is_committed(
        &backend
            .commit(&commits("x", request.owner, &old, 1, "?"))
            .await
            .unwrap()
    ));
    let held = renewed(&backend, "x", request.owner, new.token).await;
    assert!(matches!(held, Renewal::Renewed { .. }));
}

#[tokio::test]
async fn a_thousand_leases_are_renewed_each_by_itself() {
    let server = Server::start().await;
    let backend = server.backend().await;
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
    server
        .say("DELETE FROM lock_records WHERE name = 'lock-300'")
        .await;
    backend.force_release(&name("lock-7")).await.unwrap();
    let answers = backend.renew(&requests).await;
    assert_eq!(answers.len(), requests.len());
    for (i, answer) in answers.into_iter().enumerate() {
        match i {
            7 => assert_eq!(
                answer.unwrap(),
                Renewal::Lost {
                    cause: LossCause::Forced
                }
            ),
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
    let server = Server::start().await;
    let backend = server.backend().await;
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
    let server = Server::start().await;
    let backend = server.backend().await;
    let hostile = ["a{b}c%*", "a?[x]\\^-", "a", "b", "a\0\n", "ä"];
    for lock in hostile {
        granted(&backend, &asks(lock, owner())).await;
    }
    let free = asks("a-free", owner());
    granted(&backend, &free).await;
    backend.release(&name("a-free"), free.owner).await.unwrap();

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
    let server = Server::start().await;
    let backend = server.backend().await;
    let names = [
        "x", "x\0", "x\\0", "x\\\\0", "\\", "x ", "X", "'", "\"", "%", "ü", "\u{fc}\n", "$1", "😀",
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
async fn rows_whose_time_has_come_are_all_taken_away_though_they_are_many() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let many = "INSERT INTO lock_records (name, changes, last_token, forget_at) \
                SELECT n::text, 1, 1, '-infinity' FROM generate_series(1, 3500) n";
    server.say(many).await;
    granted(&backend, &asks("kept", owner())).await;
    // The client looks for them each 15 minutes.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(16 * 60)).await;
    tokio::time::resume();
    crate::until(|| async {
        let names = server.value("SELECT string_agg(name, ' ') FROM lock_records");
        let names = names.await;
        (names == "kept").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_turn_that_nobody_else_wants_takes_the_short_statements_alone() {
    let server = Server::start().await;
    let one = server.options().max_connections(1);
    let backend = one.connect().await.unwrap();
    // The last statement of its one connection.
    let is_last = async |beginning: &str| {
        let look = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE";
        server.value(&format!("{look} '{beginning}%'")).await == "1"
    };
    let request = asks("x", owner());
    for _ in 0..2 {
        let request = asks("x", owner());
        let grant = granted(&backend, &request.clone().standing_in_line()).await;
        assert!(is_last("WITH clock AS").await);
        let commit = commits("x", request.owner, &grant, 1, "1");
        assert!(is_committed(&backend.commit(&commit).await.unwrap()));
        assert!(is_last("WITH seen AS MATERIALIZED (%SELECT r.changes").await);
        // So that what is looked at is the release.
        backend.peek(&name("x")).await.unwrap();
        backend.release(&name("x"), request.owner).await.unwrap();
        assert!(is_last("WITH seen AS MATERIALIZED (%SELECT r.changes").await);
    }
    // And who looks again is refused by it.
    granted(&backend, &request).await;
    let second = asks("x", owner()).standing_in_line();
    refused(&backend, &second).await;
    assert!(is_last("WITH glance AS").await);
    refused(&backend, &second).await;
    assert!(is_last("WITH clock AS").await);
}
