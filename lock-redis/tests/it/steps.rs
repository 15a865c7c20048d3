//! What is Redis' own in the steps; their contract is proved by the conformance suite.

use std::time::Duration;

use lock_core::{FencingToken, ForcedRelease, LockBackend, Previous, Release, Renew, Renewal};
use lock_testkit::service::Data;

use crate::server::Server;
use crate::{
    asks, commits, granted, granted_in_time, is_committed, name, owner, refused, renewed, state,
    ttl,
};

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
            2 => server.say(&["FLUSHALL"]).await,
            _ => server.restart(Data::Discard).await.unwrap(),
        }
    }
    assert!(granted_in_time(&backend, &asks("x", owner())).await.token > last);
}

#[tokio::test]
async fn a_new_grant_of_the_same_owner_does_not_revive_its_old_token() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let request = asks("x", owner());
    let old = granted(&backend, &request).await;
    server.say::<i64>(&["DEL", "x"]).await;
    let new = granted(&backend, &request).await;
    assert!(new.token > old.token);
    // The key that ended is not told from one that somebody deleted.
    let (owner, token) = (request.owner, old.token);
    assert_eq!(new.previous, Previous::Abandoned { owner, token });
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
async fn a_lost_record_costs_the_value_and_not_the_lock() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let request = asks("x", owner());
    let grant = granted(&backend, &request).await;
    server.say::<i64>(&["DEL", "{x}:lock"]).await;
    let held = renewed(&backend, "x", request.owner, grant.token).await;
    assert!(matches!(held, Renewal::Renewed { .. }));
    assert!(is_committed(
        &backend
            .commit(&commits("x", request.owner, &grant, 1, "1"))
            .await
            .unwrap()
    ));
    assert_eq!(
        backend.release(&name("x"), request.owner).await.unwrap(),
        Release::Released
    );
    assert!(granted(&backend, &asks("x", owner())).await.token > grant.token);
}

#[tokio::test]
async fn an_inspection_tells_the_holder_and_a_list_finds_it() {
    let server = Server::start().await;
    let backend = server.options().namespace("app:").connect().await.unwrap();
    let hostile = ["a{b}c%*", "a?[x]\\^-", "a", "b", "a\0\n", "ä"];
    for lock in hostile {
        granted(&backend, &asks(lock, owner())).await;
    }
    let free = asks("a-free", owner());
    granted(&backend, &free).await;
    backend.release(&name("a-free"), free.owner).await.unwrap();
    server.say::<i64>(&["HSET", "{a}:lock", "t", "1"]).await;

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
        "x", "{x}", "{x}:lock", "{x}:line", "x}", "%7Bx}", "x\0", "x ", "X", "%",
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
async fn a_program_in_another_language_excludes_and_is_excluded() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let set = ["SET", "my_lock", "python", "NX", "PX", "60000"];
    assert_eq!(
        server.say::<Option<String>>(&set).await.as_deref(),
        Some("OK")
    );
    let request = asks("my_lock", owner());
    assert!(
        refused(&backend, &request)
            .await
            .holder_expires_in
            .is_some()
    );
    let holder = backend
        .inspect(&name("my_lock"))
        .await
        .unwrap()
        .holder
        .unwrap();
    assert_eq!(
        (holder.owner, holder.token, holder.label.as_str()),
        (None, None, "")
    );
    server.say::<i64>(&["DEL", "my_lock"]).await;
    granted(&backend, &request).await;
    assert_eq!(server.say::<Option<String>>(&set).await, None);
    backend
        .release(&name("my_lock"), request.owner)
        .await
        .unwrap();

    server.say::<String>(&["SET", "my_lock", "for ever"]).await;
    assert_eq!(
        refused(&backend, &asks("my_lock", owner()))
            .await
            .holder_expires_in,
        None
    );
    // It may be anything, and is kept; one that expires is a lock.
    assert!(backend.force_release(&name("my_lock")).await.is_err());
    server.say::<i64>(&["PEXPIRE", "my_lock", "60000"]).await;
    let forced = backend.force_release(&name("my_lock")).await.unwrap();
    assert!(matches!(forced, ForcedRelease::Released(holder) if holder.owner.is_none()));
    granted(&backend, &asks("my_lock", owner())).await;
}

/// In Redis 7.0 client tracking makes a call cost the square of its leases: a call of 256 took
/// 45 ms, and with ten thousand leases the renewals came too late.
#[tokio::test]
async fn many_leases_are_renewed_few_at_a_time() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let mut requests = Vec::new();
    for i in 0..256 {
        let request = asks(&format!("m{i}"), owner());
        let grant = granted(&backend, &request).await;
        let renew = Renew::new(
            name(&format!("m{i}")),
            request.owner,
            grant.token,
            ttl(60_000),
        );
        requests.push(renew);
    }
    // The first time the server learns the script.
    assert_eq!(backend.renew(&requests).await.len(), 256);
    let before = server.command_calls().await.unwrap();
    let answers = backend.renew(&requests).await;
    assert!(
        answers
            .iter()
            .all(|a| matches!(a, Ok(Renewal::Renewed { .. })))
    );
    let after = server.command_calls().await.unwrap();
    let calls =
        |command: &str| after.get(command).unwrap_or(&0) - before.get(command).unwrap_or(&0);
    assert_eq!(calls("EVALSHA"), 8);
    // One read arms tracking for all leases of a call; each lease is read twice besides.
    assert_eq!(calls("MGET"), 8);
    assert_eq!(
        (calls("HMGET"), calls("ZCARD"), calls("GET")),
        (256, 256, 0)
    );
}
