//! lock-core's client on PostgreSQL: waiters learn of their turn by notification, and by timer where
//! none can come; what is cut comes back; each step is one statement.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use lock_core::{
    Alarm, DistributedMutex, LockBackend, LockClient, LockGuard, LockOptions, LossCause, Previous,
};
use lock_testkit::proxy::Proxy;
use lock_testkit::service::{Data, PostgresServerOptions};

use crate::server::Server;
use crate::{PATIENCE, alarmed, asks, granted, name, owner, ttl, until};

const MINUTE: Duration = Duration::from_secs(60);

/// Without a notification it would not look again before the holder's lease ends, long after the
/// test.
fn never_polling() -> LockOptions {
    let options = LockOptions::builder()
        .ttl(MINUTE)
        .poll(Duration::from_millis(10), MINUTE);
    options.build().unwrap()
}

async fn client(server: &Server) -> LockClient {
    let backend = server.backend().await;
    LockClient::builder(backend)
        .options(never_polling())
        .build()
}

fn counter(client: &LockClient) -> DistributedMutex<u32> {
    client.mutex("m").unwrap()
}

async fn in_time<T>(something: impl Future<Output = T>) -> T {
    let something = tokio::time::timeout(PATIENCE, something).await;
    something.expect("it must happen in time")
}

async fn stand_in_line(server: &Server, count: &str) {
    let waiting = "SELECT cardinality(line) FROM lock_records";
    until(|| async { (server.value(waiting).await == count).then_some(()) }).await;
}

fn waits(mutex: DistributedMutex<u32>) -> tokio::task::JoinHandle<LockGuard<u32>> {
    tokio::spawn(async move { mutex.lock().await.unwrap() })
}

#[tokio::test]
async fn clients_take_turns_by_notification_and_lose_no_update() {
    let server = Server::start().await;
    let clients = join_all((0..4).map(|_| client(&server))).await;
    let work = clients.iter().map(|client| async {
        for _ in 0..10 {
            let mut guard = counter(client).lock().await.unwrap();
            *guard += 1;
            guard.commit().await.unwrap();
        }
    });
    // One that polls would take a minute for a turn.
    in_time(join_all(work)).await;
    assert_eq!(counter(&clients[0]).peek().await.unwrap().value, 40);
}

#[tokio::test]
async fn a_waiter_is_granted_by_timer_when_the_holder_is_gone() {
    let server = Server::start().await;
    let dead = server.backend().await;
    let mut request = asks("m", owner());
    request.ttl = ttl(1000);
    let grant = granted(&dead, &request).await;
    let next = in_time(counter(&client(&server).await).lock())
        .await
        .unwrap();
    let (owner, token) = (request.owner, grant.token);
    assert_eq!(next.previous(), Previous::Abandoned { owner, token });
}

#[tokio::test]
async fn a_forced_release_is_told_to_the_holder_at_once() {
    let server = Server::start().await;
    let guard = counter(&client(&server).await).lock().await.unwrap();
    let operator = server.backend().await;
    operator.force_release(&name("m")).await.unwrap();
    assert_eq!(in_time(guard.lost()).await, LossCause::Forced);
}

#[tokio::test]
async fn a_waiter_that_is_dropped_leaves_the_line() {
    let server = Server::start().await;
    let guard = counter(&client(&server).await).lock().await.unwrap();
    let other = client(&server).await;
    let waiter = waits(counter(&other));
    stand_in_line(&server, "1").await;
    waiter.abort();
    stand_in_line(&server, "0").await;
    guard.commit().await.unwrap();
    in_time(counter(&other).lock())
        .await
        .unwrap()
        .commit()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_waiter_whose_listener_was_cut_is_served_when_it_is_back() {
    let server = Server::start().await;
    let proxy = Proxy::start_opaque(server.addr()).await.unwrap();
    let guard = counter(&client(&server).await).lock().await.unwrap();
    let backend = server.options_via(proxy.addr()).connect().await.unwrap();
    let other = LockClient::builder(backend)
        .options(never_polling())
        .build();
    let waiter = waits(counter(&other));
    stand_in_line(&server, "1").await;
    proxy.refuse().await;
    proxy.reset_all();
    let listeners = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    until(|| async { (server.value(listeners).await == "1").then_some(()) }).await;
    // Nobody hears of it.
    guard.commit().await.unwrap();
    proxy.heal().await.unwrap();
    in_time(waiter).await.unwrap().commit().await.unwrap();
}

#[tokio::test]
async fn a_client_whose_listener_came_back_is_told_to_look_at_all_its_leases() {
    let server = Server::start().await;
    let backend = server.backend().await;
    let mut alarms = backend.alarms();
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'";
    assert_eq!(server.value(kill).await, "t");
    alarmed(&mut alarms, Alarm::CheckAll).await;
}

#[tokio::test]
async fn a_server_that_is_killed_costs_nobody_anything() {
    let server = Server::start().await;
    let mutex = counter(&client(&server).await);
    let mut guard = mutex.lock().await.unwrap();
    *guard = 1;
    guard.save().await.unwrap();
    let waiter = waits(counter(&client(&server).await));
    stand_in_line(&server, "1").await;
    server.restart(Data::Keep).await.unwrap();
    *guard = 2;
    let token = guard.token();
    in_time(guard.commit()).await.unwrap();
    let next = in_time(waiter).await.unwrap();
    assert!(next.token() > token);
    assert_eq!((*next, next.previous()), (2, Previous::Released));
}

/// What the server has executed for the steps since it was started; each line is one statement.
async fn statements(server: &Server) -> Vec<String> {
    let log = server.log().await;
    let executed = log.lines().filter_map(|line| {
        let (_, what) = line.split_once("LOG:  ")?;
        let starts = what.starts_with("execute ") || what.starts_with("statement: ");
        starts.then(|| what.to_owned())
    });
    executed.collect()
}

#[tokio::test]
async fn a_lock_and_a_commit_are_two_statements_without_begin() {
    let log_all = PostgresServerOptions::new().config("log_statement = all");
    let server = Server::with(&log_all).await;
    let mutex = counter(&client(&server).await);
    mutex.lock().await.unwrap().commit().await.unwrap();
    let before = statements(&server).await.len();
    for _ in 0..10 {
        let mut guard = mutex.lock().await.unwrap();
        *guard += 1;
        guard.commit().await.unwrap();
    }
    let after = statements(&server).await;
    let new = &after[before..];
    assert_eq!(new.len(), 20, "{new:#?}");
    assert!(
        new.iter().all(|line| line.starts_with("execute sqlx_s_")),
        "{new:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn five_hundred_locks_are_held_with_a_pool_of_four() {
    let server = Server::start().await;
    let backend = server.options().max_connections(4).connect().await.unwrap();
    let options = LockOptions::builder()
        .ttl(Duration::from_secs(6))
        .build()
        .unwrap();
    let locks = LockClient::builder(backend).options(options).build();
    let locks = &locks;
    let taken = (0..500)
        .map(|i| async move { locks.mutex::<()>(format!("lock-{i}")).unwrap().lock().await });
    let guards = try_join_all(taken).await.unwrap();
    let renewed = |times: u32| {
        let sql = format!("SELECT count(*) FROM lock_records WHERE changes > {times}");
        let server = &server;
        async move { server.value(&sql).await }
    };
    // The grant is the first change, and each renewal one more.
    until(|| async { (renewed(3).await == "500").then_some(()) }).await;
    assert!(guards.iter().all(LockGuard::is_held));
    let connections = "SELECT count(*) <= 7 FROM pg_stat_activity \
                       WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    assert_eq!(server.value(connections).await, "t");
}
