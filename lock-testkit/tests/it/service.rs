//! Servers start, obey and go.

use lock_testkit::resp::Reply;
use lock_testkit::service::{Data, RedisServer, RedisServerOptions};
use tokio::net::TcpStream;

use crate::client::{Client, bulk, status};

#[tokio::test]
async fn a_server_answers_under_its_url() {
    let server = RedisServer::start().await.unwrap();
    assert_eq!(
        server.url(),
        format!("redis://{}:{}", server.host(), server.port())
    );
    let mut client = Client::connect(server.addr()).await;
    assert_eq!(client.ask("PING").await.unwrap(), status("PONG"));
}

#[tokio::test]
async fn a_test_that_only_looks_takes_any_server() {
    let server = RedisServerOptions::new().shared().start().await.unwrap();
    let mut client = Client::connect(server.addr()).await;
    assert_eq!(client.ask("PING").await.unwrap(), status("PONG"));
    let other = "127.0.0.1:1".parse().unwrap();
    assert!(server.url_via(other).ends_with("127.0.0.1:1"));
}

#[tokio::test]
async fn a_server_tells_which_commands_it_was_sent() {
    let server = RedisServer::start().await.unwrap();
    for _ in 0..3 {
        server.command(&["SET", "k", "v"]).await.unwrap();
    }
    let calls = server.command_calls().await.unwrap();
    assert_eq!(calls.get("SET"), Some(&3));
    let error = server.command(&["NONSENSE"]).await.unwrap_err();
    assert!(error.to_string().contains("unknown command"), "{error}");
}

#[tokio::test]
async fn options_become_configuration() {
    let server = RedisServerOptions::new()
        .password("open sesame".replace(' ', "-").as_str())
        .user("ann", "secret", "~ann:* +get +set +ping")
        .config("maxmemory-policy allkeys-lru")
        .start()
        .await
        .unwrap();
    let policy = server
        .command(&["CONFIG", "GET", "maxmemory-policy"])
        .await
        .unwrap();
    assert_eq!(policy.items()[1], bulk("allkeys-lru"));
    assert_eq!(
        server.url(),
        format!("redis://ann:secret@{}", server.addr())
    );
    let mut client = Client::connect(server.addr()).await;
    let refusal = client.ask("GET ann:k").await.unwrap();
    assert!(matches!(refusal, Reply::Error(text) if text.starts_with("NOAUTH")));
    let greeting = client.ask("AUTH ann secret").await.unwrap();
    assert_eq!(greeting, status("OK"));
    assert_eq!(client.ask("GET ann:k").await.unwrap(), Reply::Nil);
    let refusal = client.ask("GET other").await.unwrap();
    assert!(matches!(refusal, Reply::Error(text) if text.starts_with("NOPERM")));
}

#[tokio::test]
async fn a_paused_server_is_silent_and_then_answers() {
    let server = RedisServer::start().await.unwrap();
    let mut client = Client::connect(server.addr()).await;
    client.ask("PING").await.unwrap();
    server.pause().await.unwrap();
    client.send("SET k v").await;
    assert!(client.hears_nothing().await);
    server.unpause().await.unwrap();
    assert_eq!(client.receive().await.unwrap(), status("OK"));
}

#[tokio::test]
async fn a_killed_server_is_gone_and_comes_back_at_the_same_address() {
    let server = RedisServer::start().await.unwrap();
    let mut client = Client::connect(server.addr()).await;
    client.ask("SET k v").await.unwrap();
    server.kill().await.unwrap();
    assert!(client.hears_the_end().await);
    assert!(TcpStream::connect(server.addr()).await.is_err());
    server.restart(Data::Keep).await.unwrap();
    let mut client = Client::connect(server.addr()).await;
    // It writes nothing to disk unless told to.
    assert_eq!(client.ask("GET k").await.unwrap(), Reply::Nil);
}

#[tokio::test]
async fn a_paused_server_can_be_killed_and_restarted() {
    let server = RedisServer::start().await.unwrap();
    server.pause().await.unwrap();
    server.restart(Data::Keep).await.unwrap();
    server.command(&["PING"]).await.unwrap();
    server.pause().await.unwrap();
    drop(server);
}

#[tokio::test]
async fn data_on_disk_is_kept_or_discarded_as_asked() {
    let server = RedisServerOptions::new()
        .config("appendonly yes")
        .config("appendfsync always")
        .start()
        .await
        .unwrap();
    server.command(&["SET", "k", "v"]).await.unwrap();
    server.restart(Data::Keep).await.unwrap();
    let kept = server.command(&["GET", "k"]).await.unwrap();
    assert_eq!(kept, bulk("v"));
    server.restart(Data::Discard).await.unwrap();
    let discarded = server.command(&["GET", "k"]).await.unwrap();
    assert_eq!(discarded, Reply::Nil);
}

#[tokio::test]
async fn a_replica_follows_its_primary() {
    let options = RedisServerOptions::new().password("secret");
    let primary = options.start().await.unwrap();
    let replica = options.replica_of(primary.addr()).start().await.unwrap();
    replica
        .until_info("master_link_status", "up")
        .await
        .unwrap();
    primary.command(&["SET", "k", "v"]).await.unwrap();
    let acknowledged = primary.command(&["WAIT", "1", "5000"]).await.unwrap();
    assert_eq!(acknowledged, Reply::Integer(1));
    let copy = replica.command(&["GET", "k"]).await.unwrap();
    assert_eq!(copy, bulk("v"));
}

#[test]
fn a_server_that_is_dropped_outside_a_runtime_is_gone() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(RedisServer::start()).unwrap();
    let addr = server.addr();
    drop(server);
    assert!(std::net::TcpStream::connect(addr).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_dropped_within_a_runtime_is_gone() {
    let server = RedisServer::start().await.unwrap();
    let addr = server.addr();
    drop(server);
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let error = RedisServerOptions::new()
        .config("no-such-setting yes")
        .start()
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("Bad directive"), "{text}");
}
