//! An etcd server of the test's own.

use std::collections::BTreeMap;

use etcd_client::Client;
use etcd_lock::EtcdBackend;
use lock_testkit::service::{Data, EtcdServer, EtcdServerOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A cluster of one.
pub(crate) struct Server(EtcdServer);

impl Server {
    pub(crate) async fn start() -> Self {
        // A lease of one second is the shortest with these; with the default it is two.
        let options = EtcdServerOptions::new()
            .flag("--heartbeat-interval=50")
            .flag("--election-timeout=500");
        Self(options.start().await.unwrap())
    }

    fn url(&self) -> String {
        self.0.endpoint()
    }

    /// Kills it.
    pub(crate) async fn kill(&self) {
        self.0.kill().await.unwrap();
    }

    /// Starts it again, on what it had on its disk.
    pub(crate) async fn start_again(&self) {
        self.0.restart(Data::Keep).await.unwrap();
    }

    /// Kills it and starts it without its data.
    pub(crate) async fn lose_everything(&self) {
        self.0.restart(Data::Discard).await.unwrap();
    }

    pub(crate) async fn backend(&self) -> EtcdBackend {
        EtcdBackend::connect(&[&self.url()], "lock/").await.unwrap()
    }

    /// A client that knows nothing of locks.
    pub(crate) async fn stranger(&self) -> Client {
        Client::connect([&self.url()], None).await.unwrap()
    }

    /// The keys that begin with the prefix.
    pub(crate) async fn keys(&self, prefix: &str) -> Vec<String> {
        let options = etcd_client::GetOptions::new().with_prefix();
        let found = self.stranger().await.get(prefix, Some(options)).await;
        let text = |kv: &etcd_client::KeyValue| kv.key_str().unwrap().to_owned();
        found.unwrap().kvs().iter().map(text).collect()
    }

    /// How many requests of each kind the server has begun to serve so far, by etcd's own count.
    pub(crate) async fn requests(&self) -> BTreeMap<String, u64> {
        let mut stream = TcpStream::connect(self.0.addr()).await.unwrap();
        let request = b"GET /metrics HTTP/1.0\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let count = |line: &str| {
            let line = line.strip_prefix("grpc_server_started_total{grpc_method=\"")?;
            let (method, rest) = line.split_once('"')?;
            let count: f64 = rest.rsplit_once(' ')?.1.parse().ok()?;
            Some((method.to_owned(), format!("{count}").parse().ok()?))
        };
        text.lines().filter_map(count).collect()
    }

    /// For how many seconds the etcd lease of a key was granted; `None` if it has none.
    pub(crate) async fn lease_of(&self, key: &str) -> Option<i64> {
        let mut etcd = self.stranger().await;
        let found = etcd.get(key, None).await.unwrap();
        let lease = found.kvs()[0].lease();
        if lease == 0 {
            return None;
        }
        let lease = etcd.lease_time_to_live(lease, None).await.unwrap();
        Some(lease.granted_ttl())
    }

    /// How many etcd leases there are.
    pub(crate) async fn leases(&self) -> usize {
        self.stranger().await.leases().await.unwrap().leases().len()
    }
}
