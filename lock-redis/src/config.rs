//! [`RedisOptions`]: where the server is and how to treat it.

use std::fmt;
use std::time::Duration;

use lock_core::{Error, ErrorKind};
use redis::io::tcp::{TcpSettings, socket2};
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use crate::backend::RedisBackend;
use crate::error::Failure;
use crate::keys::Keyspace;

/// Where the Redis or Valkey server is, and how this client treats it.
///
/// The URL is `redis://[user][:password@]host[:port][/database]`; `rediss://` is TLS (feature
/// `rustls`), `redis-cluster://` and `rediss-cluster://` a cluster of which the host is any node
/// (feature `cluster`), `redis+unix:///path` a socket. `valkey` may stand for `redis`. A query or
/// fragment is refused rather than ignored. `Debug` shows no password.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use lock_redis::RedisOptions;
///
/// let options = RedisOptions::new("redis://:secret@127.0.0.1/")?
///     .namespace("shop:")
///     .request_timeout(Duration::from_secs(1));
/// assert!(!format!("{options:?}").contains("secret"));
/// assert!(RedisOptions::new("redis://127.0.0.1/?namspace=shop").is_err());
/// # Ok::<(), lock_core::Error>(())
/// ```
#[derive(Clone)]
pub struct RedisOptions {
    pub(crate) info: ConnectionInfo,
    pub(crate) cluster: bool,
    pub(crate) namespace: String,
    pub(crate) claim_time: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) allowed_eviction_policy: Option<String>,
    pub(crate) min_replicas: Option<MinReplicas>,
    #[cfg(feature = "rustls")]
    pub(crate) root_certificate: Option<Vec<u8>>,
}

/// How many replicas must acknowledge, and for how long to wait for them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MinReplicas {
    pub(crate) count: u32,
    pub(crate) within: Duration,
}

impl RedisOptions {
    /// Options for the server at this URL; nothing is sent yet.
    ///
    /// # Errors
    /// `Invalid` if the URL is no Redis URL or has parts that this library does not know;
    /// `Unsupported` if it needs a feature that this build does not have.
    pub fn new(url: &str) -> Result<Self, Error> {
        let (cluster, plain) = match url.split_once("-cluster://") {
            Some((scheme, rest)) if !scheme.contains(':') => (true, format!("{scheme}://{rest}")),
            _ => (false, url.to_owned()),
        };
        if cluster && !cfg!(feature = "cluster") {
            return Err(Failure::unsupported(
                "a redis-cluster URL takes the feature `cluster` of lock-redis",
            )
            .into());
        }
        let info = parse(&plain)?;
        let settings = info.redis_settings().clone();
        if cluster && settings.db() != 0 {
            return Err(Failure::invalid("a Redis cluster has only database 0").into());
        }
        // A peer that vanished without a word is noticed although nothing is sent: wake-ups come on
        // this connection. The last probe fails 10 + 3 × 5 s after the silence began.
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(Duration::from_secs(10))
            .with_interval(Duration::from_secs(5));
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(keepalive);
        Ok(Self {
            info: info
                .set_redis_settings(
                    settings
                        .set_protocol(ProtocolVersion::RESP3)
                        .set_lib_name("lock-redis", env!("CARGO_PKG_VERSION")),
                )
                .set_tcp_settings(tcp),
            cluster,
            namespace: String::new(),
            claim_time: Duration::from_millis(500),
            request_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(2),
            allowed_eviction_policy: None,
            min_replicas: None,
            #[cfg(feature = "rustls")]
            root_certificate: None,
        })
    }

    /// Goes before the key of every lock as it is, so end it with a separator: at most 128 bytes,
    /// without braces. The default is empty,
    /// so that the lock `stock` is the key `stock`, which programs in other languages can share.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// For how long a release keeps the lock for the first in line: 10 ms to 60 s, and 500 ms by
    /// default, some hundred times what a waiter takes to answer a push. A waiter that died costs the
    /// next one this time.
    #[must_use]
    pub fn claim_time(mut self, length: Duration) -> Self {
        self.claim_time = length;
        self
    }

    /// For how long to wait for an answer: 1 ms to 60 s, and 2 s by default. After it the connection
    /// is replaced and the outcome of the request is unknown. For a lock with a short ttl set it
    /// below a third of that, so that a renewal on a new connection still comes in time.
    #[must_use]
    pub fn request_timeout(mut self, length: Duration) -> Self {
        self.request_timeout = length;
        self
    }

    /// For how long to try to connect: 1 ms to 60 s, and 2 s by default. A request that finds no
    /// connection waits so long before its own time begins.
    #[must_use]
    pub fn connect_timeout(mut self, length: Duration) -> Self {
        self.connect_timeout = length;
        self
    }

    /// Accepts a server that may evict keys by this policy (`maxmemory-policy`), `allkeys-lru` for
    /// one. Without it such a server is refused.
    ///
    /// The danger: an evicted lock key frees the lock while its holder works (C1 is void), and an
    /// evicted record loses the value. The holder is told by push.
    #[must_use]
    pub fn danger_allow_eviction_policy(mut self, policy: impl Into<String>) -> Self {
        self.allowed_eviction_policy = Some(policy.into());
        self
    }

    /// After each acquire and commit waits until so many replicas have it (`WAIT`), at most for this
    /// long. A miss fails the acquire, which is undone, and leaves the effect of the commit unknown.
    ///
    /// It narrows the window in which a failover forgets an acknowledged step and does not close it.
    /// The connection serves nothing else meanwhile, so keep the time short. Not in a cluster.
    #[must_use]
    pub fn min_replicas(mut self, count: u32, within: Duration) -> Self {
        self.min_replicas = Some(MinReplicas { count, within });
        self
    }

    /// The certificates to trust (PEM) in place of the built-in ones.
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificate = Some(pem.into());
        self
    }

    /// Connects, looks at the server, and refuses one on which the guarantees would not hold.
    ///
    /// # Errors
    /// - `Invalid` if an option is out of bounds, or the server is older than 6.2, is a replica, or
    ///   may evict lock keys.
    /// - `Denied` if it refuses the user name, the password or a command.
    /// - `Unavailable` if it cannot be reached within the connect timeout.
    /// - `Unsupported` if it does not speak RESP3.
    /// # Cancel safety
    /// Safe to drop: the connection is closed, nothing is left behind.
    pub async fn connect(self) -> Result<RedisBackend, Error> {
        RedisBackend::with_options(self).await
    }

    pub(crate) fn check(&self) -> Result<Keyspace, Error> {
        let bounds = [
            ("claim time", self.claim_time, 10),
            ("request timeout", self.request_timeout, 1),
            ("connect timeout", self.connect_timeout, 1),
        ];
        for (what, length, least_ms) in bounds {
            if !(least_ms..=60_000).contains(&length.as_millis()) {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!(
                        "the {what} lies between {least_ms} ms and 60 s, and this one is {length:?}"
                    ),
                ));
            }
        }
        if let Some(replicas) = self.min_replicas {
            if self.cluster {
                return Err(Failure::unsupported("min_replicas does not work in a cluster").into());
            }
            // WAIT with 0 would block for ever; a longer one would outlast the request.
            if replicas.within.as_millis() == 0 || replicas.within >= self.request_timeout {
                return Err(Failure::invalid(
                    "the time to wait for replicas is at least 1 ms and shorter than the request timeout",
                )
                .into());
            }
        }
        Keyspace::new(&self.namespace)
    }

    /// The server's URL without user name and password.
    pub(crate) fn address(&self) -> String {
        let scheme = if matches!(self.info.addr(), ConnectionAddr::Unix(_)) {
            "redis+unix"
        } else if matches!(self.info.addr(), ConnectionAddr::TcpTls { .. }) {
            "rediss"
        } else {
            "redis"
        };
        let cluster = if self.cluster { "-cluster" } else { "" };
        let database = self.info.redis_settings().db();
        format!("{scheme}{cluster}://{}/{database}", self.info.addr())
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("address", &self.address())
            .field("namespace", &self.namespace)
            .field("claim_time", &self.claim_time)
            .field("request_timeout", &self.request_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("allowed_eviction_policy", &self.allowed_eviction_policy)
            .field("min_replicas", &self.min_replicas)
            .finish_non_exhaustive()
    }
}

fn parse(url: &str) -> Result<ConnectionInfo, Error> {
    // No message here quotes the URL: it may hold a password.
    let Some(parsed) = redis::parse_redis_url(url) else {
        return Err(Failure::invalid(
            "not a Redis URL; it looks like redis://[user][:password@]host[:port][/database]",
        )
        .into());
    };
    let unix = parsed.scheme().ends_with("unix");
    for (key, _) in parsed.query_pairs() {
        if !(unix && matches!(&*key, "db" | "user" | "pass")) {
            return Err(Failure::invalid(format!(
                "a Redis URL has no parameter '{}' here; use the methods of RedisOptions",
                key.escape_default()
            ))
            .into());
        }
    }
    if parsed.fragment().is_some() {
        return Err(Failure::invalid("a Redis URL has no fragment (#…) here").into());
    }
    if matches!(parsed.scheme(), "rediss" | "valkeys") && !cfg!(feature = "rustls") {
        return Err(
            Failure::unsupported("a rediss URL takes the feature `rustls` of lock-redis").into(),
        );
    }
    parsed
        .into_connection_info()
        .map_err(|e| Failure::connecting(e, "the given URL").into())
}

#[cfg(test)]
mod tests;
