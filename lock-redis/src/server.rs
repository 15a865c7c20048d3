//! What the server says of itself, and whether the guarantees can hold on it.

use lock_core::Durability;

use crate::error::{Failure, READ_ONLY};

/// The answer to INFO, as far as locks depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerInfo {
    version: (u32, u32),
    version_text: String,
    valkey: bool,
    replica: bool,
    maxmemory: u64,
    policy: String,
    aof: bool,
}

impl ServerInfo {
    pub(crate) fn parse(info: &str) -> Self {
        let field = |name: &str| {
            info.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| *key == name)
                .map_or("", |(_, value)| value.trim())
        };
        let version_text = field("redis_version").to_owned();
        let mut numbers = version_text.split('.').map(|n| n.parse().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        Self {
            version,
            valkey: !field("valkey_version").is_empty(),
            replica: field("role") == "slave",
            maxmemory: field("maxmemory").parse().unwrap_or(0),
            policy: field("maxmemory_policy").to_owned(),
            aof: field("aof_enabled") == "1",
            version_text,
        }
    }

    /// Refuses a server on which the guarantees would not hold. A server that was accepted once and
    /// is a replica now is one that failed over: `seen_before` makes that a passing state.
    pub(crate) fn check(
        &self,
        at: &str,
        allowed_policy: Option<&str>,
        seen_before: bool,
    ) -> Result<(), Failure> {
        if !self.valkey && self.version < (6, 2) {
            let version = match self.version_text.as_str() {
                "" => "of an unknown version",
                text => text,
            };
            return Err(Failure::invalid(format!(
                "{at} is Redis {version}; locks take 6.2 or later, or Valkey"
            )));
        }
        if self.replica {
            let text = format!("{at} {READ_ONLY}");
            return Err(if seen_before {
                Failure::unavailable(text)
            } else {
                Failure::invalid(text)
            });
        }
        let evicts = self.maxmemory > 0 && !matches!(self.policy.as_str(), "" | "noeviction");
        if evicts && allowed_policy != Some(&self.policy) {
            return Err(Failure::invalid(format!(
                "{at} may evict lock keys (maxmemory-policy {policy}), which would free a lock \
                 while it is held; set maxmemory-policy noeviction, use another server, or accept \
                 it by danger_allow_eviction_policy(\"{policy}\")",
                policy = self.policy
            )));
        }
        Ok(())
    }

    /// What survives a restart: everything acknowledged only if each write reaches the disk first.
    pub(crate) fn durability(&self, appendfsync: Option<&str>) -> Durability {
        if self.aof && appendfsync == Some("always") {
            Durability::Restart
        } else {
            Durability::None
        }
    }
}

#[cfg(test)]
mod tests;
