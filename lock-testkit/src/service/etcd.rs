//! [`EtcdServer`]: one etcd for one test.
#![expect(
    clippy::disallowed_methods,
    reason = "a real server is waited for in real time"
)]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::instance::{Instance, Place, marker};
use super::provider::{Data, Kind, Launch, Provider};
use crate::SetupError;
use crate::port::{free_port, loopback};
use crate::subject::ServerFault;

/// What a test asks of its etcd server.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct EtcdServerOptions {
    shared: bool,
    flags: Vec<String>,
}

impl EtcdServerOptions {
    /// A server of its own, a cluster of one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The test leaves the server as it finds it, so that one given by `LOCK_TESTKIT_ETCD_URL` will
    /// do. Its other options are then not applied.
    pub fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// An argument of the command line: `--max-txn-ops=256`, say.
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Errors
    /// If none is to be had, with what to do about it, or if it does not get ready.
    ///
    /// # Cancel safety
    /// Safe to drop: what was started is ended.
    pub async fn start(&self) -> Result<EtcdServer, SetupError> {
        let provider = ETCD.provider(self.shared).await?;
        let instance = if let Provider::Url(url) = &provider {
            Instance::given(&ETCD, given(url).await?).await?
        } else {
            Instance::start(&ETCD, &provider, || Ok(self.plan())).await?
        };
        Ok(EtcdServer { instance })
    }

    fn plan(&self) -> (Launch, Spot) {
        let (port, peer) = (free_port(&[]), free_port(&[]));
        let marker = marker();
        // A container with a network of its own is reached from outside its loopback interface.
        let listen = if cfg!(target_os = "linux") {
            "127.0.0.1"
        } else {
            "0.0.0.0"
        };
        let arguments = [
            format!("--name={marker}"),
            "--data-dir={data}/etcd".to_owned(),
            format!("--listen-client-urls=http://{listen}:{port}"),
            format!("--advertise-client-urls=http://127.0.0.1:{port}"),
            format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
            format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
            format!("--initial-cluster={marker}=http://127.0.0.1:{peer}"),
        ];
        let launch = Launch {
            program: "etcd",
            arguments: arguments.into_iter().chain(self.flags.clone()).collect(),
            // Builds for processors that etcd calls experimental run only when told to.
            environment: vec![("ETCD_UNSUPPORTED_ARCH", go_arch().to_owned())],
            ports: vec![port],
            ..Launch::default()
        };
        let spot = Spot {
            addr: loopback(port),
            marker: Some(marker),
        };
        (launch, spot)
    }
}

/// An etcd server on a loopback port, gone when it is dropped. Its address stays the same over a
/// kill and a restart.
#[derive(Debug)]
pub struct EtcdServer {
    instance: Instance<Spot>,
}

struct Spot {
    addr: SocketAddr,
    /// The name of the one member.
    marker: Option<String>,
}

impl EtcdServer {
    /// Starts a server with default options and waits until it is ready.
    ///
    /// # Errors
    /// If none is to be had, with what to do about it, or if it does not get ready.
    ///
    /// # Cancel safety
    /// Safe to drop: what was started is ended.
    pub async fn start() -> Result<Self, SetupError> {
        EtcdServerOptions::new().start().await
    }

    /// `http://127.0.0.1:port`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.endpoint_via(self.addr())
    }

    /// The same with another address: a proxy's.
    #[must_use]
    pub fn endpoint_via(&self, addr: SocketAddr) -> String {
        format!("http://{addr}")
    }

    /// Where clients connect.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.instance.place.addr
    }

    /// Sends a request in JSON to the server's gateway and returns the answer:
    /// `call("/v3/kv/range", r#"{"key": "aw=="}"#)`; keys and values are in base64.
    ///
    /// # Errors
    /// If the server does not answer within 10 s, or answers with an error.
    ///
    /// # Cancel safety
    /// Safe to drop: the request may be executed or not.
    pub async fn call(&self, path: &str, json: &str) -> Result<String, SetupError> {
        self.instance.place.call("POST", path, json).await
    }

    /// Stops the server in its tracks: it answers nothing, connections stay open.
    ///
    /// # Errors
    /// If it cannot be paused: it is killed, or was given by URL.
    ///
    /// # Cancel safety
    /// Safe to drop: the server may be paused or not.
    pub async fn pause(&self) -> Result<(), SetupError> {
        self.instance.pause().await
    }

    /// Lets a paused server go on as if nothing had happened.
    ///
    /// # Errors
    /// If it cannot be unpaused: it is killed, or was given by URL.
    ///
    /// # Cancel safety
    /// Safe to drop: the server may be unpaused or not.
    pub async fn unpause(&self) -> Result<(), SetupError> {
        self.instance.unpause().await
    }

    /// Kills the server without a warning (`SIGKILL`), and returns once it is dead.
    ///
    /// # Errors
    /// If it cannot be killed: it was given by URL, say.
    ///
    /// # Cancel safety
    /// Safe to drop: the server may be killed or not.
    pub async fn kill(&self) -> Result<(), SetupError> {
        self.instance.kill().await
    }

    /// Kills the server if it runs, starts it again under the same address and waits until it is
    /// ready.
    ///
    /// # Errors
    /// If it cannot be restarted or does not get ready: it was given by URL, or something else took
    /// its port meanwhile.
    ///
    /// # Cancel safety
    /// Safe to drop: the server may be dead or starting.
    pub async fn restart(&self, data: Data) -> Result<(), SetupError> {
        self.instance.restart(data).await
    }

    /// Kills or pauses the server as a plan says, and comes back when it serves again: what
    /// [`ServedStore::suffer`] is to do. `false` for a fault that is neither.
    ///
    /// # Errors
    /// As [`kill`](Self::kill), [`restart`](Self::restart) and [`pause`](Self::pause).
    ///
    /// # Cancel safety
    /// Safe to drop: the server may be dead or paused.
    ///
    /// [`ServedStore::suffer`]: crate::subject::ServedStore::suffer
    pub async fn suffer(&self, fault: &ServerFault) -> Result<bool, SetupError> {
        self.instance.suffer(fault).await
    }

    /// What the server has logged so far.
    ///
    /// # Cancel safety
    /// Safe to drop: nothing is left behind.
    pub async fn log(&self) -> String {
        self.instance.log().await
    }
}

impl Place for Spot {
    fn addr(&self) -> SocketAddr {
        self.addr
    }

    async fn greet(&self) -> Result<(), SetupError> {
        // The one is known before there is a leader, the other is not.
        if let Some(marker) = &self.marker {
            let members = self.call("POST", "/v3/cluster/member/list", "{}").await?;
            if !members.contains(marker) {
                return Err(SetupError::new(format!(
                    "another server took the port: its members are {members}"
                )));
            }
        }
        self.call("GET", "/health", "").await.map(drop)
    }
}

impl Spot {
    async fn call(&self, method: &str, path: &str, json: &str) -> Result<String, SetupError> {
        let failed = || SetupError::new(format!("cannot ask etcd on {} {path}", self.addr));
        let answer = tokio::time::timeout(ANSWER, self.exchange(method, path, json))
            .await
            .map_err(|e| failed().with_source(e))?
            .map_err(|e| failed().with_source(e))?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(failed)?;
        // The older protocol has no pieces to put together.
        match head.split(' ').nth(1) {
            Some("200") => Ok(body.to_owned()),
            _ => Err(SetupError::new(format!(
                "etcd answered {path} with {answer}"
            ))),
        }
    }

    async fn exchange(&self, method: &str, path: &str, json: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.addr).await?;
        let length = json.len();
        let request = format!("{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{json}");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

async fn given(url: &str) -> Result<Spot, SetupError> {
    let bad = || {
        SetupError::new(format!(
            "{}_URL must be like http://host:port",
            ETCD.variable
        ))
    };
    let place = url.strip_prefix("http://").ok_or_else(bad)?;
    let addr = tokio::net::lookup_host(place.trim_end_matches('/'))
        .await
        .map_err(|e| bad().with_source(e))?
        .next()
        .ok_or_else(bad)?;
    Ok(Spot { addr, marker: None })
}

/// This processor by the name that etcd has for it.
fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        "x86_64" => "amd64",
        other => other,
    }
}

/// For how long a server may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

const ETCD: Kind = Kind {
    name: "etcd",
    variable: "LOCK_TESTKIT_ETCD",
    programs: &["etcd"],
    folders: &[],
    images: &["lock-testkit/servers:bookworm"],
};
