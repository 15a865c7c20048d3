//! As much of an HTTP client as these tests need: a connection for each request.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: bool,
    pub(crate) text: String,
    /// Null where the answer is no JSON.
    pub(crate) json: serde_json::Value,
}

/// Sends a request and reads the answer; an error if the connection breaks before its end.
pub(crate) async fn ask(
    addr: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    let _count = stream.read_to_end(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes);
    read(&text).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}

/// `None` if the text is not a whole answer.
fn read(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let head = head.to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let value = |name: &str| {
        head.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let length: usize = value("content-length")?.parse().ok()?;
    (body.len() == length).then(|| Answer {
        status,
        retry_after: value("retry-after").is_some(),
        text: body.to_owned(),
        json: serde_json::from_str(body).unwrap_or_default(),
    })
}
