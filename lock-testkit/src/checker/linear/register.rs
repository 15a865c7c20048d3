//! A register with compare-and-set, and the logs of Jepsen's etcd tests.

use std::collections::BTreeMap;

use super::super::FormatError;
use super::{Entry, Model};

/// A register that holds nothing at first.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has no parts")]
pub struct Register;

/// An operation on a [`Register`] and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "these are all that the model has")]
pub enum RegisterOp {
    /// Sets the second value if the register holds the first; `done` says whether it did.
    Cas {
        /// What must be there.
        from: i64,
        /// What is there afterwards.
        to: i64,
        /// Whether it was there.
        done: bool,
    },
    /// Answers with what the register holds.
    Read(Option<i64>),
    /// Sets the value.
    Write(i64),
}

impl Model for Register {
    type State = Option<i64>;
    type Op = RegisterOp;

    fn initial(&self) -> Self::State {
        None
    }

    fn step(&self, state: &Self::State, entry: &Entry<RegisterOp>) -> Option<Self::State> {
        match entry.op {
            RegisterOp::Cas { from, to, done } => match (*state == Some(from), done) {
                (true, true) => Some(Some(to)),
                (false, false) => Some(*state),
                _ => None,
            },
            RegisterOp::Read(value) => (*state == value).then_some(value),
            RegisterOp::Write(value) => Some(Some(value)),
        }
    }

    fn observes(&self, op: &RegisterOp) -> bool {
        match op {
            RegisterOp::Cas { from, to, done } => !done || from == to,
            RegisterOp::Read(_) => true,
            RegisterOp::Write(_) => false,
        }
    }

    fn resets(&self, op: &RegisterOp) -> bool {
        matches!(op, RegisterOp::Write(_))
    }

    fn may_reach(&self, state: &Self::State, goal: &RegisterOp) -> bool {
        match goal {
            RegisterOp::Cas { done, .. } => state.is_some() || !done,
            RegisterOp::Read(value) => state.is_some() || value.is_none(),
            RegisterOp::Write(_) => true,
        }
    }
}

/// Reads a log of Jepsen's etcd tests: a line an event, `process type function value`, separated
/// by any white space; the order of lines is the order of time.
///
/// # Errors
/// [`FormatError`] with the number of the first line that is not of this form.
pub fn read_etcd_log(text: &str) -> Result<Vec<Entry<RegisterOp>>, FormatError> {
    let mut entries: Vec<Entry<RegisterOp>> = Vec::new();
    let mut open: BTreeMap<u64, usize> = BTreeMap::new();
    let mut dropped = Vec::new();
    for (line, stamp) in text.lines().zip(0_u64..) {
        if line.trim().is_empty() {
            continue;
        }
        let wrong = || FormatError::new(stamp.saturating_add(1));
        let event = Event::parse(line).ok_or_else(wrong)?;
        if event.kind == ":invoke" {
            let op = event.asked().ok_or_else(wrong)?;
            if open.insert(event.process, entries.len()).is_some() {
                return Err(wrong());
            }
            entries.push(Entry::unknown(op, stamp));
            continue;
        }
        let index = open.remove(&event.process).ok_or_else(wrong)?;
        let entry = entries.get_mut(index).ok_or_else(wrong)?;
        match (event.kind, event.value.as_str()) {
            (":ok", value) => {
                if let RegisterOp::Read(read) = &mut entry.op {
                    *read = number_or_nil(value).ok_or_else(wrong)?;
                }
                (entry.returned, entry.optional) = (stamp, false);
            }
            (":fail", value) => match &mut entry.op {
                // It found another value, and so says what the register does not hold.
                RegisterOp::Cas { done, .. } if value != ":timed-out" => {
                    *done = false;
                    (entry.returned, entry.optional) = (stamp, false);
                }
                RegisterOp::Cas { .. } | RegisterOp::Read(_) | RegisterOp::Write(_) => {
                    dropped.push(index);
                }
            },
            (":info", _) => {}
            _ => return Err(wrong()),
        }
    }
    // A read that was never answered says nothing.
    let is_mute = |e: &Entry<RegisterOp>| e.optional && matches!(e.op, RegisterOp::Read(_));
    let mut index = 0_usize;
    entries.retain(|entry| {
        let keep = !is_mute(entry) && dropped.binary_search(&index).is_err();
        index = index.saturating_add(1);
        keep
    });
    Ok(entries)
}

struct Event<'a> {
    process: u64,
    kind: &'a str,
    function: &'a str,
    value: String,
}

impl<'a> Event<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split_whitespace().skip_while(|word| *word != "-");
        let _dash = words.next()?;
        let process = words.next()?.parse().ok()?;
        let (kind, function) = (words.next()?, words.next()?);
        let value = words.collect::<Vec<_>>().join(" ");
        Some(Self {
            process,
            kind,
            function,
            value,
        })
    }

    fn asked(&self) -> Option<RegisterOp> {
        match self.function {
            ":read" => Some(RegisterOp::Read(None)),
            ":write" => Some(RegisterOp::Write(self.value.parse().ok()?)),
            ":cas" => {
                let pair = self.value.strip_prefix('[')?.strip_suffix(']')?;
                let (from, to) = pair.split_once(' ')?;
                Some(RegisterOp::Cas {
                    from: from.trim().parse().ok()?,
                    to: to.trim().parse().ok()?,
                    done: true,
                })
            }
            _ => None,
        }
    }
}

fn number_or_nil(value: &str) -> Option<Option<i64>> {
    match value {
        "nil" => Some(None),
        number => number.parse().ok().map(Some),
    }
}
