//! [`Control`]: asks a Redis server a question, without a driver.
#![expect(
    clippy::disallowed_methods,
    reason = "a real server is waited for in real time"
)]

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::SetupError;
use crate::resp::{Framer, Reply, Request, Side};

/// Where to ask, and as whom.
#[derive(Clone, Debug)]
pub(super) struct Control {
    pub(super) addr: SocketAddr,
    /// The arguments of `AUTH`; empty for none.
    pub(super) auth: Vec<String>,
}

impl Control {
    /// Sends one command on a connection of its own.
    pub(super) async fn ask<W: AsRef<[u8]> + Sync>(
        &self,
        words: &[W],
    ) -> Result<Reply, SetupError> {
        let said = words
            .iter()
            .map(|w| String::from_utf8_lossy(w.as_ref()))
            .collect::<Vec<_>>()
            .join(" ");
        let mut requests = Vec::new();
        if !self.auth.is_empty() {
            let auth = std::iter::once("AUTH").chain(self.auth.iter().map(String::as_str));
            requests = Request::encode(&auth.collect::<Vec<_>>());
        }
        requests.extend(Request::encode(words));
        let replies = if self.auth.is_empty() { 1 } else { 2 };
        let addr = self.addr;
        let exchange = tokio::time::timeout(ANSWER, exchange(addr, &requests, replies));
        let last = exchange
            .await
            .map_err(|e| {
                SetupError::new(format!("no answer from {addr} to {said:?}")).with_source(e)
            })?
            .map_err(|e| SetupError::new(format!("cannot ask {addr} {said:?}")).with_source(e))?;
        if let Reply::Error(text) = last {
            return Err(SetupError::new(format!(
                "{addr} answered {said:?} with the error {text:?}"
            )));
        }
        Ok(last)
    }
}

/// The last of so many replies, or the first error among them.
async fn exchange(addr: SocketAddr, requests: &[u8], count: usize) -> std::io::Result<Reply> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(requests).await?;
    let mut framer = Framer::new(Side::Server);
    let mut last = Reply::Nil;
    for _ in 0..count {
        let message = loop {
            if let Some(message) = framer.next_message().map_err(std::io::Error::other)? {
                break message;
            }
            let mut buffer = Vec::with_capacity(4096);
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            framer.push(&buffer);
        };
        last = Reply::read(&message).map_err(std::io::Error::other)?;
        if matches!(last, Reply::Error(_)) {
            break;
        }
    }
    Ok(last)
}

/// For how long a server may take to answer a control question.
const ANSWER: Duration = Duration::from_secs(5);
