//! [`Request`]: a client's message, read as a command.

use bytes::Bytes;

use super::frame::Malformed;

/// One command with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    command: String,
    arguments: Vec<Bytes>,
}

impl Request {
    /// Reads a message that a [`Framer`](super::Framer) cut from a client's stream. An empty line or
    /// array, which a server ignores, is `None`.
    ///
    /// # Errors
    /// If it is an array of anything but bulk strings.
    pub fn read(message: &Bytes) -> Result<Option<Self>, Malformed> {
        let mut words = if message.first() == Some(&b'*') {
            bulk_strings(message)?
        } else {
            message
                .split(u8::is_ascii_whitespace)
                .filter(|word| !word.is_empty())
                .map(|word| message.slice_ref(word))
                .collect()
        };
        if words.is_empty() {
            return Ok(None);
        }
        let command = String::from_utf8_lossy(&words.remove(0)).to_ascii_uppercase();
        Ok(Some(Self {
            command,
            arguments: words,
        }))
    }

    /// Writes a command as a client does.
    #[must_use]
    pub fn encode<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            let word = word.as_ref();
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }

    /// The command's name in upper case.
    #[must_use]
    pub fn command(&self) -> &str {
        &self.command
    }

    /// What follows the command's name.
    #[must_use]
    pub fn arguments(&self) -> &[Bytes] {
        &self.arguments
    }

    /// The first key: the first argument, or of a script's call the first of its keys.
    #[must_use]
    pub fn first_key(&self) -> Option<&Bytes> {
        match self.command.as_str() {
            "EVAL" | "EVALSHA" | "EVAL_RO" | "EVALSHA_RO" | "FCALL" | "FCALL_RO" => {
                let none = self.arguments.get(1).is_some_and(|count| count == "0");
                self.arguments.get(2).filter(|_| !none)
            }
            _ => self.arguments.first(),
        }
    }
}

fn bulk_strings(message: &Bytes) -> Result<Vec<Bytes>, Malformed> {
    let bad = || Malformed::new("a request is an array of bulk strings");
    let (_, mut rest) = split_line(message).ok_or_else(bad)?;
    let mut words = Vec::new();
    while !rest.is_empty() {
        let (head, tail) = split_line(rest).ok_or_else(bad)?;
        let size: usize = head
            .strip_prefix(b"$")
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
            .ok_or_else(bad)?;
        words.push(message.slice_ref(tail.get(..size).ok_or_else(bad)?));
        rest = tail.get(size.saturating_add(2)..).ok_or_else(bad)?;
    }
    Ok(words)
}

/// A line without its end, and what follows it.
pub(super) fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|w| w == b"\r\n")?;
    Some((bytes.get(..end)?, bytes.get(end.saturating_add(2)..)?))
}
