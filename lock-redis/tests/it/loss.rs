//! A holder is told of its loss, whatever hangs, and can do no harm after it (C10, C11).

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lock_core::{ErrorKind, Health, LockClient, LockGuard, LockOptions, LossCause, Previous};
use lock_redis::RedisBackend;
use lock_testkit::proxy::Direction;
use lock_testkit::service::RedisServerOptions;
use rustix::process::{Pid, Signal, kill_process};

use crate::net::{Net, counter, in_time, lasting, ms, with_ttl};
use crate::server::{Server, raw};
use crate::until;

/// Far sooner than the next renewal of a lasting lease: what resolves by then was pushed.
const PUSHED: Duration = Duration::from_secs(10);

async fn refused_with(guard: LockGuard<u32>, cause: LossCause) {
    assert!(!guard.is_held());
    assert_eq!(guard.health(), Health::Lost { cause });
    assert_eq!(guard.remaining(), Duration::ZERO);
    let error = guard.commit().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.loss()),
        (ErrorKind::LeaseLost, Some(cause))
    );
    assert!(error.to_string().contains(&cause.to_string()), "{error}");
}

#[tokio::test]
async fn loss_is_told_before_the_store_lets_go_though_the_network_hangs() {
    let net = Net::start().await;
    let mut cases = Vec::new();
    for ttl in [1200, 2000, 3000] {
        // A third of the ttl is what a busy machine may take from the end of validity to the look
        // at the store.
        let options = LockOptions::builder()
            .ttl(ms(ttl))
            .renew_interval(ms(ttl / 4))
            .drift_allowance(ms(ttl / 3))
            .build()
            .unwrap();
        let lock = format!("m{ttl}");
        let locks = net.client(options).await;
        let guard = counter(&locks, &lock).lock().await.unwrap();
        cases.push((lock, guard, locks));
    }
    net.proxy.black_hole(Direction::ToServer);
    let told = cases.into_iter().map(|(lock, guard, locks)| {
        let server = &net.server;
        async move {
            assert_eq!(in_time(guard.lost()).await, LossCause::Expired);
            let left: i64 = server.say(&["PTTL", &lock]).await;
            assert!(left > 0, "{lock}: the store let go before the holder knew");
            refused_with(guard, LossCause::Expired).await;
            drop(locks);
        }
    });
    futures_util::future::join_all(told).await;
}

#[tokio::test]
async fn loss_is_told_though_only_the_answers_are_swallowed() {
    let net = Net::start().await;
    let locks = net.client(with_ttl(ms(1000))).await;
    let guard = counter(&locks, "m").lock().await.unwrap();
    net.proxy.black_hole(Direction::ToClient);
    assert_eq!(in_time(guard.lost()).await, LossCause::Expired);
    refused_with(guard, LossCause::Expired).await;
}

#[tokio::test]
async fn a_lock_key_that_another_client_deletes_is_told_by_push() {
    let net = Net::start().await;
    let locks = net.client(lasting()).await;
    let guard = counter(&locks, "m").lock().await.unwrap();
    assert_eq!(net.server.say::<i64>(&["DEL", "m"]).await, 1);
    let cause = tokio::time::timeout(PUSHED, guard.lost()).await.unwrap();
    assert_eq!(cause, LossCause::Expired);
    refused_with(guard, cause).await;
}

#[tokio::test]
async fn a_flush_is_told_to_every_holder_by_push() {
    let net = Net::start().await;
    let locks = net.client(lasting()).await;
    let a = counter(&locks, "a").lock().await.unwrap();
    let b = counter(&net.client(lasting()).await, "b")
        .lock()
        .await
        .unwrap();
    net.server.say::<()>(&["FLUSHALL"]).await;
    let lost = async { tokio::join!(a.lost(), b.lost()) };
    let causes = tokio::time::timeout(PUSHED, lost).await.unwrap();
    assert_eq!(causes, (LossCause::Expired, LossCause::Expired));
    refused_with(a, LossCause::Expired).await;
}

#[tokio::test]
async fn an_evicted_lock_key_is_told_by_push() {
    let policy = "allkeys-random";
    let options = RedisServerOptions::new().config(&format!("maxmemory-policy {policy}"));
    let server = Server::with(&options).await;
    let options = server.options().danger_allow_eviction_policy(policy);
    let locks = LockClient::builder(options.connect().await.unwrap())
        .options(lasting())
        .build();
    let guard = counter(&locks, "m").lock().await.unwrap();
    server.say::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    until(|| async { (server.say::<i64>(&["EXISTS", "m"]).await == 0).then_some(()) }).await;
    server.say::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    let cause = tokio::time::timeout(PUSHED, guard.lost()).await.unwrap();
    assert_eq!(cause, LossCause::Expired);
    refused_with(guard, cause).await;
}

#[tokio::test]
async fn a_forced_release_is_told_by_push_and_fences_the_holder_out() {
    let net = Net::start().await;
    let locks = net.client(lasting()).await;
    let guard = counter(&locks, "m").lock().await.unwrap();
    let other = net.other().await;
    other.force_release("m").await.unwrap();
    let cause = tokio::time::timeout(PUSHED, guard.lost()).await.unwrap();
    assert_eq!(cause, LossCause::Forced);
    refused_with(guard, cause).await;
    let next = counter(&other, "m").lock().await.unwrap();
    assert_eq!(next.previous(), Previous::Forced);
}

#[tokio::test]
async fn a_forced_release_is_told_by_push_also_where_tracking_is_forbidden() {
    let options = RedisServerOptions::new().user("ann", "secret", "~* &* +@all -client|tracking");
    let server = Server::with(&options).await;
    let client = |backend| LockClient::builder(backend).options(lasting()).build();
    let (locks, other) = (
        client(server.backend().await),
        client(server.backend().await),
    );
    assert!(!locks.capabilities().loss_alarm);
    let guard = counter(&locks, "m").lock().await.unwrap();
    other.force_release("m").await.unwrap();
    let cause = tokio::time::timeout(PUSHED, guard.lost()).await.unwrap();
    refused_with(guard, cause).await;
    assert_eq!(cause, LossCause::Forced);
}

#[tokio::test]
async fn the_store_alone_fences_a_forced_holder_out_when_no_push_comes() {
    let net = Net::start().await;
    let locks = net.client(lasting()).await;
    let mut guard = counter(&locks, "m").lock().await.unwrap();
    *guard = 1;
    // What is pushed stays in the network until the commit has been answered.
    net.proxy.black_hole(Direction::ToClient);
    let other = net.other().await;
    other.force_release("m").await.unwrap();
    assert!(guard.is_held(), "it cannot know yet");
    let commit = tokio::spawn(guard.commit());
    let next = in_time(counter(&other, "m").lock()).await.unwrap();
    until(|| async { (net.proxy.count("EVALSHA") >= 2).then_some(()) }).await;
    net.proxy.heal().await.unwrap();
    let error = in_time(commit).await.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.loss()),
        (ErrorKind::LeaseLost, Some(LossCause::Forced))
    );
    assert_eq!(*next, 0);
    next.commit().await.unwrap();
}

#[tokio::test]
async fn a_lock_key_that_another_program_overwrites_is_told_by_push() {
    let net = Net::start().await;
    let locks = net.client(lasting()).await;
    let guard = counter(&locks, "m").lock().await.unwrap();
    net.server.say::<()>(&["SET", "m", "python"]).await;
    let cause = tokio::time::timeout(PUSHED, guard.lost()).await.unwrap();
    assert_eq!(cause, LossCause::Displaced);
    refused_with(guard, cause).await;
    // The other program's lock is as it was.
    assert_eq!(net.server.say::<String>(&["GET", "m"]).await, "python");
}

#[tokio::test]
async fn a_runtime_blocked_past_the_ttl_does_not_hide_the_loss() {
    let net = Net::start().await;
    let locks = net.client(with_ttl(ms(300))).await;
    let mutex = counter(&locks, "m");
    let mut guard = mutex.lock().await.unwrap();
    *guard = 1;
    std::thread::sleep(ms(500));
    refused_with(guard, LossCause::Expired).await;
    assert_eq!(mutex.peek().await.unwrap().value, 0);
}

/// Where the server of a test is, for the process that it starts.
const HOLDER_OF: &str = "LOCK_REDIS_TEST_HOLDER_OF";

/// A process that is never left behind, stopped or not.
struct Holder(Child);

impl Holder {
    fn start(url: &str) -> Self {
        let test = "loss::a_process_stopped_past_its_ttl_is_fenced_out";
        let child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env(HOLDER_OF, url)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It has ended already if all went well.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Holds the lock, changes the value, and commits when told; says what came of it.
async fn hold_and_commit(url: &str) {
    let backend = RedisBackend::connect(url).await.unwrap();
    let locks = LockClient::builder(backend)
        .options(with_ttl(ms(1000)))
        .build();
    let mut guard = counter(&locks, "m").lock().await.unwrap();
    *guard = 1;
    let mut raw = raw(url).await;
    let () = redis::cmd("SET")
        .arg("holding")
        .arg("1")
        .query_async(&mut raw)
        .await
        .unwrap();
    loop {
        // The look at the lease comes before the next await, on which the driver may run.
        let go: bool = redis::cmd("EXISTS")
            .arg("go")
            .query_async(&mut raw)
            .await
            .unwrap();
        if go {
            break;
        }
        tokio::time::sleep(ms(5)).await;
    }
    let held = guard.is_held();
    let outcome = match guard.commit().await {
        Ok(()) => "committed".to_owned(),
        Err(error) => format!("{}, held: {held}", error.kind()),
    };
    let () = redis::cmd("SET")
        .arg("outcome")
        .arg(outcome)
        .query_async(&mut raw)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_process_stopped_past_its_ttl_is_fenced_out() {
    if let Ok(url) = std::env::var(HOLDER_OF) {
        return hold_and_commit(&url).await;
    }
    let server = Server::start().await;
    let locks = LockClient::builder(server.backend().await)
        .options(lasting())
        .build();
    let holder = Holder::start(server.url());
    // Not when the server has granted it, but when the holder knows.
    until(|| async { server.say::<Option<String>>(&["GET", "holding"]).await }).await;
    holder.signal(Signal::STOP);
    let mutex = counter(&locks, "m");
    let mut next = in_time(mutex.lock()).await.unwrap();
    assert!(matches!(next.previous(), Previous::Abandoned { .. }));
    assert_eq!(*next, 0);
    *next = 2;
    next.commit().await.unwrap();
    server.say::<()>(&["SET", "go", "1"]).await;
    holder.signal(Signal::CONT);
    let outcome = until(|| async { server.say::<Option<String>>(&["GET", "outcome"]).await }).await;
    assert_eq!(outcome, "lease lost, held: false");
    assert_eq!(mutex.peek().await.unwrap().value, 2);
}
