//! The faults of messages: each test fails without its fault.

use std::time::{Duration, Instant};

use lock_testkit::proxy::{Fault, Hold, Proxy, ReplyFate, Requests, Then};
use lock_testkit::resp::Reply;
use lock_testkit::service::RedisServer;

use crate::client::{Client, bulk, status};

async fn start() -> (RedisServer, Proxy, Client) {
    let server = RedisServer::start().await.unwrap();
    let proxy = Proxy::start(server.addr()).await.unwrap();
    let client = Client::connect(proxy.addr()).await;
    (server, proxy, client)
}

async fn get(server: &RedisServer, key: &str) -> Reply {
    server.command(&["GET", key]).await.unwrap()
}

#[tokio::test]
async fn a_dropped_request_is_not_executed() {
    let (server, proxy, mut client) = start().await;
    let requests = Requests::command("set").key("k").skip(1);
    let fault = proxy.inject(requests, Fault::DropRequest(Then::Close));
    client
        .pipeline(&["SET k 1", "SET other 1", "SET k 2", "SET k 3"])
        .await;
    assert_eq!(client.receive().await.unwrap(), status("OK"));
    assert_eq!(client.receive().await.unwrap(), status("OK"));
    assert!(client.hears_the_end().await);
    // Neither it nor what was sent behind it.
    assert_eq!(get(&server, "k").await, bulk("1"));
    let fate = fault.reached().await.unwrap();
    assert!(!fate.forwarded);
    assert_eq!(fate.reply, ReplyFate::None);
    assert_eq!(proxy.count("SET"), 2);
}

#[tokio::test]
async fn a_dropped_reply_leaves_the_request_executed() {
    let (server, proxy, mut client) = start().await;
    let requests = Requests::command("SET").skip(1);
    let fault = proxy.inject(requests, Fault::DropReply(Then::Close));
    client.pipeline(&["SET k 1", "SET k 2", "SET k 3"]).await;
    assert_eq!(client.receive().await.unwrap(), status("OK"));
    assert!(client.hears_the_end().await);
    assert_eq!(get(&server, "k").await, bulk("2"));
    let fate = fault.answered().await.unwrap();
    assert!(fate.forwarded);
    assert_eq!(fate.reply, ReplyFate::Withheld);
    assert_eq!((fate.connection, fate.command.as_str()), (0, "SET"));
}

#[tokio::test]
async fn a_stalled_connection_is_silent_and_ends_with_its_client() {
    for fault in [
        Fault::DropRequest(Then::Stall),
        Fault::DropReply(Then::Stall),
    ] {
        let (_server, proxy, mut client) = start().await;
        proxy.inject(Requests::command("INCR"), fault);
        client.pipeline(&["PING", "INCR k", "PING"]).await;
        assert_eq!(client.receive().await.unwrap(), status("PONG"));
        assert!(client.hears_nothing().await, "{fault:?}");
        client.send("PING").await;
        assert!(client.hears_nothing().await, "{fault:?}");
        drop(client);
        for _ in 0..1000 {
            if proxy.connections() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(proxy.connections(), 0, "{fault:?}");
    }
}

#[tokio::test]
async fn a_held_request_is_delivered_after_its_client_has_gone() {
    let (server, proxy, mut client) = start().await;
    let requests = Requests::command("SET").containing("zombie");
    let fault = proxy.inject(requests, Fault::HoldRequest(Hold::UntilTold));
    client.send("SET k zombie").await;
    assert!(client.hears_nothing().await);
    drop(client);
    let mut second = Client::connect(proxy.addr()).await;
    assert_eq!(second.ask("SET k alive").await.unwrap(), status("OK"));
    assert!(!fault.reached().await.unwrap().forwarded);
    assert_eq!(get(&server, "k").await, bulk("alive"));
    fault.deliver();
    let fate = fault.answered().await.unwrap();
    assert!(fate.forwarded);
    assert_eq!(fate.reply, ReplyFate::Withheld);
    assert_eq!(get(&server, "k").await, bulk("zombie"));
}

#[tokio::test]
async fn a_held_request_delays_what_is_sent_behind_it() {
    let (_server, proxy, mut client) = start().await;
    let length = Duration::from_millis(120);
    proxy.inject(
        Requests::command("SET"),
        Fault::HoldRequest(Hold::For(length)),
    );
    let before = Instant::now();
    client.pipeline(&["SET k v", "GET k"]).await;
    assert_eq!(client.receive().await.unwrap(), status("OK"));
    assert_eq!(client.receive().await.unwrap(), bulk("v"));
    assert!(before.elapsed() >= length);
}

#[tokio::test]
async fn a_held_reply_comes_late_though_the_request_was_executed() {
    let (server, proxy, mut client) = start().await;
    let fault = proxy.inject(Requests::any(), Fault::HoldReply(Hold::UntilTold));
    client.pipeline(&["SET k v", "GET k"]).await;
    let fate = fault.answered().await.unwrap();
    assert_eq!(fate.reply, ReplyFate::Withheld);
    assert_eq!(get(&server, "k").await, bulk("v"));
    assert!(client.hears_nothing().await);
    fault.deliver();
    assert_eq!(client.receive().await.unwrap(), status("OK"));
    assert_eq!(client.receive().await.unwrap(), bulk("v"));
    assert_eq!(fault.fates()[0].reply, ReplyFate::Delivered);
}

#[tokio::test]
async fn a_request_delivered_twice_is_answered_once() {
    let (server, proxy, mut client) = start().await;
    proxy.inject(Requests::command("INCR").key("k"), Fault::DeliverTwice);
    client.pipeline(&["INCR k", "GET k"]).await;
    assert_eq!(client.receive().await.unwrap(), Reply::Integer(1));
    assert_eq!(client.receive().await.unwrap(), bulk("2"));
    assert_eq!(get(&server, "k").await, bulk("2"));
    assert_eq!(proxy.count("INCR"), 2);
}

#[tokio::test]
async fn requests_are_counted_over_all_connections() {
    let (server, proxy, mut first) = start().await;
    let requests = Requests::command("INCR").skip(1).take(2);
    let fault = proxy.inject(requests, Fault::DropReply(Then::Close));
    let mut second = Client::connect(proxy.addr()).await;
    assert_eq!(first.ask("INCR k").await.unwrap(), Reply::Integer(1));
    assert!(second.ask("INCR k").await.is_err());
    assert!(first.ask("INCR k").await.is_err());
    let mut third = Client::connect(proxy.addr()).await;
    assert_eq!(third.ask("INCR k").await.unwrap(), Reply::Integer(4));
    assert_eq!(get(&server, "k").await, bulk("4"));
    let connections: Vec<_> = fault.fates().iter().map(|f| f.connection).collect();
    assert_eq!(connections, [1, 0]);
}

#[tokio::test]
async fn a_cancelled_fault_hits_nothing() {
    let (_server, proxy, mut client) = start().await;
    let fault = proxy.inject(Requests::any().all(), Fault::DropRequest(Then::Close));
    fault.cancel();
    assert_eq!(client.ask("PING").await.unwrap(), status("PONG"));
    assert!(fault.fates().is_empty());
}

#[tokio::test]
async fn pushes_are_not_taken_for_replies() {
    for resp3 in [false, true] {
        let (server, proxy, mut client) = start().await;
        if resp3 {
            client.ask("HELLO 3").await.unwrap();
        }
        client.ask("SUBSCRIBE c").await.unwrap();
        let fault = proxy.inject(Requests::command("PING"), Fault::HoldReply(Hold::UntilTold));
        // The push is there before the reply and is not the one that is held.
        server.command(&["PUBLISH", "c", "hint"]).await.unwrap();
        let push = client.receive().await.unwrap();
        assert_eq!(push.items()[2], bulk("hint"), "resp3: {resp3}");
        client.send("PING").await;
        fault.answered().await.unwrap();
        assert!(client.hears_nothing().await, "resp3: {resp3}");
        fault.deliver();
        client.receive().await.unwrap();
        server.command(&["PUBLISH", "c", "more"]).await.unwrap();
        let push = client.receive().await.unwrap();
        assert_eq!(push.items()[2], bulk("more"), "resp3: {resp3}");
    }
}

#[tokio::test]
async fn the_confirmation_of_a_subscription_can_be_dropped() {
    for hello in ["HELLO 2", "HELLO 3"] {
        let (_server, proxy, mut client) = start().await;
        client.ask(hello).await.unwrap();
        let fault = proxy.inject(
            Requests::command("SUBSCRIBE"),
            Fault::DropReply(Then::Close),
        );
        client.send("SUBSCRIBE c").await;
        assert!(client.hears_the_end().await, "{hello}");
        assert!(fault.fates()[0].forwarded, "{hello}");
    }
}

#[tokio::test]
async fn what_breaks_the_pairing_is_refused_aloud() {
    let (_server, proxy, mut client) = start().await;
    client.send("CLIENT REPLY OFF").await;
    assert!(client.hears_the_end().await);
    assert!(proxy.protocol_errors()[0].contains("CLIENT REPLY"));
}
