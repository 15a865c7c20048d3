//! A history as JSON Lines: one operation a line, then the notes, each under its own tag.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use super::{Belief, History, Mark, MarkKind, NEVER, Operation, Outcome, Step, Value};

/// One line. What is absent is 0, never, or not recorded.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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

/// A line that is no operation: its only field is its tag.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Note<'a> {
    Belief(BeliefLine<'a>),
    HealedNs(u64),
    Mark(MarkLine<'a>),
}

impl Note<'_> {
    const TAGS: [&'static str; 3] = ["belief\"", "healed_ns\"", "mark\""];

    /// Whether a line is one, told by its first field: a file of ten million operations is not to be
    /// parsed twice.
    fn is_in(text: &str) -> bool {
        let field = text.trim_start().strip_prefix('{').map(str::trim_start);
        let name = field.and_then(|field| field.strip_prefix('"'));
        name.is_some_and(|name| Self::TAGS.iter().any(|tag| name.starts_with(tag)))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BeliefLine<'a> {
    key: Cow<'a, str>,
    client: u32,
    #[serde(default, skip_serializing_if = "is_zero_task")]
    task: u16,
    #[serde(default, skip_serializing_if = "is_zero")]
    token: u64,
    from_ns: u64,
    until_ns: u64,
}

/// What is absent never ended, or concerned the store.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkLine<'a> {
    from_ns: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until_ns: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<u32>,
    #[serde(default, skip_serializing_if = "is_fault")]
    kind: MarkKind,
    text: Cow<'a, str>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_fault(kind: &MarkKind) -> bool {
    matches!(kind, MarkKind::Fault)
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
    /// Writes one operation a line, then beliefs, marks, and the moment of healing.
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
        for note in self.notes() {
            serde_json::to_writer(&mut to, &note)?;
            to.write_all(b"\n")?;
        }
        to.flush()
    }

    fn notes(&self) -> impl Iterator<Item = Note<'_>> {
        let beliefs = self.beliefs().iter().map(|belief| {
            Note::Belief(BeliefLine {
                key: Cow::Borrowed(self.key_name(belief.key)),
                client: belief.client,
                task: belief.task,
                token: belief.token,
                from_ns: belief.from,
                until_ns: belief.until,
            })
        });
        let marks = self.marks().iter().map(|mark| {
            Note::Mark(MarkLine {
                from_ns: mark.from,
                until_ns: (mark.until != NEVER).then_some(mark.until),
                client: mark.client,
                kind: mark.kind,
                text: Cow::Borrowed(&mark.text),
            })
        });
        let healed = self.healed_at().map(Note::HealedNs);
        beliefs.chain(marks).chain(healed)
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
            let read = match Note::is_in(&text) {
                true => history.read_note(&text),
                false => history.read_operation(&text),
            };
            read.map_err(|source| LinesError::new(line, source))?;
        }
        Ok(history)
    }

    fn read_operation(&mut self, text: &str) -> io::Result<()> {
        let read: Line<'_> = serde_json::from_str(text)?;
        let returned = read.returned_ns.unwrap_or(NEVER);
        if returned < read.invoked_ns {
            return Err(io::Error::other("it returned before it was invoked"));
        }
        let value = match &read.value {
            Seen::Nothing => Value::NONE,
            Seen::Text(text) => self.value(text),
            Seen::Unseen => Value::UNSEEN,
        };
        let operation = Operation {
            invoked: read.invoked_ns,
            returned,
            token: read.token,
            ttl_ns: read.ttl_ns,
            key: self.key(&read.key),
            client: read.client,
            task: read.task,
            value,
            step: read.step,
            outcome: read.outcome,
        };
        self.push(operation);
        Ok(())
    }

    fn read_note(&mut self, text: &str) -> io::Result<()> {
        match serde_json::from_str(text)? {
            Note::Belief(read) => {
                let key = self.key(&read.key);
                self.believe(Belief {
                    key,
                    client: read.client,
                    task: read.task,
                    token: read.token,
                    from: read.from_ns,
                    until: read.until_ns,
                });
            }
            Note::HealedNs(moment) => self.heal_at(moment),
            Note::Mark(read) => self.mark(Mark {
                from: read.from_ns,
                until: read.until_ns.unwrap_or(NEVER),
                client: read.client,
                kind: read.kind,
                text: read.text.into_owned(),
            }),
        }
        Ok(())
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
