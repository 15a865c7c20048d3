//! [`Reply`]: a server's message, read as a value.

use super::frame::Malformed;
use super::request::split_line;

/// What a server answered.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reply {
    /// Several values; a map is its keys and values in turn.
    Array(Vec<Self>),
    /// A string of any bytes.
    Bulk(Vec<u8>),
    /// An error that the server reports.
    Error(String),
    /// An integer; RESP3's booleans are 1 and 0.
    Integer(i64),
    /// No value.
    Nil,
    /// A status such as `OK`; RESP3's doubles and big numbers as they are written.
    Status(String),
}

impl Reply {
    /// Reads a message that a [`Framer`](super::Framer) cut from a server's stream.
    ///
    /// # Errors
    /// If it is not a reply.
    pub fn read(message: &[u8]) -> Result<Self, Malformed> {
        let (reply, rest) = value(message, 0)?;
        if rest.is_empty() {
            Ok(reply)
        } else {
            Err(Malformed::new("something follows the reply"))
        }
    }

    /// The text of a status or string, with bytes that are no UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Self::Status(text) => Some(text.clone()),
            Self::Array(_) | Self::Error(_) | Self::Integer(_) | Self::Nil => None,
        }
    }

    /// The integer, also where it is written as a string.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Bulk(_) | Self::Status(_) => self.text()?.parse().ok(),
            Self::Array(_) | Self::Error(_) | Self::Nil => None,
        }
    }

    /// The values of an array; none of anything else.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            Self::Bulk(_) | Self::Error(_) | Self::Integer(_) | Self::Nil | Self::Status(_) => &[],
        }
    }
}

fn value(bytes: &[u8], depth: usize) -> Result<(Reply, &[u8]), Malformed> {
    let bad = || Malformed::new("a reply that is cut off");
    if depth > DEPTH_MAX {
        return Err(Malformed::new("a reply that is nested too deeply"));
    }
    let (head, rest) = split_line(bytes).ok_or_else(bad)?;
    let (kind, text) = head.split_first().ok_or_else(bad)?;
    let text = String::from_utf8_lossy(text).into_owned();
    let count = || text.parse::<usize>().map_err(|_e| bad());
    Ok(match kind {
        b'+' | b',' | b'(' => (Reply::Status(text), rest),
        b'-' => (Reply::Error(text), rest),
        b':' => (Reply::Integer(text.parse().map_err(|_e| bad())?), rest),
        b'#' => (Reply::Integer(i64::from(text == "t")), rest),
        b'_' => (Reply::Nil, rest),
        b'$' | b'!' | b'=' | b'*' if text == "-1" => (Reply::Nil, rest),
        b'$' | b'!' | b'=' => {
            let size = count()?;
            let blob = rest.get(..size).ok_or_else(bad)?;
            let rest = rest.get(size.saturating_add(2)..).ok_or_else(bad)?;
            let reply = match kind {
                b'!' => Reply::Error(String::from_utf8_lossy(blob).into_owned()),
                // A verbatim string begins with three letters for its format and a colon.
                b'=' => Reply::Bulk(blob.get(4..).unwrap_or_default().to_vec()),
                _ => Reply::Bulk(blob.to_vec()),
            };
            (reply, rest)
        }
        b'*' | b'~' | b'>' => items(rest, count()?, depth)?,
        b'%' => items(rest, count()?.saturating_mul(2), depth)?,
        b'|' => {
            let (_, rest) = items(rest, count()?.saturating_mul(2), depth)?;
            value(rest, depth.saturating_add(1))?
        }
        _ => return Err(Malformed::new("a reply of no known type")),
    })
}

fn items(mut rest: &[u8], count: usize, depth: usize) -> Result<(Reply, &[u8]), Malformed> {
    let mut items = Vec::new();
    for _ in 0..count {
        let (item, tail) = value(rest, depth.saturating_add(1))?;
        items.push(item);
        rest = tail;
    }
    Ok((Reply::Array(items), rest))
}

/// Redis itself nests no deeper than a handful of levels.
const DEPTH_MAX: usize = 64;
