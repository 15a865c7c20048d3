//! Futures and guards dropped anywhere: nothing stays behind (C7).

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use lock_core::{Entropy, LockClient, SeededEntropy};
use lock_testkit::proxy::{Direction, Fault, Requests, Shape, Then};
use tokio::runtime::{Builder, Runtime};

use crate::net::{Net, add_one, counter, in_time, lasting, ms, settled};
use crate::server::Server;
use crate::until;

/// Polls a future `polls` times, letting everything else run in between, time too, and then drops
/// it; `Some` if it was done before.
async fn dropped_after<T>(polls: u64, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for i in 0..polls {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        if i < 3 {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(ms(1)).await;
        }
    }
    None
}

/// A network on which each message takes a while, so that there are many moments to be dropped at.
async fn slow() -> Net {
    let net = Net::start().await;
    let latency = Shape::new().latency(ms(1));
    net.proxy.shape(Direction::ToServer, latency);
    net.proxy.shape(Direction::ToClient, latency);
    net
}

/// Waits until the client and the server have nothing left of the name but its record, and the
/// client has its one connection.
async fn nothing_is_left(net: &Net, locks: &LockClient, lock: &str) {
    settled(locks).await;
    net.is_free(lock).await;
    let pattern = format!("*{lock}*");
    let keys: Vec<String> = net.server.say(&["KEYS", &pattern]).await;
    let record = format!("{{{lock}}}:lock");
    assert!(keys.iter().all(|key| *key == record), "{keys:?}");
    until(|| async { (net.proxy.connections() <= 1).then_some(()) }).await;
}

/// Runs an operation that adds one to a counter again and again, dropped one poll later each time,
/// until it gets through. After each drop nothing is left, and the value is the old one or the new
/// one.
async fn at_every_await_point<F>(
    operation: impl Fn(LockClient, String) -> F,
    fault: Option<(&str, Fault)>,
) where
    F: Future<Output = ()>,
{
    let net = slow().await;
    let locks = net.client(lasting()).await;
    let other = net.other().await;
    let connected = net.server.info("connected_clients").await.unwrap();
    for polls in 0..500 {
        let lock = format!("m{polls}-");
        let lost = fault.map(|(needle, fault)| {
            let requests = Requests::command("EVALSHA").key(&lock).containing(needle);
            net.proxy.inject(requests, fault)
        });
        let through = dropped_after(polls, operation(locks.clone(), lock.clone()))
            .await
            .is_some();
        nothing_is_left(&net, &locks, &lock).await;
        if let Some(lost) = lost {
            lost.cancel();
        }
        let next = other.mutex::<u32>(&lock).unwrap();
        let next = next.try_lock().await.unwrap().expect("the name is free");
        assert!(*next <= 1 && (!through || *next == 1), "{polls}: {}", *next);
        next.release().await.unwrap();
        if through {
            assert!(polls > 4, "only {polls} polls");
            assert_eq!(locks.stats().names, 0);
            net.server
                .until_info("connected_clients", &connected)
                .await
                .unwrap();
            return;
        }
    }
    panic!("it never got through");
}

#[tokio::test]
async fn lock_and_commit_dropped_at_every_await_point() {
    let operation = |locks: LockClient, lock: String| async move {
        let mut guard = counter(&locks, &lock).lock().await.unwrap();
        *guard += 1;
        guard.commit().await.unwrap();
    };
    at_every_await_point(operation, None).await;
}

#[tokio::test]
async fn save_and_release_dropped_at_every_await_point() {
    let operation = |locks: LockClient, lock: String| async move {
        let mut guard = counter(&locks, &lock).lock().await.unwrap();
        *guard += 1;
        guard.save().await.unwrap();
        guard.release().await.unwrap();
    };
    at_every_await_point(operation, None).await;
}

#[tokio::test]
async fn update_dropped_at_every_await_point_also_while_a_reply_is_missing() {
    for fault in [None, Some(("", Fault::DropReply(Then::Close)))] {
        let operation = |locks: LockClient, lock: String| async move {
            add_one(&counter(&locks, &lock)).await.unwrap();
        };
        at_every_await_point(operation, fault).await;
    }
}

#[tokio::test]
async fn a_waiter_dropped_at_every_await_point_leaves_no_place_in_line() {
    let net = slow().await;
    let locks = net.client(lasting()).await;
    let other = net.other().await;
    for polls in 0..30 {
        let lock = format!("m{polls}-");
        let held = counter(&other, &lock);
        let guard = held.lock().await.unwrap();
        let waited = dropped_after(polls, counter(&locks, &lock).lock()).await;
        assert!(waited.is_none());
        if polls % 2 == 0 {
            settled(&locks).await;
            net.stand_in_line(&lock, 0).await;
        }
        // Otherwise the drop and the release race: the lock is free after both.
        guard.release().await.unwrap();
        nothing_is_left(&net, &locks, &lock).await;
        drop(held.try_lock().await.unwrap().expect("the name is free"));
    }
    assert_eq!(locks.stats().names, 0);
}

#[tokio::test]
async fn two_thousand_random_drops_leave_nothing() {
    let net = slow().await;
    let locks = net.client(lasting()).await;
    let connected = net.server.info("connected_clients").await.unwrap();
    let names = ["a-", "b-", "c-", "d-", "e-"];
    let worker = |seed: u64| {
        let (locks, chance) = (locks.clone(), SeededEntropy::new(seed));
        async move {
            let draw = |n: u64| {
                let mut bytes = [0; 8];
                chance.fill(&mut bytes);
                u64::from_le_bytes(bytes) % n
            };
            let mut done = 0;
            for _ in 0..250 {
                let lock = names[usize::try_from(draw(5)).unwrap()];
                let mutex = counter(&locks, lock);
                let work = async {
                    let mut guard = mutex.lock().await.unwrap();
                    *guard += 1;
                    match draw(4) {
                        0 => drop(guard),
                        1 => guard.release().await.unwrap(),
                        2 => guard.save().await.unwrap(),
                        _ => guard.commit().await.unwrap(),
                    }
                };
                let polls = draw(14);
                done += usize::from(dropped_after(polls, work).await.is_some());
            }
            done
        }
    };
    let done = futures_util::future::join_all((0..8).map(worker)).await;
    let done: usize = done.into_iter().sum();
    assert!((1..2000).contains(&done), "{done} were not dropped");
    for lock in names {
        nothing_is_left(&net, &locks, lock).await;
    }
    assert_eq!(locks.stats().names, 0);
    net.server
        .until_info("connected_clients", &connected)
        .await
        .unwrap();
    assert_eq!(net.proxy.protocol_errors(), Vec::<String>::new());
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A client on a runtime of its own, and the server on another that outlives it.
fn on_its_own_runtime() -> (Runtime, Server, Runtime, LockClient) {
    let servers = Runtime::new().unwrap();
    let server = servers.block_on(Server::start());
    let own = runtime();
    let backend = own.block_on(server.backend());
    let locks = LockClient::builder(backend).options(lasting()).build();
    (servers, server, own, locks)
}

async fn is_gone(server: &Server, lock: &str) {
    until(|| async { (server.say::<i64>(&["EXISTS", lock]).await == 0).then_some(()) }).await;
}

#[test]
fn a_guard_dropped_outside_a_runtime_is_released_by_the_one_that_lives() {
    let (_servers, server, own, locks) = on_its_own_runtime();
    let guard = own.block_on(counter(&locks, "m").lock()).unwrap();
    drop(guard);
    own.block_on(async {
        is_gone(&server, "m").await;
        settled(&locks).await;
    });
}

#[test]
fn a_guard_dropped_after_its_runtime_is_released_by_the_next() {
    let (_servers, server, own, locks) = on_its_own_runtime();
    let guard = own.block_on(counter(&locks, "m").lock()).unwrap();
    drop(own);
    drop(guard);
    runtime().block_on(async {
        // Another name, so that what frees the first is the background release.
        let other = in_time(counter(&locks, "n").lock()).await.unwrap();
        other.release().await.unwrap();
        is_gone(&server, "m").await;
        settled(&locks).await;
    });
}

#[test]
fn a_guard_in_a_task_that_its_runtime_drops_is_released_by_the_next() {
    let (_servers, server, own, locks) = on_its_own_runtime();
    let guard = own.block_on(counter(&locks, "m").lock()).unwrap();
    drop(own.spawn(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    }));
    drop(own);
    assert_eq!(locks.stats().leases, 0);
    runtime().block_on(async {
        in_time(counter(&locks, "n").lock())
            .await
            .unwrap()
            .release()
            .await
            .unwrap();
        is_gone(&server, "m").await;
        settled(&locks).await;
    });
}

#[tokio::test]
async fn a_guard_dropped_by_a_panic_is_released_and_its_change_discarded() {
    let net = Net::start().await;
    let locks = net.client(lasting()).await;
    let mutex = counter(&locks, "m");
    let held = mutex.clone();
    let task = tokio::spawn(async move {
        let mut guard = held.lock().await.unwrap();
        *guard = 1;
        panic!("the service has a defect");
    });
    assert!(task.await.unwrap_err().is_panic());
    settled(&locks).await;
    net.is_free("m").await;
    assert_eq!(mutex.peek().await.unwrap().value, 0);
}

#[tokio::test]
async fn a_client_that_is_dropped_gives_its_locks_and_its_connection_back() {
    let net = Net::start().await;
    let locks = net.client(lasting()).await;
    let guard = counter(&locks, "m").lock().await.unwrap();
    drop((guard, locks));
    net.is_free("m").await;
    until(|| async { (net.proxy.connections() == 0).then_some(()) }).await;
}
