//! [`Framer`]: cuts a byte stream into messages without building values.
//!
//! # Invariants
//! 1. `position` lies within the buffer and at the start of a value, never inside one.
//! 2. `wanted` counts the values that the message still lacks; the message ends when it is zero.

use std::fmt;

use bytes::{Bytes, BytesMut};

/// Whose messages a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a connection has two ends")]
pub enum Side {
    /// Requests: arrays of bulk strings, or a line of words.
    Client,
    /// Replies of every type, and pushes.
    Server,
}

/// The stream is not the Redis protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(String);

impl Malformed {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not the Redis protocol: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// Cuts one direction of a connection into messages.
#[derive(Debug)]
pub struct Framer {
    side: Side,
    buffer: BytesMut,
    /// Where in the buffer the next value of the message begins (invariant 1).
    position: usize,
    /// How many values the message still lacks (invariant 2).
    wanted: u64,
}

/// What stands at the head of a value.
enum Head {
    /// The value ends with its line.
    Line,
    /// So many bytes and a line end follow.
    Blob(usize),
    /// So many values follow.
    Aggregate(u64),
    /// So many values follow, and then the value that they describe.
    Attribute(u64),
}

impl Framer {
    /// A framer at the start of a stream.
    #[must_use]
    pub fn new(side: Side) -> Self {
        Self {
            side,
            buffer: BytesMut::new(),
            position: 0,
            wanted: 1,
        }
    }

    /// Appends what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The bytes of a message that is not complete yet.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.buffer
    }

    /// The next message with all its bytes, or `None` until more bytes are pushed.
    ///
    /// # Errors
    /// If the stream is not the Redis protocol; the framer is of no use from there on.
    pub fn next_message(&mut self) -> Result<Option<Bytes>, Malformed> {
        while self.wanted > 0 {
            if self.is_inline() {
                return Ok(self.take_inline());
            }
            let rest = self.buffer.get(self.position..).unwrap_or_default();
            let Some(length) = rest.windows(2).position(|w| w == b"\r\n") else {
                return match rest.len() {
                    0..=LINE_BYTES_MAX => Ok(None),
                    _ => Err(Malformed::new("a line without an end")),
                };
            };
            let after_line = self.position.saturating_add(length).saturating_add(2);
            let line = rest.get(..length).unwrap_or_default();
            let (end, more) = match head(line)? {
                Head::Line => (after_line, 0),
                Head::Blob(size) => {
                    let end = after_line.saturating_add(size).saturating_add(2);
                    if self.buffer.len() < end {
                        self.buffer.reserve(end.saturating_sub(self.buffer.len()));
                        return Ok(None);
                    }
                    (end, 0)
                }
                Head::Aggregate(count) => (after_line, count),
                Head::Attribute(count) => (after_line, count.saturating_add(1)),
            };
            self.position = end;
            self.wanted = self.wanted.saturating_sub(1).saturating_add(more);
        }
        let message = self.buffer.split_to(self.position).freeze();
        self.position = 0;
        self.wanted = 1;
        Ok(Some(message))
    }

    /// Whether a message begins here that is a line of words, as typed into a terminal.
    fn is_inline(&self) -> bool {
        self.side == Side::Client
            && self.position == 0
            && self.buffer.first().is_some_and(|b| *b != b'*')
    }

    /// A line of words may also end with a bare line feed.
    fn take_inline(&mut self) -> Option<Bytes> {
        let end = self.buffer.iter().position(|b| *b == b'\n')?;
        Some(self.buffer.split_to(end.saturating_add(1)).freeze())
    }
}

/// Reads a value's first line.
fn head(line: &[u8]) -> Result<Head, Malformed> {
    let (kind, rest) = line
        .split_first()
        .ok_or_else(|| Malformed::new("an empty line"))?;
    Ok(match kind {
        b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => Head::Line,
        b'$' | b'!' | b'=' => match length(rest)? {
            Some(size) => Head::Blob(usize::try_from(size).unwrap_or(usize::MAX)),
            None => Head::Line,
        },
        b'*' | b'~' | b'>' => Head::Aggregate(length(rest)?.unwrap_or(0)),
        b'%' => Head::Aggregate(length(rest)?.unwrap_or(0).saturating_mul(2)),
        b'|' => Head::Attribute(length(rest)?.unwrap_or(0).saturating_mul(2)),
        other => {
            return Err(Malformed::new(format!(
                "a value cannot begin with {:?}",
                char::from(*other)
            )));
        }
    })
}

/// The number in a head; `None` is RESP2's null, `-1`.
fn length(digits: &[u8]) -> Result<Option<u64>, Malformed> {
    if digits == b"-1" {
        return Ok(None);
    }
    std::str::from_utf8(digits)
        .ok()
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .filter(|length| *length <= LENGTH_MAX)
        .map(Some)
        .ok_or_else(|| {
            Malformed::new(format!(
                "{:?} is no length",
                String::from_utf8_lossy(digits)
            ))
        })
}

/// Redis refuses longer lines as well.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Redis refuses larger values as well: 512 MB.
const LENGTH_MAX: u64 = 512 * 1024 * 1024;
