//! etcd servers start, obey and go.

use lock_testkit::service::{Data, EtcdServer, EtcdServerOptions};
use tokio::net::TcpStream;

use crate::client::SILENCE;

/// Key and value are `k` and `v`.
const PUT: &str = r#"{"key": "aw==", "value": "dg=="}"#;
const GET: &str = r#"{"key": "aw=="}"#;

async fn has_key(server: &EtcdServer) -> bool {
    let answer = server.call("/v3/kv/range", GET).await.unwrap();
    answer.contains(r#""value":"dg==""#)
}

#[tokio::test]
async fn two_etcd_servers_run_at_once_and_know_nothing_of_each_other() {
    let (one, two) = tokio::try_join!(EtcdServer::start(), EtcdServer::start()).unwrap();
    one.call("/v3/kv/put", PUT).await.unwrap();
    assert!(has_key(&one).await);
    assert!(!has_key(&two).await);
    assert_eq!(one.endpoint(), format!("http://{}", one.addr()));
    one.call("/v3/kv/nonsense", "{}").await.unwrap_err();
}

#[tokio::test]
async fn a_test_that_only_looks_takes_any_etcd() {
    let server = EtcdServerOptions::new().shared().start().await.unwrap();
    server.call("/v3/kv/range", GET).await.unwrap();
}

#[tokio::test]
async fn a_killed_etcd_keeps_its_data_or_not_as_asked() {
    let server = EtcdServer::start().await.unwrap();
    server.call("/v3/kv/put", PUT).await.unwrap();
    server.kill().await.unwrap();
    assert!(TcpStream::connect(server.addr()).await.is_err());
    server.restart(Data::Keep).await.unwrap();
    assert!(has_key(&server).await);
    server.restart(Data::Discard).await.unwrap();
    assert!(!has_key(&server).await);
}

#[tokio::test]
async fn a_paused_etcd_is_silent_and_then_answers() {
    let server = EtcdServer::start().await.unwrap();
    server.pause().await.unwrap();
    let mut question = Box::pin(server.call("/v3/kv/range", GET));
    let silence = tokio::time::timeout(SILENCE, &mut question).await;
    assert!(silence.is_err(), "{silence:?}");
    server.unpause().await.unwrap();
    question.await.unwrap();
    let addr = server.addr();
    drop(server);
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn an_etcd_that_cannot_start_says_why() {
    let options = EtcdServerOptions::new().flag("--auto-compaction-mode=nonsense");
    let error = options.start().await.unwrap_err();
    assert!(
        error.to_string().contains("unknown auto-compaction-mode"),
        "{error}"
    );
}
