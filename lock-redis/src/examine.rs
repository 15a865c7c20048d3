//! What there is to say about a server: versions, persistence, eviction, replicas, clock.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Comparison, Finding};
use redis::{Cmd, Value};

use crate::connection::Connector;
use crate::error::Failure;
use crate::link::text;

/// Looks at the server; at each primary of a cluster.
pub(crate) async fn examine(connector: &Arc<Connector>) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    let slots = connector.primaries().await?;
    if connector.options.cluster {
        findings.push(Finding::note(
            "server",
            format!("a cluster of {} primaries; each was looked at", slots.len()),
        ));
    }
    for slot in slots {
        let mut info = redis::cmd("INFO");
        info.arg("default");
        let info = connector.ask_node(info, slot).await?;
        let server = Server {
            info: text(&info),
            appendfsync: setting(connector, slot, "appendfsync").await,
            save: setting(connector, slot, "save").await,
        };
        findings.push(server.version());
        findings.push(server.persistence());
        findings.push(server.eviction());
        findings.push(server.replicas(connector.options.min_replicas.is_some()));
        findings.extend(server.lag());
        let comparison = Comparison::begin();
        let time = connector.ask_node(redis::cmd("TIME"), slot).await?;
        if let Some(time) = since_1970(&time) {
            findings.push(comparison.end(time));
        }
    }
    findings.push(match connector.facts().tracking {
        true => Finding::note("privileges", "client tracking is armed: losses are pushed"),
        false if connector.options.cluster => Finding::note(
            "privileges",
            "a cluster pushes no losses: a holder learns of one at its next renewal",
        ),
        false => Finding::warning(
            "privileges",
            "the server refused CLIENT TRACKING",
            "a holder whose key was deleted by another hand learns of it only at its next renewal",
            "allow the user `client|tracking`",
        ),
    });
    Ok(findings)
}

/// A setting, where the user may read it.
async fn setting(connector: &Arc<Connector>, slot: Option<u16>, name: &str) -> Option<String> {
    let mut get: Cmd = redis::cmd("CONFIG");
    get.arg("GET").arg(name);
    let answer = connector.ask_node(get, slot).await.ok()?;
    let answer = text(&answer);
    Some(answer.strip_prefix(name)?.trim().to_owned())
}

/// The answer to TIME: seconds, and microseconds beside them.
fn since_1970(time: &Value) -> Option<Duration> {
    let Value::Array(parts) = time else {
        return None;
    };
    let [seconds, micros] = parts.as_slice() else {
        return None;
    };
    let seconds = Duration::from_secs(text(seconds).parse().ok()?);
    seconds.checked_add(Duration::from_micros(text(micros).parse().ok()?))
}

/// What one server says of itself.
struct Server {
    info: String,
    appendfsync: Option<String>,
    save: Option<String>,
}

impl Server {
    fn field(&self, name: &str) -> &str {
        let fields = self.info.lines().filter_map(|line| line.split_once(':'));
        let mut named = fields.filter(|(key, _)| *key == name);
        named.next().map_or("", |(_, value)| value.trim())
    }

    fn version(&self) -> Finding {
        let fact = match self.field("valkey_version") {
            "" => format!("Redis {}", self.field("redis_version")),
            version => format!("Valkey {version}"),
        };
        Finding::note("version", fact)
    }

    fn persistence(&self) -> Finding {
        const TOPIC: &str = "persistence";
        const FORGETS: &str = "two holders can coexist after it, until the lease of the first ends, \
                               and acknowledged values can be gone";
        const REMEDY: &str = "set `appendonly yes` and `appendfsync always`, or use PostgreSQL where \
                              that must not be; fencing tokens still increase";
        let aof = self.field("aof_enabled") == "1";
        let saves = self.save.as_deref().is_none_or(|save| !save.is_empty());
        match (aof, self.appendfsync.as_deref()) {
            (true, Some("always")) => Finding::note(TOPIC, "every write is synced to disk"),
            (true, Some(how)) => Finding::warning(
                TOPIC,
                format!("writes are appended to a file that is synced by `appendfsync {how}`"),
                format!("a crash of the machine forgets the last moments: {FORGETS}"),
                REMEDY,
            ),
            (true, None) => Finding::warning(
                TOPIC,
                "writes are appended to a file, and this user may not read how it is synced",
                format!("unless it is synced always, a crash forgets the last moments: {FORGETS}"),
                "allow the user `config|get` to have it checked",
            ),
            (false, _) if saves => Finding::warning(
                TOPIC,
                "the append-only file is off; at most snapshots are written now and then",
                format!("a restart forgets all since the last snapshot: {FORGETS}"),
                REMEDY,
            ),
            (false, _) => Finding::warning(
                TOPIC,
                "nothing is written to disk",
                format!("a restart forgets every lock and value: {FORGETS}"),
                REMEDY,
            ),
        }
    }

    fn eviction(&self) -> Finding {
        const TOPIC: &str = "eviction";
        const FREES: &str = "a key that is evicted frees a lock that is held";
        let policy = match self.field("maxmemory_policy") {
            "" => "noeviction",
            policy => policy,
        };
        let bounded = !matches!(self.field("maxmemory"), "" | "0");
        match (policy, bounded) {
            ("noeviction", true) => Finding::note(
                TOPIC,
                "never; when `maxmemory` is reached, acquires fail and say so",
            ),
            ("noeviction", false) => Finding::note(TOPIC, "never"),
            (_, true) => Finding::broken(
                TOPIC,
                format!("the server evicts keys (`maxmemory-policy {policy}`)"),
                FREES,
                "set `maxmemory-policy noeviction`, or use a server for locks alone",
            ),
            (_, false) => Finding::warning(
                TOPIC,
                format!("`maxmemory-policy {policy}`, harmless only while `maxmemory` is 0"),
                format!("once a `maxmemory` is set, {FREES}, and new clients refuse the server"),
                "set `maxmemory-policy noeviction`",
            ),
        }
    }

    fn replicas(&self, waits: bool) -> Finding {
        const TOPIC: &str = "replicas";
        let count = self.field("connected_slaves");
        if matches!(count, "" | "0") {
            return Finding::note(
                TOPIC,
                "none: nothing fails over, and a lost machine loses its locks and values",
            );
        }
        if waits {
            let fact = format!("{count}, and each step waits for some of them");
            return Finding::note(TOPIC, fact);
        }
        Finding::warning(
            TOPIC,
            format!("{count}, replicated asynchronously"),
            "a failover can forget steps that were acknowledged: two holders can coexist until the \
             lease of the first ends",
            "have each step wait for replicas (RedisOptions::min_replicas), which narrows that \
             window; use PostgreSQL with a synchronous standby where it must be closed",
        )
    }

    /// Replicas that are behind.
    fn lag(&self) -> Vec<Finding> {
        let lines = self.info.lines().filter(|line| line.starts_with("slave"));
        let mut findings = Vec::new();
        for line in lines {
            let Some((name, fields)) = line.split_once(':') else {
                continue;
            };
            let field = |key: &str| {
                let mut pairs = fields.split(',').filter_map(|pair| pair.split_once('='));
                pairs
                    .find(|(k, _)| *k == key)
                    .map(|(_, value)| value.trim())
            };
            let (Some(state), Some(lag)) = (field("state"), field("lag")) else {
                continue;
            };
            if state != "online" || lag.parse::<i64>().is_ok_and(|lag| lag > LAG_MAX_S) {
                findings.push(Finding::warning(
                    "replicas",
                    format!("{name} is {state} and was last heard of {lag} s ago"),
                    "a failover to it forgets all that it has not got",
                    "look at that replica and its network before the primary needs it",
                ));
            }
        }
        findings
    }
}

/// A replica reports once a second.
const LAG_MAX_S: i64 = 2;
