//! [`Evidence`]: what was seen, in the form in which the rules ask for it.

use std::collections::HashMap;
use std::sync::Arc;

use super::Inner;
use crate::history::{Belief, History, Key, Operation, Outcome, Step};
use crate::recording::{Broken, Ending};

/// What was done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    /// It did not let itself be used.
    Refused,
    Write,
}

/// One use of a resource.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub(super) resource: Arc<str>,
    pub(super) lock: Arc<str>,
    pub(super) access: Access,
    pub(super) token: Option<u64>,
    pub(super) what: String,
    pub(super) at: u64,
    pub(super) task: u16,
}

/// A change that was not committed.
#[derive(Clone, Debug)]
pub(super) struct Discard {
    pub(super) lock: String,
    pub(super) token: u64,
    pub(super) at: u64,
    pub(super) task: u16,
}

/// A request that was served.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) name: String,
    pub(super) task: u16,
    pub(super) from: u64,
    pub(super) until: u64,
    pub(super) deadline: u64,
}

/// What was seen.
pub(super) struct Evidence<'a> {
    pub(super) history: &'a History,
    pub(super) inner: &'a Inner,
    pub(super) now: u64,
    /// Commits whose caller went away.
    pub(super) broken: Vec<Broken>,
    /// Acquires that did not wait.
    pub(super) tries: Vec<usize>,
    leases: HashMap<(Key, u64), Lease>,
}

/// One lease, from its grant to the end of its client's belief in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) grant: Operation,
    /// `None` if it came too late to be believed in.
    pub(super) belief: Option<Belief>,
}

impl<'a> Evidence<'a> {
    pub(super) fn new(history: &'a History, inner: &'a Inner, now: u64) -> Self {
        let ledgers = || inner.clients.iter().map(|(_, backend)| backend.ledger());
        let mut broken: Vec<Broken> = ledgers().flat_map(|l| l.broken_commits()).collect();
        broken.sort_unstable_by_key(|broken| broken.at);
        let mut leases: HashMap<(Key, u64), Lease> = HashMap::new();
        for operation in history.operations() {
            if operation.step == Step::Acquire && operation.outcome == Outcome::Done {
                let lease = Lease {
                    grant: *operation,
                    belief: None,
                };
                let _first = leases
                    .entry((operation.key, operation.token))
                    .or_insert(lease);
            }
        }
        for belief in history.beliefs() {
            if let Some(lease) = leases.get_mut(&(belief.key, belief.token)) {
                // A grant that was asked for again is one lease.
                let both = lease.belief.map_or(*belief, |before| Belief {
                    from: before.from.min(belief.from),
                    until: before.until.max(belief.until),
                    ..*belief
                });
                lease.belief = Some(both);
            }
        }
        Self {
            history,
            inner,
            now,
            broken,
            tries: ledgers().flat_map(|ledger| ledger.tries()).collect(),
            leases,
        }
    }

    /// The lease of a token, where the client of a lock was granted it.
    pub(super) fn lease(&self, lock: &str, token: u64) -> Option<&Lease> {
        let mut leases = self.leases.values();
        leases.find(|l| l.grant.token == token && self.history.key_name(l.grant.key) == lock)
    }

    /// How the belief in the lease of a token ended, if not by the clock alone.
    pub(super) fn ending(&self, lock: &str, token: u64) -> Option<Ending> {
        let mut clients = self.inner.clients.iter();
        clients.find_map(|(_, backend)| backend.ledger().ending(lock, token))
    }

    /// All leases that were believed in, in the order of their grants.
    pub(super) fn held(&self) -> Vec<Belief> {
        let mut held: Vec<Belief> = self.leases.values().filter_map(|l| l.belief).collect();
        held.sort_unstable_by_key(|belief| belief.from);
        held
    }

    /// A client and its task, for a reader.
    pub(super) fn who(&self, client: u32, task: u16) -> String {
        let at = usize::try_from(client).ok();
        let name = at.and_then(|at| self.inner.clients.get(at));
        let mut who = match name {
            Some((name, _)) if !name.is_empty() => name.clone(),
            _ => format!("client {client}"),
        };
        who.push_str(", ");
        who.push_str(&task_name(task));
        who
    }

    /// Who holds the lease of a token, or the task if that is not known.
    pub(super) fn holder(&self, lock: &str, token: Option<u64>, task: u16) -> String {
        let lease = token.and_then(|token| self.lease(lock, token));
        lease.map_or_else(
            || task_name(task),
            |lease| self.who(lease.grant.client, task),
        )
    }
}

/// A task, for a reader.
pub(super) fn task_name(task: u16) -> String {
    match task {
        0 => "outside of a task".to_owned(),
        task => format!("task {task}"),
    }
}

/// A moment, for a reader.
pub(super) fn seconds(nanos: u64) -> String {
    let millis = nanos.saturating_add(500_000) / 1_000_000;
    format!("{}.{:03} s", millis / 1000, millis % 1000)
}
