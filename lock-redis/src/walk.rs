//! A walk over the records of a keyspace: SCAN, on each primary of a cluster in turn.

use std::collections::HashSet;
use std::sync::Arc;

use lock_core::LockName;
use redis::Value;

use crate::connection::Connector;
use crate::error::Failure;
use crate::keys::Keyspace;

pub(crate) struct Walk<'a> {
    connector: &'a Arc<Connector>,
    keyspace: &'a Keyspace,
    prefix: &'a str,
    pattern: String,
    /// SCAN may yield a key more than once.
    seen: HashSet<LockName>,
    /// A slot of each primary that is still to be walked; `None` before the first step.
    nodes: Option<Vec<Option<u16>>>,
    cursor: Vec<u8>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        connector: &'a Arc<Connector>,
        keyspace: &'a Keyspace,
        prefix: &'a str,
    ) -> Self {
        Self {
            connector,
            keyspace,
            prefix,
            pattern: keyspace.record_pattern(prefix),
            seen: HashSet::new(),
            nodes: None,
            cursor: b"0".to_vec(),
        }
    }

    /// The next names, perhaps none; `None` when the walk is over.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<LockName>>, Failure> {
        if self.nodes.is_none() {
            self.nodes = Some(self.connector.primaries().await?);
        }
        let Some(node) = self.nodes.as_ref().and_then(|nodes| nodes.last().copied()) else {
            return Ok(None);
        };
        let mut cmd = redis::cmd("SCAN");
        cmd.arg(&self.cursor)
            .arg("MATCH")
            .arg(&self.pattern)
            .arg("COUNT")
            .arg(1000);
        let unexpected = || Failure::unexpected("SCAN");
        let Value::Array(answer) = self.connector.ask_node(cmd, node).await? else {
            return Err(unexpected());
        };
        let [Value::BulkString(cursor), Value::Array(records)] = &answer[..] else {
            return Err(unexpected());
        };
        self.cursor.clone_from(cursor);
        if self.cursor == b"0" {
            self.nodes.as_mut().and_then(Vec::pop);
        }
        let names = records
            .iter()
            .filter_map(|record| redis::from_redis_value_ref::<String>(record).ok())
            .filter_map(|record| self.keyspace.name_of_record(&record))
            .filter(|name| name.as_str().starts_with(self.prefix));
        let mut fresh = Vec::new();
        for name in names {
            if self.seen.insert(name.clone()) {
                fresh.push(name);
            }
        }
        Ok(Some(fresh))
    }
}
