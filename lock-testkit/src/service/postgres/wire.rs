//! [`Wire`]: asks a PostgreSQL server, or a pooler, a question, without a driver.
//!
//! It speaks the simple query protocol and gives a password as plain text where it is asked for
//! one; other ways to prove an identity are for drivers.
#![expect(
    clippy::disallowed_methods,
    reason = "a real server is waited for in real time"
)]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::SetupError;

/// Where to ask, and as whom.
#[derive(Clone, Debug)]
pub(in crate::service) struct Wire {
    pub(in crate::service) addr: SocketAddr,
    pub(in crate::service) user: String,
    pub(in crate::service) password: String,
    pub(in crate::service) database: String,
}

impl Wire {
    /// Executes statements on a connection of their own and returns all rows.
    pub(in crate::service) async fn ask(&self, sql: &str) -> Result<Vec<Vec<String>>, SetupError> {
        let failed = || SetupError::new(format!("cannot ask {} {sql:?}", self.addr));
        tokio::time::timeout(ANSWER, self.exchange(sql))
            .await
            .map_err(|e| failed().with_source(e))?
            .map_err(|e| failed().with_source(e))
    }

    /// Whether something that speaks the protocol listens, which is all that can be known without a
    /// password.
    pub(in crate::service) async fn speaks(&self) -> Result<(), SetupError> {
        let failed = || SetupError::new(format!("no PostgreSQL server answers on {}", self.addr));
        let ask = async {
            let mut stream = TcpStream::connect(self.addr).await?;
            stream
                .write_all(&framed(None, &SSL_REQUEST.to_be_bytes()))
                .await?;
            stream.read_u8().await
        };
        let answer = tokio::time::timeout(ANSWER, ask)
            .await
            .map_err(|e| failed().with_source(e))?
            .map_err(|e| failed().with_source(e))?;
        match answer {
            b'N' | b'S' => Ok(()),
            _ => Err(failed()),
        }
    }

    async fn exchange(&self, sql: &str) -> io::Result<Vec<Vec<String>>> {
        let mut stream = TcpStream::connect(self.addr).await?;
        let mut hello = PROTOCOL.to_be_bytes().to_vec();
        for word in ["user", &self.user, "database", &self.database] {
            hello.extend(text(word));
        }
        hello.push(0);
        stream.write_all(&framed(None, &hello)).await?;
        // The first time that the server is ready it has let us in.
        let mut asked = false;
        let mut rows = Vec::new();
        let mut failure = None;
        loop {
            let (kind, body) = message(&mut stream).await?;
            match kind {
                b'R' => match body.as_slice() {
                    [0, 0, 0, 0] => {}
                    [0, 0, 0, 3] => {
                        let password = framed(Some(b'p'), &text(&self.password));
                        stream.write_all(&password).await?;
                    }
                    _ => {
                        let user = &self.user;
                        let said =
                            format!("it wants a secret of {user} that only drivers can give");
                        return Err(io::Error::other(said));
                    }
                },
                b'Z' if asked => return failure.map_or(Ok(rows), |e| Err(io::Error::other(e))),
                b'Z' => {
                    asked = true;
                    stream.write_all(&framed(Some(b'Q'), &text(sql))).await?;
                }
                b'D' => rows.push(row(&body).ok_or(io::ErrorKind::InvalidData)?),
                b'E' if asked => failure = Some(complaint(&body)),
                b'E' => return Err(io::Error::other(complaint(&body))),
                // What is told besides: parameters, tags, notices, columns.
                _ => {}
            }
        }
    }
}

fn text(word: &str) -> Vec<u8> {
    let mut bytes = word.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// A message as it is sent; the first one has no kind.
fn framed(kind: Option<u8>, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len().saturating_add(4)).unwrap_or(u32::MAX);
    let mut bytes: Vec<u8> = kind.into_iter().collect();
    bytes.extend(length.to_be_bytes());
    bytes.extend(body);
    bytes
}

async fn message(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let kind = stream.read_u8().await?;
    let length = stream.read_u32().await?.saturating_sub(4);
    if length > BODY_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; usize::try_from(length).unwrap_or_default()];
    stream.read_exact(&mut body).await?;
    Ok((kind, body))
}

/// The columns of a row; null is empty.
fn row(body: &[u8]) -> Option<Vec<String>> {
    let (_, mut rest) = body.split_first_chunk::<2>()?;
    let mut columns = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
        let (column, after) = after.split_at_checked(length)?;
        columns.push(String::from_utf8_lossy(column).into_owned());
        rest = after;
    }
    Some(columns)
}

/// The code and the message of an error.
fn complaint(body: &[u8]) -> String {
    let mut said = Vec::new();
    for field in body.split(|byte| *byte == 0) {
        if let Some((b'C' | b'M', words)) = field.split_first() {
            said.push(String::from_utf8_lossy(words).into_owned());
        }
    }
    said.join(": ")
}

const PROTOCOL: u32 = 196_608;
const SSL_REQUEST: u32 = 80_877_103;
/// For how long a server may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
const BODY_MAX: u32 = 64 << 20;
