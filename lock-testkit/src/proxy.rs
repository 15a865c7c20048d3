//! [`Proxy`]: a network between a client and a server that misbehaves on demand.
//!
//! Two kinds of fault. Those of the *line* hold for every connection until they are lifted: latency,
//! a black hole, refusal, half-open connections. Those of a *message* are addressed by what is sent
//! ("the second `EVALSHA` that mentions this key"), not by the clock, so that a plan that fails
//! fails again: drop the request, drop the reply, hold either and deliver it late, deliver it twice.
//!
//! The proxy is an oracle too: it counts what it forwarded, and each addressed request has a
//! [`Fate`] that tells whether the server got it and whether the client heard of it. A request whose
//! reply was dropped is unknown to the client but not to the test.
//!
//! It does not do: TLS within ([`Proxy::start_opaque`] passes it through with the faults of the line
//! only), `MONITOR` and `CLIENT REPLY OFF|SKIP`, which break the pairing of request and reply: the
//! connection is closed then and [`Proxy::protocol_errors`] says why.
//!
//! # Invariants
//! 1. In each direction bytes leave in the order in which they came, whatever is held or delayed.
//! 2. Replies are paired with requests first in, first out; a push is paired with nothing. Once one
//!    reply was withheld, no later one reaches the client on that connection.
//! 3. What the client sent is delivered even though the client has gone, as on a real line.

mod connection;
mod fate;
mod pairing;
mod pipe;
mod requests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use fate::{Fate, Injected, ReplyFate};
pub use requests::{Fault, Hold, Requests, Then};

use crate::SetupError;
use crate::port::{free_port, loopback};
use fate::Rule;

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a connection has two directions")]
pub enum Direction {
    /// What the server sends.
    ToClient,
    /// What the client sends.
    ToServer,
}

/// How bytes travel in one direction. The default is at once and in one piece.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Shape {
    latency: Duration,
    jitter: Duration,
    bytes_per_second: Option<u64>,
    slice: Option<usize>,
}

impl Shape {
    /// At once and in one piece.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Each message takes so long.
    #[must_use]
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// And up to so much longer, by chance. Order is kept.
    #[must_use]
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// No more than so many bytes pass in a second.
    #[must_use]
    pub fn bytes_per_second(mut self, rate: u64) -> Self {
        self.bytes_per_second = Some(rate.max(1));
        self
    }

    /// Bytes leave in pieces of this size.
    #[must_use]
    pub fn slice(mut self, bytes: usize) -> Self {
        self.slice = Some(bytes.max(1));
        self
    }
}

/// A TCP proxy on a loopback port. It is gone, with all its connections, when it is dropped.
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    /// The task that accepts connections; `None` while they are refused.
    acceptor: Mutex<Option<JoinHandle<()>>>,
    /// Kept here and nowhere else: connections end when it is dropped.
    orders: watch::Sender<Order>,
}

/// What all connections of a proxy share.
pub(crate) struct Shared {
    framed: bool,
    upstream: Mutex<SocketAddr>,
    line: watch::Sender<Line>,
    rules: Mutex<Vec<Arc<Rule>>>,
    counts: Mutex<BTreeMap<String, u64>>,
    errors: Mutex<Vec<String>>,
    open: AtomicUsize,
    accepted: AtomicU64,
}

/// The faults of the line.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    to_client: Way,
    to_server: Way,
    half_open: bool,
}

/// The faults of one direction.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    shape: Shape,
    black_hole: bool,
}

impl Line {
    fn way(&self, direction: Direction) -> &Way {
        match direction {
            Direction::ToClient => &self.to_client,
            Direction::ToServer => &self.to_server,
        }
    }

    fn way_mut(&mut self, direction: Direction) -> &mut Way {
        match direction {
            Direction::ToClient => &mut self.to_client,
            Direction::ToServer => &mut self.to_server,
        }
    }
}

/// What every connection that stands is told to do.
#[derive(Clone, Copy, Debug)]
enum Order {
    Close,
    Reset,
}

impl Proxy {
    /// Starts a proxy in front of a Redis server.
    ///
    /// # Errors
    /// If no loopback port can be bound.
    pub async fn start(upstream: SocketAddr) -> Result<Self, SetupError> {
        Self::start_as(upstream, true).await
    }

    /// Starts a proxy that does not look into what it passes: for TLS and other protocols. Only the
    /// faults of the line work.
    ///
    /// # Errors
    /// If no loopback port can be bound.
    pub async fn start_opaque(upstream: SocketAddr) -> Result<Self, SetupError> {
        Self::start_as(upstream, false).await
    }

    async fn start_as(upstream: SocketAddr, framed: bool) -> Result<Self, SetupError> {
        let shared = Arc::new(Shared {
            framed,
            upstream: Mutex::new(upstream),
            line: watch::Sender::new(Line::default()),
            rules: Mutex::default(),
            counts: Mutex::default(),
            errors: Mutex::default(),
            open: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
        });
        let mut listener = None;
        for _ in 0..BIND_TRIES_MAX {
            listener = TcpListener::bind(loopback(free_port(&[]))).await.ok();
            if listener.is_some() {
                break;
            }
        }
        let listener = listener
            .ok_or_else(|| SetupError::new("the proxy found no loopback port that it can bind"))?;
        let addr = listener
            .local_addr()
            .map_err(|e| SetupError::new("the proxy cannot tell its own address").with_source(e))?;
        let proxy = Self {
            addr,
            shared,
            acceptor: Mutex::default(),
            orders: watch::Sender::new(Order::Close),
        };
        proxy.serve(listener);
        Ok(proxy)
    }

    fn serve(&self, listener: TcpListener) {
        let task = connection::accept(listener, Arc::clone(&self.shared), self.orders.subscribe());
        *lock(&self.acceptor) = Some(tokio::spawn(task));
    }

    /// Where clients connect to.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `redis://127.0.0.1:port`, for a server without password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr)
    }

    /// Sends new connections elsewhere: to a promoted replica, say.
    pub fn set_upstream(&self, upstream: SocketAddr) {
        *lock(&self.shared.upstream) = upstream;
    }

    /// Sets how bytes travel in one direction, for what arrives from now on.
    pub fn shape(&self, direction: Direction, shape: Shape) {
        self.shared
            .line
            .send_modify(|line| line.way_mut(direction).shape = shape);
    }

    /// Lets nothing through in one direction. What is sent meanwhile is delivered when the line is
    /// healed, as TCP would, even though its sender has gone. New connections are accepted.
    pub fn black_hole(&self, direction: Direction) {
        self.shared
            .line
            .send_modify(|line| line.way_mut(direction).black_hole = true);
    }

    /// Lets nothing through in either direction.
    pub fn partition(&self) {
        self.black_hole(Direction::ToServer);
        self.black_hole(Direction::ToClient);
    }

    /// Accepts new connections and swallows what they send, for ever: they never get to a server.
    pub fn half_open(&self) {
        self.shared.line.send_modify(|line| line.half_open = true);
    }

    /// Refuses new connections; those that stand go on.
    ///
    /// # Cancel safety
    /// Safe to drop: connections are refused soon in any case.
    pub async fn refuse(&self) {
        let acceptor = lock(&self.acceptor).take();
        if let Some(task) = acceptor {
            task.abort();
            // It ends as cancelled: then the listener is closed.
            drop(task.await);
        }
    }

    /// Lifts all faults of the line. Faults of messages go on: see [`Injected::cancel`].
    ///
    /// # Errors
    /// If the port was taken while connections were refused.
    ///
    /// # Cancel safety
    /// Safe to drop: refusal may not be lifted then.
    pub async fn heal(&self) -> Result<(), SetupError> {
        if lock(&self.acceptor).is_none() {
            let listener = TcpListener::bind(self.addr).await.map_err(|e| {
                SetupError::new(format!("the proxy cannot bind {} again", self.addr)).with_source(e)
            })?;
            self.serve(listener);
        }
        self.shared.line.send_replace(Line::default());
        Ok(())
    }

    /// Closes every connection that stands.
    pub fn close_all(&self) {
        self.orders.send_replace(Order::Close);
    }

    /// Resets every connection that stands: its client gets `ECONNRESET`.
    pub fn reset_all(&self) {
        self.orders.send_replace(Order::Reset);
    }

    /// Does something to the requests that are addressed, counted from now on over all connections.
    /// Where several faults address one request, the one that was injected first is done.
    pub fn inject(&self, requests: Requests, fault: Fault) -> Injected {
        let rule = Arc::new(Rule::new(requests, fault));
        lock(&self.shared.rules).push(Arc::clone(&rule));
        Injected::new(rule)
    }

    /// How many requests were forwarded, by command, since the start or the last
    /// [`reset_counts`](Self::reset_counts).
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, u64> {
        lock(&self.shared.counts).clone()
    }

    /// How many requests of this command were forwarded.
    #[must_use]
    pub fn count(&self, command: &str) -> u64 {
        let command = command.to_ascii_uppercase();
        lock(&self.shared.counts)
            .get(&command)
            .copied()
            .unwrap_or(0)
    }

    /// Begins counting anew.
    pub fn reset_counts(&self) {
        lock(&self.shared.counts).clear();
    }

    /// How many connections are open: of clients, and of those who have gone but whose requests are
    /// still under way.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// How many connections were ever accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Why connections were closed by the proxy itself: empty in a sound test.
    #[must_use]
    pub fn protocol_errors(&self) -> Vec<String> {
        lock(&self.shared.errors).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.acceptor).take() {
            task.abort();
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("addr", &self.addr)
            .field("upstream", &lock(&self.shared.upstream))
            .field("line", &self.shared.line.borrow())
            .field("counts", &lock(&self.shared.counts))
            .finish_non_exhaustive()
    }
}

/// A test that panicked while it held the lock has failed already; others may go on.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const BIND_TRIES_MAX: u32 = 20;
