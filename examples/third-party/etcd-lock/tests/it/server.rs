//! An etcd server of the test's own.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use etcd_client::Client;
use etcd_lock::EtcdBackend;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::until;

/// A single member on loopback, with its data in a folder that goes with it.
pub(crate) struct Server {
    child: Child,
    folder: TempDir,
    client_url: String,
    peer_url: String,
}

impl Server {
    /// Starts one, and waits until it answers.
    pub(crate) async fn start() -> Self {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let [client_url, peer_url] = free_ports().map(url);
        let folder = tempfile::tempdir().unwrap();
        let child = spawn(&folder, &client_url, &peer_url);
        let server = Self {
            child,
            folder,
            client_url,
            peer_url,
        };
        server.answers().await;
        server
    }

    /// Kills it.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it again, on what it had on its disk.
    pub(crate) async fn start_again(&mut self) {
        self.child = spawn(&self.folder, &self.client_url, &self.peer_url);
        self.answers().await;
    }

    /// Kills it and starts it without its data.
    pub(crate) async fn lose_everything(&mut self) {
        self.kill().await;
        self.folder = tempfile::tempdir().unwrap();
        self.start_again().await;
    }

    pub(crate) async fn backend(&self) -> EtcdBackend {
        let url = [self.client_url.as_str()];
        EtcdBackend::connect(&url, "lock/").await.unwrap()
    }

    /// A client that knows nothing of locks.
    pub(crate) async fn stranger(&self) -> Client {
        Client::connect([self.client_url.as_str()], None)
            .await
            .unwrap()
    }

    /// The keys that begin with the prefix.
    pub(crate) async fn keys(&self, prefix: &str) -> Vec<String> {
        let options = etcd_client::GetOptions::new().with_prefix();
        let found = self.stranger().await.get(prefix, Some(options)).await;
        let text = |kv: &etcd_client::KeyValue| kv.key_str().unwrap().to_owned();
        found.unwrap().kvs().iter().map(text).collect()
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

fn spawn(folder: &TempDir, client_url: &str, peer_url: &str) -> Child {
    Command::new("etcd")
        .args(["--name", "it", "--log-level", "error"])
        .args(["--listen-client-urls", client_url])
        .args(["--advertise-client-urls", client_url])
        .args(["--listen-peer-urls", peer_url])
        .args(["--initial-advertise-peer-urls", peer_url])
        .args(["--initial-cluster", &format!("it={peer_url}")])
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

/// Two ports of which nobody makes use, chosen together so that they differ.
fn free_ports() -> [u16; 2] {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    [listen(), listen()].map(|listener| listener.local_addr().unwrap().port())
}
