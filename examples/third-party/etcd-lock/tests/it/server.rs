//! An etcd server of the test's own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use etcd_client::Client;
use etcd_lock::EtcdBackend;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::until;

/// A member on loopback, with its data in a folder that goes with it.
pub(crate) struct Server {
    child: Child,
    folder: TempDir,
    place: Place,
    /// All members' peer URLs, as etcd takes them.
    members: String,
}

#[derive(Clone)]
struct Place {
    name: String,
    client_url: String,
    peer_url: String,
}

impl Server {
    /// Starts a cluster of one, and waits until it answers.
    pub(crate) async fn start() -> Self {
        Self::start_many(1).await.remove(0)
    }

    /// Starts a cluster of so many, and waits until all answer.
    pub(crate) async fn start_many(count: usize) -> Vec<Self> {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let places: Vec<Place> = free_ports(2 * count)
            .chunks(2)
            .map(|ports| Place {
                name: format!("m{}", ports[0]),
                client_url: url(ports[0]),
                peer_url: url(ports[1]),
            })
            .collect();
        let member = |place: &Place| format!("{}={}", place.name, place.peer_url);
        let members = places.iter().map(member).collect::<Vec<_>>().join(",");
        let start = |place: Place| {
            let folder = tempfile::tempdir().unwrap();
            Self {
                child: spawn(&folder, &place, &members),
                folder,
                place,
                members: members.clone(),
            }
        };
        let servers: Vec<Self> = places.into_iter().map(start).collect();
        for server in &servers {
            server.answers().await;
        }
        servers
    }

    pub(crate) fn url(&self) -> &str {
        &self.place.client_url
    }

    /// Kills it.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it again, on what it had on its disk.
    pub(crate) async fn start_again(&mut self) {
        self.child = spawn(&self.folder, &self.place, &self.members);
        self.answers().await;
    }

    /// Kills it and starts it without its data.
    pub(crate) async fn lose_everything(&mut self) {
        self.kill().await;
        self.folder = tempfile::tempdir().unwrap();
        self.start_again().await;
    }

    pub(crate) async fn backend(&self) -> EtcdBackend {
        EtcdBackend::connect(&[self.url()], "lock/").await.unwrap()
    }

    /// A client that knows nothing of locks.
    pub(crate) async fn stranger(&self) -> Client {
        Client::connect([self.url()], None).await.unwrap()
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
        let address = self.url().strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
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

    async fn answers(&self) {
        until(|| async {
            let mut client = self.stranger().await;
            let status = tokio::time::timeout(Duration::from_secs(1), client.get("x", None)).await;
            status.ok()?.ok()
        })
        .await;
    }
}

fn spawn(folder: &TempDir, place: &Place, members: &str) -> Child {
    Command::new("etcd")
        .args(["--name", &place.name, "--log-level", "error"])
        .args(["--listen-client-urls", &place.client_url])
        .args(["--advertise-client-urls", &place.client_url])
        .args(["--listen-peer-urls", &place.peer_url])
        .args(["--initial-advertise-peer-urls", &place.peer_url])
        .args(["--initial-cluster", members])
        // A lease of one second is the shortest with these; with the default it is two.
        .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
        .arg("--data-dir")
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("these tests need `etcd` on the PATH (Debian: apt-get install etcd-server)")
}

/// Ports of which nobody makes use, chosen together so that they differ.
fn free_ports(count: usize) -> Vec<u16> {
    let listen = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let listeners: Vec<TcpListener> = (0..count).map(listen).collect();
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    listeners.iter().map(port).collect()
}
