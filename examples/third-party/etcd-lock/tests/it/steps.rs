//! Each step's contract.

use std::time::Duration;

use etcd_client::{Compare, CompareOp, LeaseGrantOptions, PutOptions, Txn, TxnOp};
use lock_core::{
    Acquisition, Effect, ErrorKind, LockBackend, LockInfo, LossCause, Previous, Release, Renew,
    Renewal,
};

use crate::server::Server;
use crate::{asks, commits, granted, is_committed, name, owner, renewed, state, ttl, until};

const FREED: Renewal = Renewal::Lost {
    cause: LossCause::Expired,
};

#[tokio::test]
async fn a_grant_tells_the_whole_seconds_that_etcd_gave() {
    let server = Server::start().await;
    let backend = server.backend().await;
    for (asked, real) in [
        (50, 1000),
        (1000, 1000),
        (1500, 2000),
        (86_400_000, 86_400_000),
    ] {
        let mut request = asks(&format!("x{asked}"), owner());
        request.ttl = ttl(asked);
        assert_eq!(granted(&backend, &request).await.ttl, ttl(real));
    }
}

#[tokio::test]
async fn the_same_owner_is_given_the_same_grant_again_and_its_ttl_starts_anew() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let mut request = asks("x", owner());
    request.reserve = 5;
    request.ttl = ttl(20_000);
    let first = granted(&backend, &request).await;
    assert_eq!(first.reserved, 5);
    let expires_in = async || {
        let info = backend.inspect(&name("x")).await.unwrap();
        info.holder.unwrap().expires_in.unwrap()
    };
    let aged = async || Some(expires_in().await).filter(|left| *left < Duration::from_secs(20));
    let before = until(aged).await;
    until(async || {
        assert_eq!(granted(&backend, &request).await, first);
        (expires_in().await > before).then_some(())
    })
    .await;
    // A longer ttl than before moves the grant to a longer etcd lease.
    request.ttl = ttl(600_000);
    let longer = granted(&backend, &request).await;
    assert_eq!((longer.token, longer.ttl), (first.token, ttl(600_000)));
    assert!(expires_in().await > Duration::from_secs(300));
    backend.release(&name("x"), request.owner).await.unwrap();
    let next = granted(&backend, &asks("x", owner())).await;
    assert!(next.token.get() >= first.token.get() + 5);
    assert_eq!(next.previous, Previous::Released);
}

/// The request of an acquire whose caller went away arrives when its release was answered already.
#[tokio::test]
async fn a_release_keeps_an_acquire_that_is_on_its_way_from_taking_the_lock() {
    let server = Server::start().await;
    let backend = server.backend().await;
    // A rehearsal shows which etcd lease this owner takes the name with.
    let request = asks("x", owner());
    granted(&backend, &request).await;
    let mut etcd = server.stranger().await;
    let holder = etcd.get("lock/holder/x", None).await.unwrap();
    let (lease, value) = (holder.kvs()[0].lease(), holder.kvs()[0].value().to_vec());
    etcd.lease_revoke(lease).await.unwrap();
    etcd.delete("lock/record/x", None).await.unwrap();
    // The attempt has its etcd lease and has looked; its transaction is on its way.
    let options = LeaseGrantOptions::new().with_id(lease);
    etcd.lease_grant(600, Some(options)).await.unwrap();
    let free = Compare::mod_revision("lock/holder/x", CompareOp::Equal, 0);
    let take = TxnOp::put(
        "lock/holder/x",
        value,
        Some(PutOptions::new().with_lease(lease)),
    );
    let late = Txn::new().when([free]).and_then([take]);
    assert_eq!(
        backend.release(&name("x"), request.owner).await.unwrap(),
        Release::NotHeld
    );
    assert!(etcd.txn(late).await.is_err());
    granted(&backend, &asks("x", owner())).await;
}

#[tokio::test]
async fn an_attempt_that_stopped_half_way_does_not_hinder_the_next_of_its_owner() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let mut etcd = server.stranger().await;
    let mut request = asks("x", owner());
    granted(&backend, &request).await;
    let holder = etcd.get("lock/holder/x", None).await.unwrap();
    let lease = holder.kvs()[0].lease();
    // As an attempt leaves it that has its etcd lease, and gets no further.
    for (left, asked, real) in [(600, 600, 600), (600, 5, 600), (5, 600, 600)] {
        etcd.lease_revoke(lease).await.unwrap();
        let options = LeaseGrantOptions::new().with_id(lease);
        etcd.lease_grant(left, Some(options)).await.unwrap();
        request.ttl = ttl(asked * 1000);
        let grant = granted(&backend, &request).await;
        assert_eq!(grant.ttl, ttl(real * 1000));
        let holder = etcd.get("lock/holder/x", None).await.unwrap();
        assert_eq!(holder.kvs()[0].lease() == lease, left >= 600);
    }
}

#[tokio::test]
async fn the_state_is_kept_byte_for_byte() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let a = owner();
    let grant = granted(&backend, &asks("x", a)).await;
    let large = "ä".repeat(500_000);
    let texts = ["", "\0\r\n", "1e400", &large];
    for (sequence, text) in (1..).zip(texts) {
        let commit = commits("x", a, &grant, sequence, text);
        assert!(is_committed(&backend.commit(&commit).await.unwrap()));
        let peeked = backend.peek(&name("x")).await.unwrap().unwrap();
        assert_eq!(peeked.state, state(text));
    }
    // What is too large for etcd is refused and changes nothing.
    let larger = commits("x", a, &grant, 9, &large.repeat(2));
    let error = backend.commit(&larger).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Invalid, Effect::NotApplied)
    );
    let peeked = backend.peek(&name("x")).await.unwrap().unwrap();
    assert_eq!(peeked.state, state(&large));
}

#[tokio::test]
async fn a_new_grant_of_the_same_owner_does_not_revive_its_old_token() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let request = asks("x", owner());
    let old = granted(&backend, &request).await;
    let mut etcd = server.stranger().await;
    etcd.delete("lock/holder/x", None).await.unwrap();
    let new = granted(&backend, &request).await;
    assert!(new.token > old.token);
    let lost = renewed(&backend, "x", request.owner, old.token).await;
    assert!(matches!(lost, Renewal::Lost { .. }));
    let late = commits("x", request.owner, &old, 1, "?");
    assert!(!is_committed(&backend.commit(&late).await.unwrap()));
    let held = renewed(&backend, "x", request.owner, new.token).await;
    assert!(matches!(held, Renewal::Renewed { .. }));
}

#[tokio::test]
async fn a_lost_record_costs_the_value_and_not_the_lock() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let request = asks("x", owner());
    let grant = granted(&backend, &request).await;
    let mut etcd = server.stranger().await;
    etcd.delete("lock/record/x", None).await.unwrap();
    let held = renewed(&backend, "x", request.owner, grant.token).await;
    assert!(matches!(held, Renewal::Renewed { .. }));
    let commit = commits("x", request.owner, &grant, 1, "1");
    assert!(is_committed(&backend.commit(&commit).await.unwrap()));
    assert_eq!(
        backend.release(&name("x"), request.owner).await.unwrap(),
        Release::Released
    );
    let next = granted(&backend, &asks("x", owner())).await;
    assert!(next.token > grant.token);
    assert_eq!(next.previous, Previous::Released);
}

#[tokio::test]
async fn leases_are_renewed_each_by_itself() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let mut requests = Vec::new();
    for i in 0..200 {
        let lock = format!("lock-{i}");
        let request = asks(&lock, owner());
        let grant = granted(&backend, &request).await;
        requests.push(Renew::new(
            name(&lock),
            request.owner,
            grant.token,
            ttl(60_000),
        ));
    }
    let mut etcd = server.stranger().await;
    etcd.delete("lock/holder/lock-100", None).await.unwrap();
    etcd.put("lock/record/lock-7", "?", None).await.unwrap();
    let answers = backend.renew(&requests).await;
    assert_eq!(answers.len(), requests.len());
    for (i, answer) in answers.into_iter().enumerate() {
        match i {
            7 => assert_eq!(answer.unwrap_err().kind(), ErrorKind::Invalid),
            100 => assert_eq!(answer.unwrap(), FREED),
            _ => assert_eq!(answer.unwrap(), Renewal::Renewed { others_wait: false }),
        }
    }
    assert!(backend.renew(&[]).await.is_empty());
}

#[tokio::test]
async fn an_inspection_tells_the_holder_and_a_list_finds_it() {
    let server = Server::start().await;
    let backend = server.backend().await;
    for lock in ["a/b", "a?[x]", "a", "b", "a\0\n", "ä"] {
        granted(&backend, &asks(lock, owner())).await;
    }
    let free = asks("a-free", owner());
    granted(&backend, &free).await;
    backend.release(&name("a-free"), free.owner).await.unwrap();

    let found = backend.list("a", 100).await.unwrap();
    let mut found: Vec<&str> = found.iter().map(|info| info.name.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, ["a", "a\0\n", "a/b", "a?[x]"]);
    assert_eq!(backend.list("", 100).await.unwrap().len(), 6);
    assert_eq!(backend.list("a", 2).await.unwrap().len(), 2);
    assert_eq!(backend.list("a?[x", 9).await.unwrap().len(), 1);
    assert!(backend.list("zz", 9).await.unwrap().is_empty());
    assert!(backend.list("a", 0).await.unwrap().is_empty());

    let info = backend.inspect(&name("a")).await.unwrap();
    let holder = info.holder.unwrap();
    assert_eq!((holder.label.as_str(), info.waiting), ("test", 0));
    assert_eq!(holder.token, info.last_token);
    let info = backend.inspect(&name("a-free")).await.unwrap();
    assert_eq!((info.holder, info.previous), (None, Previous::Released));
    let info = backend.inspect(&name("never")).await.unwrap();
    assert_eq!(info, LockInfo::free(name("never")));
}

#[tokio::test]
async fn names_are_independent_whatever_bytes_they_hold() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let names = ["x", "x/", "/x", "../record/x", "x\0", "x ", "X", "%", "ä"];
    for lock in names {
        let request = asks(lock, owner());
        let grant = granted(&backend, &request).await;
        let commit = commits(lock, request.owner, &grant, 1, lock);
        assert!(is_committed(&backend.commit(&commit).await.unwrap()));
    }
    for lock in names {
        let peeked = backend.peek(&name(lock)).await.unwrap().unwrap();
        assert_eq!(peeked.state, state(lock));
    }
}

#[tokio::test]
async fn of_many_who_ask_at_once_one_is_granted() {
    let server = Server::start().await;
    let backend = server.backend().await;
    for round in 0..5 {
        let lock = format!("x{round}");
        let requests: Vec<_> = (0..30).map(|_| asks(&lock, owner())).collect();
        let asked = requests.iter().map(|request| backend.acquire(request));
        let answers = futures_util::future::join_all(asked).await;
        let grants = answers
            .iter()
            .filter(|answer| matches!(answer, Ok(Acquisition::Granted(_))));
        assert_eq!(grants.count(), 1);
        for answer in &answers {
            assert!(answer.is_ok(), "{answer:?}");
        }
    }
}
