//! A map of strings that can be appended to, and the key-value logs of Porcupine's tests.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::super::FormatError;
use super::{Entry, Model};

/// A map of strings, all empty at first. Keys are independent parts.
///
/// It knows what a history read. A string that begins nothing that was read can be read no more
/// until it is replaced, so all such strings are one state; all others are a beginning of what was
/// read.
#[derive(Clone, Debug, Default)]
pub struct Kv {
    /// All that was read, sorted, each once.
    reads: Vec<Rc<str>>,
}

/// A string of a [`Kv`] that may still be read, as a beginning of what was; `None` if it cannot.
pub type KvState = Option<Beginning>;

/// The first so many bytes of the first string that begins so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Beginning {
    read: usize,
    length: usize,
}

impl Kv {
    /// The map that a history is about.
    #[must_use]
    pub fn of(history: &[Entry<KvOp>]) -> Self {
        let reads = history.iter().filter_map(|entry| match &entry.op {
            KvOp::Get(_, value) => Some(Rc::clone(value)),
            KvOp::Append(..) | KvOp::Put(..) => None,
        });
        let mut reads: Vec<Rc<str>> = reads.collect();
        reads.sort_unstable();
        reads.dedup();
        Self { reads }
    }

    fn text(&self, state: Beginning) -> &[u8] {
        let read = self.reads.get(state.read);
        read.and_then(|read| read.as_bytes().get(..state.length))
            .unwrap_or_default()
    }

    /// The state of a string in two pieces.
    fn beginning(&self, head: &[u8], tail: &[u8]) -> KvState {
        let length = head.len().saturating_add(tail.len());
        let order = |read: &[u8]| {
            let (first, rest) = read.split_at_checked(head.len()).unwrap_or((read, &[]));
            first.cmp(head).then_with(|| rest.cmp(tail))
        };
        let read = self
            .reads
            .partition_point(|read| order(read.as_bytes()).is_lt());
        let found = self.reads.get(read)?.as_bytes();
        let begins = found.starts_with(head) && found.get(head.len()..)?.starts_with(tail);
        begins.then_some(Beginning { read, length })
    }
}

/// An operation on a [`Kv`] and its answer; the key is a number given by the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "these are all that the model has")]
pub enum KvOp {
    /// Adds to the end of the string.
    Append(u64, Rc<str>),
    /// Answers with the string.
    Get(u64, Rc<str>),
    /// Replaces the string.
    Put(u64, Rc<str>),
}

impl Model for Kv {
    type State = KvState;
    type Op = KvOp;

    fn initial(&self) -> KvState {
        Some(Beginning { read: 0, length: 0 })
    }

    fn step(&self, state: &KvState, entry: &Entry<KvOp>) -> Option<KvState> {
        match &entry.op {
            KvOp::Append(_, value) => {
                Some(state.and_then(|state| self.beginning(self.text(state), value.as_bytes())))
            }
            KvOp::Get(_, value) => {
                let is_it = state.is_some_and(|state| self.text(state) == value.as_bytes());
                is_it.then_some(*state)
            }
            KvOp::Put(_, value) => Some(self.beginning(value.as_bytes(), &[])),
        }
    }

    fn observes(&self, op: &KvOp) -> bool {
        matches!(op, KvOp::Get(..))
    }

    fn resets(&self, op: &KvOp) -> bool {
        matches!(op, KvOp::Put(..))
    }

    fn may_reach(&self, state: &KvState, goal: &KvOp) -> bool {
        match goal {
            // Appending only ever makes it longer.
            KvOp::Get(_, value) => {
                state.is_some_and(|state| value.as_bytes().starts_with(self.text(state)))
            }
            KvOp::Append(..) | KvOp::Put(..) => true,
        }
    }

    fn part(&self, op: &KvOp) -> u64 {
        match op {
            KvOp::Append(key, _) | KvOp::Get(key, _) | KvOp::Put(key, _) => *key,
        }
    }
}

/// Reads a key-value log of Porcupine's tests: a line an event,
/// `{:process 0, :type :invoke, :f :append, :key "0", :value "x"}`.
///
/// # Errors
/// [`FormatError`] with the number of the first line that is not of this form.
pub fn read_kv_log(text: &str) -> Result<Vec<Entry<KvOp>>, FormatError> {
    let mut keys: BTreeMap<&str, u64> = BTreeMap::new();
    let mut entries: Vec<Entry<KvOp>> = Vec::new();
    let mut open: BTreeMap<u64, usize> = BTreeMap::new();
    for (line, stamp) in text.lines().zip(0_u64..) {
        if line.trim().is_empty() {
            continue;
        }
        let wrong = || FormatError::new(stamp.saturating_add(1));
        let process = word(line, ":process ").and_then(|p| p.parse::<u64>().ok());
        let process = process.ok_or_else(wrong)?;
        let value = quoted(line, ":value ");
        match word(line, ":type ") {
            Some(":invoke") => {
                let known = u64::try_from(keys.len()).ok().ok_or_else(wrong)?;
                let key = quoted(line, ":key ").ok_or_else(wrong)?;
                let key = *keys.entry(key).or_insert(known);
                let value = Rc::from(value.unwrap_or_default());
                let op = match word(line, ":f ").ok_or_else(wrong)? {
                    ":append" => KvOp::Append(key, value),
                    ":get" => KvOp::Get(key, value),
                    ":put" => KvOp::Put(key, value),
                    _ => return Err(wrong()),
                };
                if open.insert(process, entries.len()).is_some() {
                    return Err(wrong());
                }
                entries.push(Entry::unknown(op, stamp));
            }
            Some(":ok") => {
                let index = open.remove(&process).ok_or_else(wrong)?;
                let entry = entries.get_mut(index).ok_or_else(wrong)?;
                if let KvOp::Get(_, read) = &mut entry.op {
                    *read = Rc::from(value.ok_or_else(wrong)?);
                }
                (entry.returned, entry.optional) = (stamp, false);
            }
            _ => return Err(wrong()),
        }
    }
    entries.retain(|entry| !(entry.optional && matches!(entry.op, KvOp::Get(..))));
    Ok(entries)
}

/// The word after a keyword.
fn word<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(keyword)?;
    rest.split([',', ' ', '}']).next()
}

/// The quoted string after a keyword.
fn quoted<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(keyword)?;
    rest.strip_prefix('"')?.split('"').next()
}
