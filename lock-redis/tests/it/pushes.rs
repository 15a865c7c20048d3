//! Hints for waiters and alarms for holders.

use lock_core::{Alarm, LockBackend, LossCause, Renewal};

use crate::server::Server;
use crate::{alarmed, asks, granted, hinted, name, owner, refused, renewed, until};

#[tokio::test]
async fn a_deleted_key_alarms_its_holder_also_after_renewals() {
    let server = Server::start().await;
    let backend = server.backend().await;
    assert!(backend.capabilities().loss_alarm);
    let mut alarms = backend.alarms();
    for lock in ["plain", "hostile {}%\n"] {
        for renewals in 0..2 {
            let request = asks(lock, owner());
            let grant = granted(&backend, &request).await;
            for _ in 0..renewals {
                renewed(&backend, lock, request.owner, grant.token).await;
            }
            let key = lock
                .replace('%', "%25")
                .replace('{', "%7B")
                .replace('}', "%7D");
            assert_eq!(server.say::<i64>(&["DEL", &key]).await, 1);
            alarmed(&mut alarms, Alarm::Check(name(lock))).await;
            let lost = renewed(&backend, lock, request.owner, grant.token).await;
            assert_eq!(
                lost,
                Renewal::Lost {
                    cause: LossCause::Expired
                }
            );
        }
    }
}

#[tokio::test]
async fn a_flush_alarms_for_everything_and_stirs_the_waiters() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let mut alarms = backend.alarms();
    granted(&backend, &asks("x", owner())).await;
    let mut hints = backend.watch(&name("y")).await.unwrap();
    server.say::<()>(&["FLUSHALL"]).await;
    alarmed(&mut alarms, Alarm::CheckAll).await;
    hinted(&mut hints).await;
}

#[tokio::test]
async fn a_forced_release_alarms_the_holder_wherever_it_is_done() {
    let server = Server::start().await;
    let (holder, operator) = (server.backend().await, server.backend().await);
    let mut alarms = holder.alarms();
    granted(&holder, &asks("x", owner())).await;
    operator.force_release(&name("x")).await.unwrap();
    alarmed(&mut alarms, Alarm::Check(name("x"))).await;
    granted(&holder, &asks("y", owner())).await;
    holder.force_release(&name("y")).await.unwrap();
    alarmed(&mut alarms, Alarm::Check(name("y"))).await;
}

#[tokio::test]
async fn a_key_that_another_program_deletes_wakes_a_waiter() {
    let server = Server::start().await;
    let backend = server.backend().await;
    server.say::<()>(&["SET", "x", "python"]).await;
    let mut hints = backend.watch(&name("x")).await.unwrap();
    refused(&backend, &asks("x", owner()).standing_in_line()).await;
    server.say::<i64>(&["DEL", "x"]).await;
    hinted(&mut hints).await;
}

#[tokio::test]
async fn the_end_of_a_connection_is_noticed_and_everybody_looks_again() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let mut alarms = backend.alarms();
    let mut hints = backend.watch(&name("x")).await.unwrap();
    server
        .say::<i64>(&["CLIENT", "KILL", "TYPE", "pubsub"])
        .await;
    alarmed(&mut alarms, Alarm::CheckAll).await;
    hinted(&mut hints).await;
    // Without a request in between, pushes come again.
    let holder = server.backend().await;
    let request = asks("x", owner());
    granted(&holder, &request).await;
    refused(&backend, &asks("x", owner()).standing_in_line()).await;
    holder.release(&name("x"), request.owner).await.unwrap();
    hinted(&mut hints).await;
}

#[tokio::test]
async fn a_backend_that_is_dropped_ends_its_streams_and_its_connection() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let mut alarms = backend.alarms();
    let mut hints = backend.watch(&name("x")).await.unwrap();
    drop(backend);
    assert_eq!(futures_util::StreamExt::next(&mut alarms).await, None);
    assert_eq!(futures_util::StreamExt::next(&mut hints).await, None);
    until(|| async {
        let clients: String = server.say(&["CLIENT", "LIST", "TYPE", "pubsub"]).await;
        clients.is_empty().then_some(())
    })
    .await;
}
