//! The faults of the line: each test fails without its fault.

use std::time::{Duration, Instant};

use lock_testkit::proxy::{Direction, Proxy, Shape};
use lock_testkit::resp::Reply;
use lock_testkit::service::RedisServer;
use tokio::net::TcpStream;

use crate::client::{Client, bulk, status};

async fn start() -> (RedisServer, Proxy) {
    let server = RedisServer::start().await.unwrap();
    let proxy = Proxy::start(server.addr()).await.unwrap();
    (server, proxy)
}

/// Waits, with a bound, until the proxy has so many connections.
async fn until_connections(proxy: &Proxy, count: usize) {
    for _ in 0..1000 {
        if proxy.connections() == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} connections instead of {count}", proxy.connections());
}

#[tokio::test]
async fn without_faults_the_proxy_passes_and_counts() {
    let (server, proxy) = start().await;
    let mut client = Client::connect(proxy.addr()).await;
    client.pipeline(&["SET k v", "GET k", "get k"]).await;
    assert_eq!(client.receive().await.unwrap(), status("OK"));
    assert_eq!(client.receive().await.unwrap(), bulk("v"));
    assert_eq!(client.receive().await.unwrap(), bulk("v"));
    let counts: Vec<_> = proxy.counts().into_iter().collect();
    assert_eq!(counts, [("GET".to_owned(), 2), ("SET".to_owned(), 1)]);
    assert_eq!(proxy.count("get"), 2);
    let calls = server.command_calls().await.unwrap();
    assert_eq!(calls.get("GET"), Some(&2));
    proxy.reset_counts();
    assert_eq!(proxy.count("GET"), 0);
    drop(client);
    until_connections(&proxy, 0).await;
    assert_eq!(proxy.accepted(), 1);
    assert!(proxy.protocol_errors().is_empty());
}

#[tokio::test]
async fn large_values_pass_whole_also_in_slices() {
    let (_server, proxy) = start().await;
    let value = "x".repeat(3_000_000);
    let mut client = Client::connect(proxy.addr()).await;
    let reply = client.ask(&format!("SET k {value}")).await.unwrap();
    assert_eq!(reply, status("OK"));
    assert_eq!(client.ask("GET k").await.unwrap(), bulk(&value));
    proxy.shape(Direction::ToClient, Shape::new().slice(100_000));
    assert_eq!(client.ask("GET k").await.unwrap(), bulk(&value));
    proxy.shape(Direction::ToClient, Shape::new().slice(1));
    assert_eq!(client.ask("PING").await.unwrap(), status("PONG"));
}

#[tokio::test]
async fn latency_delays_each_direction() {
    let (_server, proxy) = start().await;
    let mut client = Client::connect(proxy.addr()).await;
    client.ask("PING").await.unwrap();
    let delay = Duration::from_millis(60);
    let shape = Shape::new().latency(delay).jitter(delay / 6);
    proxy.shape(Direction::ToServer, shape);
    proxy.shape(Direction::ToClient, shape);
    let before = Instant::now();
    client.pipeline(&["PING", "PING", "PING"]).await;
    for _ in 0..3 {
        client.receive().await.unwrap();
    }
    let took = before.elapsed();
    // What is sent together travels together: three messages do not take three times as long.
    assert!(took >= delay * 2 && took < delay * 5, "took {took:?}");
}

#[tokio::test]
async fn a_rate_bounds_how_fast_bytes_pass() {
    let (server, proxy) = start().await;
    let value = "x".repeat(10_000);
    server.command(&["SET", "k", &value]).await.unwrap();
    let mut client = Client::connect(proxy.addr()).await;
    let shape = Shape::new().bytes_per_second(50_000);
    proxy.shape(Direction::ToClient, shape);
    let before = Instant::now();
    client.ask("GET k").await.unwrap();
    let took = before.elapsed();
    assert!(took >= Duration::from_millis(200), "took {took:?}");
}

#[tokio::test]
async fn a_black_hole_towards_the_server_keeps_requests_until_it_is_healed() {
    let (server, proxy) = start().await;
    let mut client = Client::connect(proxy.addr()).await;
    client.ask("PING").await.unwrap();
    proxy.black_hole(Direction::ToServer);
    client.send("SET k v").await;
    assert!(client.hears_nothing().await);
    let value = server.command(&["GET", "k"]).await.unwrap();
    assert_eq!(value, Reply::Nil);
    // Its sender goes; what it sent arrives all the same.
    drop(client);
    proxy.heal().await.unwrap();
    until_connections(&proxy, 0).await;
    let value = server.command(&["GET", "k"]).await.unwrap();
    assert_eq!(value, bulk("v"));
}

#[tokio::test]
async fn a_black_hole_towards_the_client_keeps_replies_until_it_is_healed() {
    let (server, proxy) = start().await;
    let mut client = Client::connect(proxy.addr()).await;
    client.ask("PING").await.unwrap();
    proxy.black_hole(Direction::ToClient);
    client.send("SET k v").await;
    assert!(client.hears_nothing().await);
    let value = server.command(&["GET", "k"]).await.unwrap();
    assert_eq!(value, bulk("v"));
    proxy.heal().await.unwrap();
    assert_eq!(client.receive().await.unwrap(), status("OK"));
}

#[tokio::test]
async fn a_partition_holds_for_new_connections_too() {
    let (_server, proxy) = start().await;
    proxy.partition();
    let mut client = Client::connect(proxy.addr()).await;
    client.send("PING").await;
    assert!(client.hears_nothing().await);
    proxy.heal().await.unwrap();
    assert_eq!(client.receive().await.unwrap(), status("PONG"));
}

#[tokio::test]
async fn refusal_is_for_new_connections_only() {
    let (_server, proxy) = start().await;
    let mut client = Client::connect(proxy.addr()).await;
    client.ask("PING").await.unwrap();
    proxy.refuse().await;
    let refused = TcpStream::connect(proxy.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(client.ask("PING").await.unwrap(), status("PONG"));
    proxy.heal().await.unwrap();
    let mut client = Client::connect(proxy.addr()).await;
    assert_eq!(client.ask("PING").await.unwrap(), status("PONG"));
}

#[tokio::test]
async fn half_open_connections_never_answer() {
    let (server, proxy) = start().await;
    proxy.half_open();
    let mut client = Client::connect(proxy.addr()).await;
    client.send("SET k v").await;
    assert!(client.hears_nothing().await);
    proxy.heal().await.unwrap();
    // This one is lost for good; the next one is sound.
    assert!(client.hears_nothing().await);
    let value = server.command(&["GET", "k"]).await.unwrap();
    assert_eq!(value, Reply::Nil);
    let mut client = Client::connect(proxy.addr()).await;
    assert_eq!(client.ask("PING").await.unwrap(), status("PONG"));
}

#[tokio::test]
async fn closing_and_resetting_end_what_stands() {
    let (_server, proxy) = start().await;
    let mut client = Client::connect(proxy.addr()).await;
    client.ask("PING").await.unwrap();
    proxy.close_all();
    let end = client.receive().await.unwrap_err();
    assert_eq!(end.kind(), std::io::ErrorKind::UnexpectedEof);
    let mut client = Client::connect(proxy.addr()).await;
    client.ask("PING").await.unwrap();
    proxy.reset_all();
    let end = client.receive().await.unwrap_err();
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_server_that_is_gone_ends_its_connections() {
    let (server, proxy) = start().await;
    let mut client = Client::connect(proxy.addr()).await;
    client.ask("PING").await.unwrap();
    server.kill().await.unwrap();
    assert!(client.hears_the_end().await);
    let mut client = Client::connect(proxy.addr()).await;
    assert!(client.hears_the_end().await);
    let other = RedisServer::start().await.unwrap();
    proxy.set_upstream(other.addr());
    let mut client = Client::connect(proxy.addr()).await;
    assert_eq!(client.ask("PING").await.unwrap(), status("PONG"));
}

#[tokio::test]
async fn a_dropped_proxy_leaves_no_connection() {
    let (_server, proxy) = start().await;
    let mut client = Client::connect(proxy.addr()).await;
    client.ask("PING").await.unwrap();
    let addr = proxy.addr();
    drop(proxy);
    assert!(client.hears_the_end().await);
    let refused = TcpStream::connect(addr).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}
