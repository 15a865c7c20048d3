//! One of several etcd servers that form a cluster, which the kit does not start.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use etcd_client::Client;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::until;

/// A member on loopback, with its data in a folder that goes with it.
pub(crate) struct Member {
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

impl Member {
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

    async fn answers(&self) {
        until(|| async {
            let mut client = Client::connect([self.url()], None).await.ok()?;
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
