//! Keys of another program in the place of a record or a line, and values that a plain lock finds.

use lock_core::{ErrorKind, LockBackend, LockClient, Renew, Renewal, Then};

use crate::server::Server;
use crate::{asks, commits, granted, is_committed, name, owner, ttl};

#[tokio::test]
async fn a_spoilt_record_does_not_keep_other_leases_from_renewal() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let mut requests = Vec::new();
    for lock in ["a", "bad", "b", "line", "c"] {
        let request = asks(lock, owner());
        let token = granted(&backend, &request).await.token;
        requests.push(Renew::new(name(lock), request.owner, token, ttl(60_000)));
    }
    server.say::<()>(&["SET", "{bad}:lock", "x"]).await;
    server.say::<()>(&["SET", "{line}:line", "x"]).await;
    let answers = backend.renew(&requests).await;
    for (answer, request) in answers.iter().zip(&requests) {
        let well = matches!(answer, Ok(Renewal::Renewed { .. }));
        let spoilt = ["bad", "line"].contains(&request.name.as_str());
        assert_eq!(well, !spoilt, "{}: {answer:?}", request.name);
        if let Err(error) = answer {
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        }
    }
}

#[tokio::test]
async fn a_step_that_fails_on_a_spoilt_line_has_changed_nothing() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let held = asks("held", owner());
    let grant = granted(&backend, &held).await;
    for line in ["{held}:line", "{free}:line"] {
        server.say::<()>(&["SET", line, "x"]).await;
    }
    let error = backend.acquire(&asks("free", owner())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!(
        server.say::<i64>(&["EXISTS", "free", "{free}:lock"]).await,
        0
    );
    let mut commit = commits("held", held.owner, &grant, 1, "1");
    commit.then = Then::Release;
    assert!(backend.commit(&commit).await.is_err());
    assert!(backend.peek(&name("held")).await.unwrap().is_none());
    assert!(backend.force_release(&name("held")).await.is_err());
    assert!(backend.release(&name("held"), held.owner).await.is_err());
    commit.then = Then::Keep;
    server.say::<i64>(&["DEL", "{held}:line"]).await;
    assert!(is_committed(&backend.commit(&commit).await.unwrap()));
}

#[tokio::test]
async fn a_plain_lock_does_not_make_the_server_forget_a_value() {
    let server = Server::start().await;
    let locks = LockClient::new(server.backend().await);
    let stock = locks.mutex::<u32>("stock").unwrap();
    let mut guard = stock.lock().await.unwrap();
    *guard = 7;
    guard.commit().await.unwrap();
    let plain = locks.mutex::<()>("stock").unwrap();
    plain.lock().await.unwrap().release().await.unwrap();
    assert_eq!(server.say::<i64>(&["PTTL", "{stock}:lock"]).await, -1);
    // Without a value it is forgotten after a day.
    let plain = locks.mutex::<()>("job").unwrap();
    plain.lock().await.unwrap().release().await.unwrap();
    let left = server.say::<i64>(&["PTTL", "{job}:lock"]).await;
    assert!((80_000_000..100_000_000).contains(&left), "{left}");
}
