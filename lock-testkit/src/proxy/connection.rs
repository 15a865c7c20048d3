//! One connection through the proxy: two readers that decide, two writers that carry out.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use rustix::net::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};

use super::fate::{Hit, ReplyFate};
use super::pairing::{Paired, Pairing};
use super::pipe::{End, Parcel, Receipt, Timing, Writer};
use super::requests::Fault;
use super::{Direction, Order, Shared, lock};
use crate::resp::{Framer, Malformed, Request, Side};

/// Accepts connections for ever.
pub(super) async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    orders: watch::Receiver<Order>,
) {
    loop {
        // A failed accept concerns the client that gave up; the bound is the client's patience.
        let Ok((client, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let mut orders = orders.clone();
        orders.mark_unchanged();
        let open = Open::new(Arc::clone(&shared));
        tokio::spawn(serve(client, open, orders));
    }
}

/// Counts a connection while it is open.
struct Open {
    shared: Arc<Shared>,
    number: u64,
}

impl Open {
    fn new(shared: Arc<Shared>) -> Self {
        shared.open.fetch_add(1, Ordering::SeqCst);
        let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
        Self { shared, number }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(client: TcpStream, open: Open, mut orders: watch::Receiver<Order>) {
    let client = Arc::new(client);
    let order = tokio::select! {
        () = run(&client, &open) => None,
        order = orders.changed() => order.ok().map(|()| *orders.borrow()),
    };
    if matches!(order, Some(Order::Reset)) {
        // Fails only if the client has gone: then there is nobody to reset.
        drop(client.set_zero_linger());
    }
}

async fn run(client: &Arc<TcpStream>, open: &Open) {
    let shared = &open.shared;
    let mut line = shared.line.subscribe();
    if line.borrow().half_open {
        return swallow(client).await;
    }
    // In a black hole the server does not hear of the connection either.
    drop(line.wait_for(|line| !line.to_server.black_hole).await);
    let upstream = *lock(&shared.upstream);
    let Ok(server) = TcpStream::connect(upstream).await else {
        return;
    };
    // Both ends hold small messages that are waited for; a failure would only make them slower.
    drop((client.set_nodelay(true), server.set_nodelay(true)));
    let server = Arc::new(server);
    let link = Link {
        shared,
        number: open.number,
        pairing: Pairing::default(),
        client,
        server: &server,
        client_gone: AtomicBool::new(false),
        failed: Notify::new(),
    };
    let (up, up_parcels) = mpsc::channel(PARCELS_MAX);
    let (down, down_parcels) = mpsc::channel(PARCELS_MAX);
    let up_writer = Writer {
        to: Arc::clone(&server),
        direction: Direction::ToServer,
        line: shared.line.subscribe(),
        parcels: up_parcels,
    };
    let down_writer = Writer {
        to: Arc::clone(client),
        direction: Direction::ToClient,
        line: shared.line.subscribe(),
        parcels: down_parcels,
    };
    let to_server = async {
        let write = async {
            let note = |receipt| link.note_forwarded(receipt);
            up_writer.run(note, || false).await;
            // The client has gone and everything was delivered (invariant 3 of the proxy). Fails
            // only if the server has gone too.
            let _ = rustix::net::shutdown(&server, Shutdown::Write);
        };
        tokio::join!(link.read_client(up), write);
    };
    let to_client = async {
        let client_gone = || link.client_gone.load(Ordering::SeqCst);
        let write = down_writer.run(note_delivered, client_gone);
        tokio::join!(link.read_server(down), write).1
    };
    tokio::pin!(to_server, to_client);
    tokio::select! {
        () = link.failed.notified() => {}
        end = &mut to_client => if end == End::Stalled {
            // A stalled connection ends with its client.
            to_server.await;
        },
        () = &mut to_server => {
            // The server answers what it still got, and closes.
            to_client.await;
        }
    }
}

/// Reads and answers nothing until the client goes.
async fn swallow(client: &TcpStream) {
    let mut buffer = BytesMut::new();
    while matches!(read(client, &mut buffer).await, Ok(count) if count > 0) {
        buffer.clear();
    }
}

/// What both directions of a connection know.
struct Link<'a> {
    shared: &'a Shared,
    number: u64,
    pairing: Pairing,
    client: &'a TcpStream,
    server: &'a TcpStream,
    client_gone: AtomicBool,
    /// Tells that the connection is not to be understood and must end.
    failed: Notify,
}

impl Link<'_> {
    /// Reads requests and sends them on their way, until the client has gone.
    async fn read_client(&self, parcels: mpsc::Sender<Parcel>) {
        let mut framer = Framer::new(Side::Client);
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        let mut timing = Timing::new();
        loop {
            buffer.clear();
            match read(self.client, &mut buffer).await {
                Ok(0) | Err(_) => {
                    self.client_gone.store(true, Ordering::SeqCst);
                    return;
                }
                Ok(_) => {}
            }
            let outcome = if self.shared.framed {
                framer.push(&buffer);
                self.forward_requests(&mut framer, &mut timing, &parcels)
                    .await
            } else {
                let bytes = buffer.split().freeze();
                self.forward(bytes, &mut timing, &parcels, None, Receipt::default())
                    .await;
                Ok(false)
            };
            match outcome {
                Ok(false) => {}
                Ok(true) => {
                    // What is behind a cut is read and thrown away, so that the client can
                    // tell a stalled connection only by the silence.
                    drop(parcels);
                    swallow(self.client).await;
                    self.client_gone.store(true, Ordering::SeqCst);
                    return;
                }
                Err(malformed) => return self.fail(&malformed),
            }
        }
    }

    /// Forwards what is complete; says whether the connection is cut behind it.
    async fn forward_requests(
        &self,
        framer: &mut Framer,
        timing: &mut Timing,
        parcels: &mpsc::Sender<Parcel>,
    ) -> Result<bool, Malformed> {
        while let Some(message) = framer.next_message()? {
            let Some(request) = Request::read(&message)? else {
                self.forward(message, timing, parcels, None, Receipt::default())
                    .await;
                continue;
            };
            breaks_pairing(&request)?;
            let hit = Hit::find(&self.shared.rules, self.number, &request);
            let fault = hit.as_ref().map(Hit::fault);
            if let Some(Fault::DropRequest(then)) = fault {
                self.pairing.cut_here(then);
                return Ok(true);
            }
            self.pairing.expect(&request, hit.clone());
            let receipt = |hit| Receipt {
                hit,
                command: Some(request.command().to_owned()),
            };
            let hold = match (fault, hit.clone()) {
                (Some(Fault::HoldRequest(hold)), Some(hit)) => Some((hit, hold)),
                _ => None,
            };
            self.forward(message.clone(), timing, parcels, hold, receipt(hit))
                .await;
            match fault {
                Some(Fault::DropReply(_)) => return Ok(true),
                Some(Fault::DeliverTwice) => {
                    self.pairing.expect_second();
                    self.forward(message, timing, parcels, None, receipt(None))
                        .await;
                }
                _ => {}
            }
        }
        Ok(false)
    }

    async fn forward(
        &self,
        bytes: Bytes,
        timing: &mut Timing,
        parcels: &mpsc::Sender<Parcel>,
        hold: Option<(Hit, super::Hold)>,
        receipt: Receipt,
    ) {
        let shape = self.shared.line.borrow().to_server.shape;
        let due = timing.due(shape, bytes.len());
        let parcel = Parcel::Bytes {
            bytes,
            due,
            hold,
            receipt,
        };
        // Fails only when the writer has ended, and with it the connection.
        drop(parcels.send(parcel).await);
    }

    /// Reads replies and sends them on their way, until the server has gone or the connection is
    /// cut.
    async fn read_server(&self, parcels: mpsc::Sender<Parcel>) {
        let mut framer = Framer::new(Side::Server);
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        let mut timing = Timing::new();
        loop {
            if let Some(then) = self.pairing.cut() {
                drop(parcels.send(Parcel::Cut(then)).await);
                return;
            }
            buffer.clear();
            tokio::select! {
                count = read(self.server, &mut buffer) => match count {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                },
                () = self.pairing.cut_queued() => continue,
            }
            if !self.shared.framed {
                let bytes = buffer.split().freeze();
                self.answer(bytes, &mut timing, &parcels, None).await;
                continue;
            }
            framer.push(&buffer);
            loop {
                match framer.next_message() {
                    Ok(None) => break,
                    Ok(Some(message)) => {
                        if self.pass_reply(message, &mut timing, &parcels).await {
                            return;
                        }
                    }
                    Err(malformed) => {
                        self.fail(&malformed);
                        return;
                    }
                }
            }
        }
    }

    /// Passes a reply on or withholds it; says whether the connection is cut there.
    async fn pass_reply(
        &self,
        message: Bytes,
        timing: &mut Timing,
        parcels: &mpsc::Sender<Parcel>,
    ) -> bool {
        let hit = match self.pairing.pair(&message) {
            Paired::Reply(hit) => hit,
            Paired::Second => return false,
            Paired::Unasked => None,
        };
        if let Some(hit) = &hit {
            hit.mark(|fate| fate.reply = ReplyFate::Withheld);
            if let Fault::DropReply(then) = hit.fault() {
                drop(parcels.send(Parcel::Cut(then)).await);
                return true;
            }
        }
        self.answer(message, timing, parcels, hit).await;
        false
    }

    async fn answer(
        &self,
        bytes: Bytes,
        timing: &mut Timing,
        parcels: &mpsc::Sender<Parcel>,
        hit: Option<Hit>,
    ) {
        let shape = self.shared.line.borrow().to_client.shape;
        let hold = hit.as_ref().and_then(|hit| match hit.fault() {
            Fault::HoldReply(hold) => Some((hit.clone(), hold)),
            Fault::DeliverTwice
            | Fault::DropReply(_)
            | Fault::DropRequest(_)
            | Fault::HoldRequest(_) => None,
        });
        let due = timing.due(shape, bytes.len());
        let parcel = Parcel::Bytes {
            bytes,
            due,
            hold,
            receipt: Receipt { hit, command: None },
        };
        // Fails only when the writer has ended, and with it the connection.
        drop(parcels.send(parcel).await);
    }

    fn note_forwarded(&self, receipt: Receipt) {
        if let Some(hit) = receipt.hit {
            hit.mark(|fate| fate.forwarded = true);
        }
        if let Some(command) = receipt.command {
            let mut counts = lock(&self.shared.counts);
            let count = counts.entry(command).or_insert(0);
            *count = count.saturating_add(1);
        }
    }

    fn fail(&self, malformed: &Malformed) {
        lock(&self.shared.errors).push(format!("connection {}: {malformed}", self.number));
        self.failed.notify_one();
    }
}

fn note_delivered(receipt: Receipt) {
    if let Some(hit) = receipt.hit {
        hit.mark(|fate| fate.reply = ReplyFate::Delivered);
    }
}

/// Refuses what leaves requests without replies, since pairing would go wrong in silence.
fn breaks_pairing(request: &Request) -> Result<(), Malformed> {
    let first = request.arguments().first();
    let is_reply = first.is_some_and(|word| word.eq_ignore_ascii_case(b"reply"));
    match request.command() {
        "MONITOR" => Err(Malformed::new("MONITOR cannot be framed by the proxy")),
        "CLIENT" if is_reply => Err(Malformed::new("CLIENT REPLY cannot be framed by the proxy")),
        _ => Ok(()),
    }
}

/// Appends what has arrived; zero bytes are the end.
async fn read(stream: &TcpStream, buffer: &mut BytesMut) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        buffer.reserve(READ_BYTES);
        match stream.try_read_buf(buffer) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}

/// Beyond so many messages under way the sender is made to wait.
const PARCELS_MAX: usize = 1024;

const READ_BYTES: usize = 16 * 1024;
