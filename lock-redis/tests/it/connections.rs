//! The connection: how it breaks, how it comes back, and what it costs.

use std::collections::HashMap;
use std::time::Duration;

use lock_core::{Alarm, Effect, ErrorKind, LockBackend, Then};
use lock_testkit::service::Data;

use crate::server::Server;
use crate::{alarmed, asks, commits, granted, granted_in_time, is_committed, name, owner, until};

/// How often each command was called from outside of scripts, by clients other than this one.
async fn calls(server: &Server) -> HashMap<String, u64> {
    let info: String = server.say(&["INFO", "commandstats"]).await;
    info.lines()
        .filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="))
        .map(|(command, rest)| {
            let calls = rest.split(',').next().unwrap();
            (command.to_owned(), calls.parse().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn a_lock_and_a_commit_cost_two_calls_and_nothing_else() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let round = async |sequence: u32| {
        let request = asks("x", owner());
        let grant = granted(&backend, &request).await;
        let mut commit = commits("x", request.owner, &grant, sequence, "1");
        commit.then = Then::Release;
        assert!(is_committed(&backend.commit(&commit).await.unwrap()));
    };
    round(1).await;
    let mut watcher = server.raw().await;
    let processed = async |raw: &mut redis::aio::MultiplexedConnection| {
        let info: String = redis::cmd("INFO")
            .arg("stats")
            .query_async(raw)
            .await
            .unwrap();
        let line = info
            .lines()
            .find_map(|l| l.strip_prefix("total_commands_processed:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    let (calls_before, before) = (calls(&server).await, processed(&mut watcher).await);
    for _ in 0..10 {
        round(1).await;
    }
    let after = processed(&mut watcher).await;
    let calls_after = calls(&server).await;
    let count =
        |calls: &HashMap<String, u64>, command: &str| calls.get(command).copied().unwrap_or(0);
    assert_eq!(
        count(&calls_after, "evalsha") - count(&calls_before, "evalsha"),
        20
    );
    for command in [
        "ping",
        "subscribe",
        "client|tracking",
        "script|load",
        "eval",
        "wait",
    ] {
        assert_eq!(
            count(&calls_after, command),
            count(&calls_before, command),
            "{command}"
        );
    }
    // The scripts' own are counted too, and so are the two INFO of this test; the bound keeps a step
    // from growing unnoticed.
    let per_round = (after - before) / 10;
    assert!(
        per_round <= 30,
        "{per_round} commands a round, those in scripts included"
    );
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_sent_them_again() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let request = asks("x", owner());
    let grant = granted(&backend, &request).await;
    server.say::<()>(&["SCRIPT", "FLUSH"]).await;
    assert!(is_committed(
        &backend
            .commit(&commits("x", request.owner, &grant, 1, "1"))
            .await
            .unwrap()
    ));
    backend.release(&name("x"), request.owner).await.unwrap();
}

#[tokio::test]
async fn a_server_that_came_back_is_found_again() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let mut alarms = backend.alarms();
    granted(&backend, &asks("x", owner())).await;
    server.kill().await.unwrap();
    let error = until(|| async { backend.acquire(&asks("y", owner())).await.err() }).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    // By now there is no connection on which it could have been sent.
    let error = backend.acquire(&asks("y", owner())).await.unwrap_err();
    assert_eq!(error.effect(), Effect::NotApplied, "{error}");
    server.restart(Data::Keep).await.unwrap();
    alarmed(&mut alarms, Alarm::CheckAll).await;
    granted_in_time(&backend, &asks("z", owner())).await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_leaves_the_effect_unknown() {
    let server = Server::start().await;
    let options = server.options().request_timeout(Duration::from_millis(300));
    let backend = options.connect().await.unwrap();
    granted(&backend, &asks("warm", owner())).await;
    server.say::<()>(&["CLIENT", "PAUSE", "60000", "ALL"]).await;
    let error = backend.acquire(&asks("x", owner())).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Unavailable, Effect::Unknown)
    );
}

#[tokio::test]
async fn dropped_requests_leave_the_connection_usable() {
    let server = Server::start().await;
    let backend = server.backend().await;
    for _ in 0..200 {
        let request = asks("x", owner());
        tokio::select! {
            biased;
            _ = backend.acquire(&request) => {}
            () = tokio::task::yield_now() => {}
        }
        backend.release(&name("x"), request.owner).await.unwrap();
    }
    let id_of_clients: String = server.say(&["CLIENT", "LIST", "TYPE", "pubsub"]).await;
    assert_eq!(id_of_clients.lines().count(), 1);
    until(|| async { (server.say::<i64>(&["EXISTS", "x"]).await == 0).then_some(()) }).await;
}

#[test]
fn a_backend_outlives_the_runtime_that_connected_it() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    let (server, backend) = first.block_on(async {
        let server = Server::start().await;
        let backend = server.backend().await;
        granted(&backend, &asks("x", owner())).await;
        (server, backend)
    });
    drop(first);
    runtime().block_on(async {
        granted(&backend, &asks("y", owner())).await;
        drop(server.raw().await);
    });
    // Outside of any runtime.
    drop(backend);
}

#[tokio::test]
async fn many_requests_share_one_connection_and_one_attempt_to_make_it() {
    let server = Server::start().await;
    let backend = server.backend().await;
    server
        .say::<i64>(&["CLIENT", "KILL", "TYPE", "pubsub"])
        .await;
    let requests: Vec<_> = (0..200)
        .map(|i| asks(&format!("lock-{i}"), owner()))
        .collect();
    let granted = requests
        .iter()
        .map(|request| granted_in_time(&backend, request));
    futures_util::future::join_all(granted).await;
    let clients: String = server.say(&["CLIENT", "LIST", "TYPE", "pubsub"]).await;
    assert_eq!(clients.lines().count(), 1);
}
