//! A lock on etcd, through its gateway for JSON.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Effect, Error, ErrorKind};
use lock_testkit::service::{EtcdServer, EtcdServerOptions};
use lock_testkit::subject::Ask;
use lock_testkit::{Link, SetupError, StepKind};
use serde_json::{Value, json};

use super::stand::{Ground, Lease, Lock};

/// etcd, and the lock on it.
pub(super) struct EtcdGround {
    server: Arc<EtcdServer>,
    rounds_up: bool,
}

impl EtcdGround {
    /// A server that grants leases of a second. `rounds_up` says how clients ask for a ttl that is
    /// not of whole seconds.
    pub(super) async fn start(rounds_up: bool) -> Result<Arc<dyn Ground>, SetupError> {
        // It grants no lease that is shorter than one and a half election times.
        let options = EtcdServerOptions::new()
            .flag("--heartbeat-interval=50")
            .flag("--election-timeout=500");
        Ok(Arc::new(Self {
            server: Arc::new(options.start().await?),
            rounds_up,
        }))
    }
}

#[async_trait]
impl Ground for EtcdGround {
    async fn lock(&self, link: Link) -> Result<Box<dyn Lock>, SetupError> {
        Ok(Box::new(WholeSeconds {
            server: Arc::clone(&self.server),
            link,
            rounds_up: self.rounds_up,
        }))
    }
}

/// A key under a lease, whose revision is the token. A lease is of whole seconds, and the client
/// counts on the ttl that it was asked for.
struct WholeSeconds {
    server: Arc<EtcdServer>,
    link: Link,
    rounds_up: bool,
}

impl WholeSeconds {
    async fn ask(&self, step: StepKind, path: &'static str, body: Value) -> Result<Value, Error> {
        let server = Arc::clone(&self.server);
        let call = Box::pin(async move {
            let answer = server.call(path, &body.to_string()).await;
            let answer = answer.map_err(|e| unavailable().with_source(e))?;
            serde_json::from_str(&answer).map_err(|e| unavailable().with_source(e))
        });
        self.link.carry(step, call).await
    }

    const fn seconds(&self, ttl: Duration) -> u64 {
        match self.rounds_up && ttl.subsec_nanos() > 0 {
            true => ttl.as_secs().saturating_add(1),
            false => ttl.as_secs(),
        }
    }
}

#[async_trait]
impl Lock for WholeSeconds {
    async fn attempt(&self, ask: &Ask) -> Result<Option<Lease>, Error> {
        let key = base64(ask.key.as_bytes());
        let is_free = json!([{"key": key, "target": "CREATE", "create_revision": "0"}]);
        // A lease is granted only where the lock looks free, as leases cost the store something.
        let range = json!({"key": key, "count_only": true});
        let there = self.ask(StepKind::Watch, "/v3/kv/range", range).await?;
        if there.get("count").is_some() {
            return Ok(None);
        }
        let grant = json!({"TTL": self.seconds(ask.ttl).to_string()});
        let granted = self.ask(StepKind::Watch, "/v3/lease/grant", grant).await?;
        let lease = granted.get("ID").cloned().unwrap_or_default();
        let put = json!([{"request_put": {"key": key, "lease": lease}}]);
        let take = json!({"compare": is_free, "success": put});
        let taken = self.ask(StepKind::Acquire, "/v3/kv/txn", take).await?;
        if !is_done(&taken) {
            return Ok(None);
        }
        let revision = taken.pointer("/header/revision").and_then(Value::as_str);
        let token = revision.and_then(|text| text.parse().ok());
        Ok(Some(Lease {
            token: token.ok_or_else(unavailable)?,
            ..Lease::default()
        }))
    }

    async fn release(&self, key: &str, lease: &Lease) -> Result<bool, Error> {
        let key = base64(key.as_bytes());
        let revision = lease.token.to_string();
        let is_ours = json!([{"key": key, "target": "CREATE", "create_revision": revision}]);
        let delete = json!([{"request_delete_range": {"key": key}}]);
        let give = json!({"compare": is_ours, "success": delete});
        let given = self.ask(StepKind::Release, "/v3/kv/txn", give).await?;
        Ok(is_done(&given))
    }
}

/// The gateway leaves out what is false.
fn is_done(answer: &Value) -> bool {
    answer.get("succeeded").and_then(Value::as_bool) == Some(true)
}

fn unavailable() -> Error {
    Error::new(ErrorKind::Unavailable, "etcd does not answer").with_effect(Effect::Unknown)
}

fn base64(bytes: &[u8]) -> String {
    let letter = |group: u32, shift: u32| {
        let at = usize::try_from(group.wrapping_shr(shift) & 63).unwrap_or(0);
        char::from(LETTERS.get(at).copied().unwrap_or(b'='))
    };
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| chunk.get(at).copied().map_or(0, u32::from);
        let group = byte(0).wrapping_shl(16) | byte(1).wrapping_shl(8) | byte(2);
        text.push(letter(group, 18));
        text.push(letter(group, 12));
        text.push(if chunk.len() > 1 {
            letter(group, 6)
        } else {
            '='
        });
        text.push(if chunk.len() > 2 {
            letter(group, 0)
        } else {
            '='
        });
    }
    text
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
