//! A client that does one thing at a time, so that a test can say what it hears.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use lock_testkit::resp::{Framer, Reply, Request, Side};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than any answer takes that comes at all, also on a busy machine.
pub(crate) const SILENCE: Duration = Duration::from_millis(300);

pub(crate) struct Client {
    stream: TcpStream,
    framer: Framer,
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        Self {
            stream,
            framer: Framer::new(Side::Server),
        }
    }

    pub(crate) async fn send(&mut self, words: &str) {
        let words: Vec<_> = words.split(' ').collect();
        self.stream
            .write_all(&Request::encode(&words))
            .await
            .unwrap();
    }

    /// Sends several commands in one piece.
    pub(crate) async fn pipeline(&mut self, commands: &[&str]) {
        let encode = |command: &&str| Request::encode(&command.split(' ').collect::<Vec<_>>());
        let bytes: Vec<_> = commands.iter().flat_map(encode).collect();
        self.stream.write_all(&bytes).await.unwrap();
    }

    pub(crate) async fn receive(&mut self) -> io::Result<Reply> {
        loop {
            if let Some(message) = self.framer.next_message().unwrap() {
                return Ok(Reply::read(&message).unwrap());
            }
            let mut buffer = Vec::with_capacity(4096);
            if self.stream.read_buf(&mut buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.framer.push(&buffer);
        }
    }

    pub(crate) async fn ask(&mut self, words: &str) -> io::Result<Reply> {
        self.send(words).await;
        self.receive().await
    }

    /// Whether nothing is heard for a while, not even the end.
    pub(crate) async fn hears_nothing(&mut self) -> bool {
        tokio::time::timeout(SILENCE, self.receive()).await.is_err()
    }

    /// Whether the end comes next, in whatever form.
    pub(crate) async fn hears_the_end(&mut self) -> bool {
        let outcome = tokio::time::timeout(Duration::from_secs(5), self.receive()).await;
        outcome.is_ok_and(|reply| reply.is_err())
    }
}

pub(crate) fn status(text: &str) -> Reply {
    Reply::Status(text.into())
}

pub(crate) fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.into())
}
