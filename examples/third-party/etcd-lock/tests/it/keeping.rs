//! What the store keeps, over its own faults too, what it forgets, what it pushes, and what a step
//! costs.

use std::collections::BTreeMap;
use std::time::Duration;

use etcd_client::{WatchFilterType, WatchOptions};
use etcd_lock::EtcdBackend;
use futures_util::StreamExt;
use lock_core::{
    Acquisition, Capabilities, Durability, Effect, ErrorKind, FencingToken, LockBackend, Previous,
    Renew, Renewal, Then,
};

use crate::member::Member;
use crate::server::Server;
use crate::{
    asks, commits, granted, granted_in_time, in_time, is_committed, name, owner, refused, renewed,
    state, ttl, until,
};

#[tokio::test]
async fn it_declares_what_it_keeps() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let mut expected = Capabilities::none();
    expected.push = true;
    expected.durability = Durability::Restart;
    assert_eq!(backend.capabilities(), expected);
}

#[tokio::test]
async fn tokens_increase_over_release_expiry_force_restart_and_the_loss_of_everything() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let mut last = FencingToken::new(0);
    for round in 0..6 {
        let mut request = asks("x", owner());
        request.ttl = ttl(50);
        let grant = granted_in_time(&backend, &request).await;
        assert!(grant.token > last, "{round}: {} {last}", grant.token);
        assert!(grant.token.get() < 1 << 53);
        last = grant.token;
        match round {
            0 => drop(backend.release(&name("x"), request.owner).await.unwrap()),
            1 => drop(backend.force_release(&name("x")).await.unwrap()),
            // The lease runs out before the next is granted.
            2 => {}
            3 => {
                let keys = server.stranger().await.delete("lock/record/x", None).await;
                assert_eq!(keys.unwrap().deleted(), 1);
            }
            4 => {
                server.kill().await;
                server.start_again().await;
            }
            _ => server.lose_everything().await,
        }
    }
    let grant = granted_in_time(&backend, &asks("x", owner())).await;
    assert!(grant.token > last);
    assert_eq!(grant.previous, Previous::First);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash_of_the_store() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let request = asks("x", owner());
    let grant = granted(&backend, &request).await;
    let commit = commits("x", request.owner, &grant, 1, "1");
    assert!(is_committed(&backend.commit(&commit).await.unwrap()));
    server.kill().await;
    server.start_again().await;
    let held = until(async || backend.inspect(&name("x")).await.ok()).await;
    assert_eq!(held.holder.unwrap().owner, Some(request.owner));
    refused(&backend, &asks("x", owner())).await;
    let peeked = backend.peek(&name("x")).await.unwrap().unwrap();
    assert_eq!((peeked.state, peeked.token), (state("1"), grant.token));
    assert_eq!(
        renewed(&backend, "x", request.owner, grant.token).await,
        Renewal::Renewed { others_wait: false }
    );
}

#[tokio::test]
async fn a_cluster_keeps_what_it_acknowledged_when_a_member_is_lost() {
    let mut servers = Member::start_many(3).await;
    let urls: Vec<String> = servers.iter().map(|s| s.url().to_owned()).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let backend = EtcdBackend::connect(&urls, "lock/").await.unwrap();
    assert_eq!(backend.capabilities().durability, Durability::Failover);
    let request = asks("x", owner());
    let grant = granted(&backend, &request).await;
    let commit = commits("x", request.owner, &grant, 1, "1");
    assert!(is_committed(&backend.commit(&commit).await.unwrap()));
    // One after the other, so that one of them leads.
    for server in &mut servers {
        server.kill().await;
        let peeked = until(async || backend.peek(&name("x")).await.ok()).await;
        assert_eq!(peeked.unwrap().state, state("1"));
        let other = asks("x", owner());
        let refused = until(async || backend.acquire(&other).await.ok()).await;
        assert!(matches!(refused, Acquisition::Refused(_)), "{refused:?}");
        let renew = Renew::new(name("x"), request.owner, grant.token, ttl(600_000));
        let renew = std::slice::from_ref(&renew);
        let renewed = until(async || backend.renew(renew).await.remove(0).ok()).await;
        assert_eq!(renewed, Renewal::Renewed { others_wait: false });
        server.start_again().await;
    }
}

/// The end of a lease falls between a commit's look and its write again and again.
#[tokio::test]
async fn no_commit_is_written_after_the_end_of_its_lease() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let mut etcd = server.stranger().await;
    let options = WatchOptions::new()
        .with_prefix()
        .with_filters([WatchFilterType::NoPut]);
    let mut ends = etcd.watch("lock/holder/", Some(options)).await.unwrap();
    for round in 0..50 {
        let lock = format!("x{round}");
        let request = asks(&lock, owner());
        let grant = granted(&backend, &request).await;
        let holder = etcd.get(format!("lock/holder/{lock}"), None).await;
        let lease = holder.unwrap().kvs()[0].lease();
        let commit = commits(&lock, request.owner, &grant, 1, "1");
        let (stored, ended) = tokio::join!(backend.commit(&commit), etcd.lease_revoke(lease));
        ended.unwrap();
        let ended_at = in_time(async {
            loop {
                let message = ends.message().await.unwrap().unwrap();
                if let Some(event) = message.events().first() {
                    return event.kv().unwrap().mod_revision();
                }
            }
        })
        .await;
        let state = etcd.get(format!("lock/state/{lock}"), None).await.unwrap();
        let written_at = state.kvs().first().map(|kv| kv.mod_revision());
        assert_eq!(is_committed(&stored.unwrap()), written_at.is_some());
        assert!(written_at.is_none_or(|at| at < ended_at), "round {round}");
    }
}

#[tokio::test]
async fn a_step_on_a_store_that_is_down_fails_and_the_backend_recovers() {
    let server = Server::start().await;
    let backend = server.backend().await;
    server.kill().await;
    let error = backend.acquire(&asks("x", owner())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    // Nothing can have changed where not even the look came back, unless time was up.
    if !error.to_string().contains("within") {
        assert_eq!(error.effect(), Effect::NotApplied, "{error}");
    }
    server.start_again().await;
    granted_in_time(&backend, &asks("x", owner())).await;
}

#[tokio::test]
async fn whatever_frees_the_lock_is_hinted_also_after_the_watch_broke() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let mut request = asks("x", owner());
    granted(&backend, &request).await;
    let mut hints = backend.watch(&name("x")).await.unwrap();
    backend.release(&name("x"), request.owner).await.unwrap();
    assert_eq!(in_time(hints.next()).await, Some(()));

    // An expiry is one too.
    request = asks("x", owner());
    request.ttl = ttl(50);
    granted(&backend, &request).await;
    assert_eq!(in_time(hints.next()).await, Some(()));

    // Neither a grant nor a commit is; the break of the watch is, once it stands again.
    request = asks("x", owner());
    let grant = granted(&backend, &request).await;
    let commit = commits("x", request.owner, &grant, 1, "1");
    assert!(is_committed(&backend.commit(&commit).await.unwrap()));
    server.kill().await;
    let next = tokio::spawn(async move { in_time(hints.next()).await.map(|()| hints) });
    server.start_again().await;
    let mut hints = next.await.unwrap().unwrap();
    until(async || backend.force_release(&name("x")).await.ok()).await;
    assert_eq!(in_time(hints.next()).await, Some(()));
}

#[tokio::test]
async fn a_released_lock_leaves_nothing_but_its_record() {
    let server = Server::start().await;
    let backend = server.backend().await;
    for _ in 0..3 {
        let request = asks("x", owner());
        let grant = granted(&backend, &request).await;
        let mut last = commits("x", request.owner, &grant, 1, "1");
        last.then = Then::Release;
        assert!(is_committed(&backend.commit(&last).await.unwrap()));
        let request = asks("x", owner());
        granted(&backend, &request).await;
        refused(&backend, &asks("x", owner())).await;
        backend.release(&name("x"), request.owner).await.unwrap();
    }
    until(async || (server.leases().await == 0).then_some(())).await;
    let keys = server.keys("").await;
    assert_eq!(keys, ["lock/epoch", "lock/record/x", "lock/state/x"]);
}

#[tokio::test]
async fn each_step_takes_few_requests() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let (a, b) = (asks("x", owner()), asks("x", owner()));
    // The first of all makes the connection.
    granted(&backend, &asks("y", owner())).await;
    let mut before = server.requests().await;
    let mut taken = async || {
        let now = server.requests().await;
        let of = |method: &str| {
            let count = |at: &BTreeMap<String, u64>| at.get(method).copied().unwrap_or(0);
            count(&now) - count(&before)
        };
        let taken = (
            of("Txn"),
            of("LeaseGrant"),
            of("LeaseKeepAlive"),
            of("LeaseTimeToLive"),
        );
        before = now;
        taken
    };
    let grant = granted(&backend, &a).await;
    assert_eq!(taken().await, (2, 1, 0, 0), "acquire");
    assert_eq!(granted(&backend, &a).await, grant);
    assert_eq!(taken().await, (1, 0, 1, 0), "acquire again");
    refused(&backend, &b).await;
    assert_eq!(taken().await, (1, 0, 0, 1), "refused");
    renewed(&backend, "x", a.owner, grant.token).await;
    assert_eq!(taken().await, (1, 0, 1, 0), "renew");
    let commit = commits("x", a.owner, &grant, 1, "1");
    assert!(is_committed(&backend.commit(&commit).await.unwrap()));
    assert_eq!(taken().await, (2, 0, 0, 0), "commit");
    backend.peek(&name("x")).await.unwrap();
    assert_eq!(taken().await, (1, 0, 0, 0), "peek");
    backend.inspect(&name("x")).await.unwrap();
    assert_eq!(taken().await, (1, 0, 0, 1), "inspect");
    backend.release(&name("x"), a.owner).await.unwrap();
    assert_eq!(taken().await, (2, 0, 0, 0), "release");
    // A record that is forgotten one day has an etcd lease of its own.
    let mut c = asks("z", owner());
    c.forget_after = Some(Duration::from_secs(86_400));
    granted(&backend, &c).await;
    assert_eq!(
        taken().await,
        (2, 2, 0, 0),
        "acquire, the first that forgets"
    );
    backend.release(&name("z"), c.owner).await.unwrap();
    assert_eq!(taken().await, (2, 0, 0, 0), "release of one that forgets");
    c.owner = owner();
    granted(&backend, &c).await;
    assert_eq!(
        taken().await,
        (2, 1, 1, 0),
        "acquire, the next that forgets"
    );
}

#[tokio::test]
async fn an_idle_name_is_forgotten_only_if_asked() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let kept_for = async || server.lease_of("lock/record/x").await;
    let mut request = asks("x", owner());
    let grant = granted(&backend, &request).await;
    assert_eq!(kept_for().await, None);
    request.forget_after = Some(Duration::from_secs(3600));
    granted(&backend, &request).await;
    assert_eq!(kept_for().await, Some(600 + 3600 + 1));
    let commit = commits("x", request.owner, &grant, 1, "1");
    assert!(is_committed(&backend.commit(&commit).await.unwrap()));
    assert_eq!(server.lease_of("lock/state/x").await, kept_for().await);
    renewed(&backend, "x", request.owner, grant.token).await;
    assert_eq!(kept_for().await, None);
    assert_eq!(server.lease_of("lock/state/x").await, None);
    backend.release(&name("x"), request.owner).await.unwrap();
    until(async || (server.leases().await == 0).then_some(())).await;
}

#[tokio::test]
async fn what_is_forgotten_leaves_nothing_and_its_tokens_are_not_repeated() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let mut request = asks("x", owner());
    request.ttl = ttl(50);
    request.forget_after = Some(Duration::ZERO);
    let grant = granted(&backend, &request).await;
    let mut last = commits("x", request.owner, &grant, 1, "1");
    last.then = Then::Release;
    assert!(is_committed(&backend.commit(&last).await.unwrap()));
    until(async || (server.keys("").await == ["lock/epoch"]).then_some(())).await;
    let next = granted(&backend, &asks("x", owner())).await;
    assert!(next.token > grant.token);
    assert_eq!((next.state, next.previous), (None, Previous::First));

    // Reserved tokens are ahead of what the store counts, so the record is kept.
    let mut request = asks("y", owner());
    request.reserve = u32::MAX;
    request.forget_after = Some(Duration::ZERO);
    granted(&backend, &request).await;
    assert_eq!(server.lease_of("lock/record/y").await, None);
}

#[tokio::test]
async fn a_plain_lock_does_not_make_the_store_forget_a_value() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let kept_for = async || server.lease_of("lock/record/x").await;
    let hour = Duration::from_secs(3600);
    let ask = async |forget_after, spare_state| {
        let mut request = asks("x", owner());
        request.forget_after = forget_after;
        request.spare_state = spare_state;
        let grant = granted(&backend, &request).await;
        (request.owner, grant)
    };
    let plain = async |forget_after| {
        let (owner, grant) = ask(forget_after, true).await;
        let mut renew = Renew::new(name("x"), owner, grant.token, ttl(600_000));
        renew.forget_after = forget_after;
        renew.spare_state = true;
        let renewed = backend.renew(&[renew]).await.remove(0).unwrap();
        assert_eq!(renewed, Renewal::Renewed { others_wait: false });
        backend.release(&name("x"), owner).await.unwrap();
        grant.state
    };
    // Where there is no value, the record goes when the plain lock says.
    assert_eq!(plain(Some(hour)).await, None);
    assert_eq!(kept_for().await, Some(600 + 3600 + 1));
    for (with_value, with_plain, kept) in [
        (None, Some(hour), None),
        (Some(2 * hour), Some(hour), Some(600 + 7200 + 1)),
        (Some(hour), Some(2 * hour), Some(600 + 7200 + 1)),
        (Some(hour), None, None),
    ] {
        let (owner, grant) = ask(with_value, false).await;
        let mut commit = commits("x", owner, &grant, 1, "1");
        commit.then = Then::Release;
        assert!(is_committed(&backend.commit(&commit).await.unwrap()));
        assert_eq!(plain(with_plain).await, Some(state("1")));
        assert_eq!(kept_for().await, kept);
        assert_eq!(server.lease_of("lock/state/x").await, kept);
    }
}
