//! What the keys of a lock are called.
//!
//! # Invariants
//! 1. Two names never share a key, and no lock key is the record or the line of another lock: a lock
//!    key holds no brace, the others do.
//! 2. All keys of one lock lie in one slot of a cluster: Redis hashes a key without braces whole, and
//!    of a key with braces what stands between them, which is the lock key.

use std::sync::Arc;

use lock_core::{Error, ErrorKind, LockName};

/// The names under which a client keeps its locks.
#[derive(Clone, Debug)]
pub(crate) struct Keyspace {
    namespace: Arc<str>,
}

/// The keys of one lock, in the order in which every script takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) lock: String,
    pub(crate) record: String,
    pub(crate) line: String,
}

impl Keyspace {
    /// The longest namespace, in bytes.
    pub(crate) const NAMESPACE_BYTES_MAX: usize = 128;

    pub(crate) fn new(namespace: &str) -> Result<Self, Error> {
        if namespace.len() > Self::NAMESPACE_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "a namespace is at most {} bytes long, and this one has {}",
                    Self::NAMESPACE_BYTES_MAX,
                    namespace.len()
                ),
            ));
        }
        if namespace.contains(['{', '}']) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "a namespace must not contain braces: they choose the slot of a cluster",
            ));
        }
        Ok(Self {
            namespace: Arc::from(namespace),
        })
    }

    pub(crate) fn keys(&self, name: &LockName) -> Keys {
        let lock = self.lock_key(name.as_str());
        Keys {
            record: format!("{{{lock}}}:lock"),
            line: format!("{{{lock}}}:line"),
            lock,
        }
    }

    pub(crate) fn lock_key(&self, name: &str) -> String {
        let mut key = String::with_capacity(self.namespace.len().saturating_add(name.len()));
        key.push_str(&self.namespace);
        for c in name.chars() {
            match c {
                '%' => key.push_str("%25"),
                '{' => key.push_str("%7B"),
                '}' => key.push_str("%7D"),
                other => key.push(other),
            }
        }
        key
    }

    /// The name whose lock key this is; `None` for any other key.
    pub(crate) fn name_of(&self, lock_key: &str) -> Option<LockName> {
        let escaped = lock_key.strip_prefix(&*self.namespace)?;
        if escaped.contains(['{', '}']) {
            return None;
        }
        // `%25` last, so that no escape is made out of what it yields.
        let name = escaped
            .replace("%7B", "{")
            .replace("%7D", "}")
            .replace("%25", "%");
        (self.lock_key(&name) == lock_key)
            .then(|| LockName::new(name).ok())
            .flatten()
    }

    /// The name whose record this is; `None` for any other key.
    pub(crate) fn name_of_record(&self, record: &str) -> Option<LockName> {
        self.name_of(record.strip_prefix('{')?.strip_suffix("}:lock")?)
    }

    /// A pattern for SCAN that matches the records of all names with the prefix, and little else.
    pub(crate) fn record_pattern(&self, prefix: &str) -> String {
        let mut pattern = String::from("{");
        for c in self.lock_key(prefix).chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push_str("*}:lock");
        pattern
    }

    /// What the channels of the clients begin with; the client's id follows.
    pub(crate) fn channel_prefix(&self) -> String {
        format!("{}lock:client:", self.namespace)
    }
}

/// The slot of a lock key, which holds no brace: CRC16 (XMODEM) modulo 16384, as in
/// <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.
pub(crate) fn slot(lock_key: &str) -> u16 {
    let crc = lock_key.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 }
        })
    });
    crc & 0x3fff
}

#[cfg(test)]
mod tests;
