//! [`Parcel`]s on their way in one direction, and the [`Writer`] at its end: it delays, holds and
//! cuts.
#![expect(
    clippy::disallowed_methods,
    reason = "real bytes are delayed in real time"
)]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lock_core::{Entropy, SystemEntropy};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::fate::Hit;
use super::requests::{Hold, Then};
use super::{Direction, Line, Shape};

/// Something to hand on, in its turn.
pub(super) enum Parcel {
    /// A message, or a piece of an opaque stream.
    Bytes {
        bytes: Bytes,
        due: Instant,
        hold: Option<(Hit, Hold)>,
        /// Called for once it was handed on.
        receipt: Receipt,
    },
    /// The connection is cut here.
    Cut(Then),
}

/// What is to be noted when a parcel was handed on.
#[derive(Default)]
pub(super) struct Receipt {
    /// The fault that hit the request.
    pub(super) hit: Option<Hit>,
    /// The command to count.
    pub(super) command: Option<String>,
}

/// How a direction came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Everything was handed on, or its receiver has gone.
    Done,
    /// The connection is to be closed now.
    Closed,
    /// The connection is to stay open and silent.
    Stalled,
}

/// Says when bytes that arrive now are due at the other end.
pub(super) struct Timing {
    last: Instant,
}

impl Timing {
    pub(super) fn new() -> Self {
        Self {
            last: Instant::now(),
        }
    }

    pub(super) fn due(&mut self, shape: Shape, length: usize) -> Instant {
        let now = Instant::now();
        let travel = shape.latency.saturating_add(part_of(shape.jitter));
        let mut due = now.checked_add(travel).unwrap_or(now).max(self.last);
        if let Some(rate) = shape.bytes_per_second {
            let length = u64::try_from(length).unwrap_or(u64::MAX);
            let micros = length
                .saturating_mul(1_000_000)
                .checked_div(rate)
                .unwrap_or_default();
            due = due
                .checked_add(Duration::from_micros(micros))
                .unwrap_or(due);
        }
        self.last = due;
        due
    }
}

/// A length between nothing and all of it, by chance.
fn part_of(length: Duration) -> Duration {
    let mut random = [0; 4];
    SystemEntropy.fill(&mut random);
    length.mul_f64(f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX))
}

/// The end of one direction.
pub(super) struct Writer {
    pub(super) to: Arc<TcpStream>,
    pub(super) direction: Direction,
    pub(super) line: watch::Receiver<Line>,
    pub(super) parcels: mpsc::Receiver<Parcel>,
}

impl Writer {
    /// Hands parcels on until there are no more. What its receiver no longer takes is thrown away,
    /// so that what waits behind it is noted all the same.
    pub(super) async fn run(
        mut self,
        mut note: impl FnMut(Receipt) + Send,
        is_receiver_gone: impl Fn() -> bool + Send,
    ) -> End {
        let mut receiver_gone = false;
        while let Some(parcel) = self.parcels.recv().await {
            let (bytes, due, hold, receipt) = match parcel {
                Parcel::Bytes {
                    bytes,
                    due,
                    hold,
                    receipt,
                } => (bytes, due, hold, receipt),
                Parcel::Cut(Then::Close) => return End::Closed,
                Parcel::Cut(Then::Stall) => return End::Stalled,
            };
            if due > Instant::now() {
                tokio::time::sleep_until(due).await;
            }
            if let Some((hit, hold)) = hold {
                hit.wait(hold).await;
            }
            self.line_open().await;
            receiver_gone |= is_receiver_gone();
            if receiver_gone {
                continue;
            }
            match self.write(&bytes).await {
                Ok(()) => note(receipt),
                Err(_) => receiver_gone = true,
            }
        }
        End::Done
    }

    /// Waits until this direction is no black hole.
    async fn line_open(&mut self) {
        let direction = self.direction;
        // Should the proxy be gone, this connection is about to end as well.
        drop(
            self.line
                .wait_for(|line| !line.way(direction).black_hole)
                .await,
        );
    }

    async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let shape = self.line.borrow().way(self.direction).shape;
        let size = shape.slice.unwrap_or(bytes.len()).max(1);
        for piece in bytes.chunks(size) {
            let mut rest = piece;
            while !rest.is_empty() {
                self.to.writable().await?;
                match self.to.try_write(rest) {
                    Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    Err(e) => return Err(e),
                }
            }
            if shape.slice.is_some() {
                // Lets the receiver see the piece before the next one comes.
                tokio::time::sleep(SLICE_PAUSE).await;
            }
        }
        Ok(())
    }
}

const SLICE_PAUSE: Duration = Duration::from_micros(200);
