//! A history as JSON Lines: one operation a line.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use super::{History, NEVER, Operation, Outcome, Step, Value};

/// One line. What is absent is 0, never, or not recorded.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    key: Cow<'a, str>,
    client: u32,
    #[serde(default, skip_serializing_if = "is_zero_task")]
    task: u16,
    step: Step,
    outcome: Outcome,
    invoked_ns: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    returned_ns: Option<u64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    token: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    ttl_ns: u64,
    /// `{"value":null}` is "nothing was ever written".
    #[serde(default, skip_serializing_if = "Seen::is_unseen")]
    value: Seen<'a>,
}

#[derive(Default)]
enum Seen<'a> {
    Nothing,
    Text(Cow<'a, str>),
    #[default]
    Unseen,
}

impl Seen<'_> {
    const fn is_unseen(&self) -> bool {
        matches!(self, Self::Unseen)
    }
}

impl Serialize for Seen<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing | Self::Unseen => serializer.serialize_none(),
            Self::Text(text) => serializer.serialize_some(text),
        }
    }
}

impl<'de> Deserialize<'de> for Seen<'_> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: Option<String> = Option::deserialize(deserializer)?;
        Ok(text.map_or(Self::Nothing, |text| Self::Text(Cow::Owned(text))))
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero_task(number: &u16) -> bool {
    *number == 0
}

impl History {
    /// Writes one operation a line.
    ///
    /// # Errors
    /// What the writer fails with.
    pub fn write_lines(&self, mut to: impl Write) -> io::Result<()> {
        for operation in self.operations() {
            let value = match (operation.value, self.value_text(operation.value)) {
                (Value::NONE, _) => Seen::Nothing,
                (_, Some(text)) => Seen::Text(Cow::Borrowed(text)),
                (_, None) => Seen::Unseen,
            };
            let line = Line {
                key: Cow::Borrowed(self.key_name(operation.key)),
                client: operation.client,
                task: operation.task,
                step: operation.step,
                outcome: operation.outcome,
                invoked_ns: operation.invoked,
                returned_ns: (operation.returned != NEVER).then_some(operation.returned),
                token: operation.token,
                ttl_ns: operation.ttl_ns,
                value,
            };
            serde_json::to_writer(&mut to, &line)?;
            to.write_all(b"\n")?;
        }
        to.flush()
    }

    /// Reads what [`write_lines`](Self::write_lines) wrote; empty lines are passed over.
    ///
    /// # Errors
    /// [`LinesError`] with the number of the first line that cannot be read.
    pub fn read_lines(from: impl BufRead) -> Result<Self, LinesError> {
        let mut history = Self::new();
        for (text, line) in from.lines().zip(1_u64..) {
            let text = text.map_err(|source| LinesError::new(line, source))?;
            if text.trim().is_empty() {
                continue;
            }
            let read: Line<'_> =
                serde_json::from_str(&text).map_err(|e| LinesError::new(line, e.into()))?;
            let returned = read.returned_ns.unwrap_or(NEVER);
            if returned < read.invoked_ns {
                let source = io::Error::other("it returned before it was invoked");
                return Err(LinesError::new(line, source));
            }
            let value = match &read.value {
                Seen::Nothing => Value::NONE,
                Seen::Text(text) => history.value(text),
                Seen::Unseen => Value::UNSEEN,
            };
            let operation = Operation {
                invoked: read.invoked_ns,
                returned,
                token: read.token,
                ttl_ns: read.ttl_ns,
                key: history.key(&read.key),
                client: read.client,
                task: read.task,
                value,
                step: read.step,
                outcome: read.outcome,
            };
            history.push(operation);
        }
        Ok(history)
    }
}

/// A line of a history could not be read.
#[derive(Debug)]
pub struct LinesError {
    line: u64,
    source: io::Error,
}

impl LinesError {
    const fn new(line: u64, source: io::Error) -> Self {
        Self { line, source }
    }

    /// The line, from 1.
    #[must_use]
    pub const fn line(&self) -> u64 {
        self.line
    }
}

impl fmt::Display for LinesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read the history: line {}", self.line)
    }
}

impl Error for LinesError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
