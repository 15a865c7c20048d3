//! The stores of this library by their schemes.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Error, ErrorKind, LockBackend};

use crate::url::StoreUrl;

/// A store of this library.
pub(crate) struct Store {
    pub(crate) schemes: &'static [&'static str],
    /// The feature that these schemes take.
    pub(crate) feature: &'static str,
    pub(crate) is_on: bool,
    /// The options of its backend that a URL may have.
    pub(crate) options: &'static [&'static str],
}

pub(crate) const STORES: &[Store] = &[
    Store {
        schemes: &["memory"],
        feature: "memory",
        is_on: cfg!(feature = "memory"),
        options: &["namespace"],
    },
    Store {
        schemes: &["sqlite"],
        feature: "sqlite",
        is_on: cfg!(feature = "sqlite"),
        options: &["busy_timeout", "claim_time", "namespace"],
    },
    Store {
        schemes: &["redis", "redis+unix", "valkey", "valkey+unix"],
        feature: "redis",
        is_on: cfg!(feature = "redis"),
        options: REDIS_OPTIONS,
    },
    Store {
        schemes: &["rediss", "valkeys"],
        feature: "redis-rustls",
        is_on: cfg!(feature = "redis-rustls"),
        options: REDIS_OPTIONS,
    },
    Store {
        schemes: &["redis-cluster", "valkey-cluster"],
        feature: "redis-cluster",
        is_on: cfg!(feature = "redis-cluster"),
        options: REDIS_OPTIONS,
    },
    Store {
        schemes: &["rediss-cluster", "valkeys-cluster"],
        feature: "redis-cluster and redis-rustls",
        is_on: cfg!(all(feature = "redis-cluster", feature = "redis-rustls")),
        options: REDIS_OPTIONS,
    },
    Store {
        schemes: &["postgres", "postgresql"],
        feature: "postgres",
        is_on: cfg!(feature = "postgres"),
        options: POSTGRES_OPTIONS,
    },
];

const POSTGRES_OPTIONS: &[&str] = &[
    "claim_time",
    "connect_timeout",
    "max_connections",
    "migrate",
    "schema",
    "sslmode",
    "table",
    "unlogged",
];

const REDIS_OPTIONS: &[&str] = &["claim_time", "connect_timeout", "namespace"];

/// The store of this scheme.
pub(crate) fn of(scheme: &str) -> Result<&'static Store, Error> {
    let found = STORES.iter().find(|store| store.schemes.contains(&scheme));
    let Some(store) = found else {
        let known: Vec<&str> = STORES.iter().flat_map(|s| s.schemes).copied().collect();
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "no store has the scheme '{scheme}:'; this library knows {}, and others can be \
                 registered with a Connector",
                known.join(", ")
            ),
        ));
    };
    if store.is_on {
        return Ok(store);
    }
    Err(is_off(store, scheme))
}

fn is_off(store: &Store, scheme: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "the scheme '{scheme}:' takes the feature {} of the crate distributed-mutex, which is \
             off in this build",
            store.feature
        ),
    )
}

/// Connects to the store of the URL, whose options are known to be its backend's. A backend that
/// gave a request up sooner than its client would void the client's option.
#[cfg_attr(
    not(any(feature = "postgres", feature = "redis", feature = "sqlite")),
    expect(
        clippy::unused_async,
        reason = "the stores that are on have nothing to wait for"
    )
)]
#[cfg_attr(
    not(any(feature = "postgres", feature = "redis")),
    expect(unused_variables, reason = "the stores that are on have no requests")
)]
pub(crate) async fn open(
    url: StoreUrl,
    request_timeout: Duration,
) -> Result<Arc<dyn LockBackend>, Error> {
    match url.scheme() {
        #[cfg(feature = "memory")]
        "memory" if url.address() == "memory:" => Ok(Arc::new(lock_core::MemoryBackend::new())),
        #[cfg(feature = "memory")]
        "memory" => Err(crate::url::invalid(
            "a store in memory has no name: its URL is memory:",
        )),
        #[cfg(feature = "sqlite")]
        "sqlite" => sqlite(url).await,
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => postgres(url, request_timeout).await,
        #[cfg(feature = "redis")]
        _ => redis(url, request_timeout).await,
        #[cfg(not(feature = "redis"))]
        scheme => Err(Error::new(
            ErrorKind::Internal,
            format!("the store of the scheme '{scheme}:' is on and has no backend"),
        )),
    }
}

#[cfg(feature = "sqlite")]
async fn sqlite(mut url: StoreUrl) -> Result<Arc<dyn LockBackend>, Error> {
    let mut options = lock_sqlite::SqliteOptions::new(url.address())?;
    if let Some(namespace) = url.take("namespace") {
        options = options.namespace(namespace);
    }
    if let Some(length) = crate::options::take_length(&mut url, "claim_time")? {
        options = options.claim_time(length);
    }
    if let Some(length) = crate::options::take_length(&mut url, "busy_timeout")? {
        options = options.busy_timeout(length);
    }
    Ok(Arc::new(options.connect().await?))
}

#[cfg(feature = "postgres")]
async fn postgres(
    mut url: StoreUrl,
    request_timeout: Duration,
) -> Result<Arc<dyn LockBackend>, Error> {
    // The one option that is the driver's own.
    let address = match url.take("sslmode") {
        Some(mode) if SSL_MODES.contains(&mode.as_str()) => {
            format!("{}?sslmode={mode}", url.address())
        }
        Some(_) => return Err(crate::options::wrong("sslmode", &SSL_MODES.join(", "))),
        None => url.address().to_owned(),
    };
    let mut options = lock_postgres::PostgresOptions::new(&address)?;
    options = options.request_timeout(request_timeout);
    if let Some(schema) = url.take("schema") {
        options = options.schema(schema);
    }
    if let Some(table) = url.take("table") {
        options = options.table(table);
    }
    if let Some(text) = url.take("migrate") {
        let migrate = text.parse();
        options = options.migrate_on_connect(
            migrate
                .map_err(|e| crate::options::wrong("migrate", "true or false").with_source(e))?,
        );
    }
    if let Some(text) = url.take("unlogged") {
        let unlogged = text.parse();
        options = options.unlogged(
            unlogged
                .map_err(|e| crate::options::wrong("unlogged", "true or false").with_source(e))?,
        );
    }
    if let Some(text) = url.take("max_connections") {
        let count = text.parse();
        options = options.max_connections(count.map_err(|e| {
            crate::options::wrong("max_connections", "a number of connections").with_source(e)
        })?);
    }
    if let Some(length) = crate::options::take_length(&mut url, "claim_time")? {
        options = options.claim_time(length);
    }
    if let Some(length) = crate::options::take_length(&mut url, "connect_timeout")? {
        options = options.connect_timeout(length);
    }
    Ok(Arc::new(options.connect().await?))
}

/// As PostgreSQL's own clients name them.
#[cfg(feature = "postgres")]
const SSL_MODES: [&str; 6] = [
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
];

#[cfg(feature = "redis")]
async fn redis(
    mut url: StoreUrl,
    request_timeout: Duration,
) -> Result<Arc<dyn LockBackend>, Error> {
    let mut options = lock_redis::RedisOptions::new(url.address())?;
    options = options.request_timeout(request_timeout);
    if let Some(namespace) = url.take("namespace") {
        options = options.namespace(namespace);
    }
    if let Some(length) = crate::options::take_length(&mut url, "claim_time")? {
        options = options.claim_time(length);
    }
    if let Some(length) = crate::options::take_length(&mut url, "connect_timeout")? {
        options = options.connect_timeout(length);
    }
    Ok(Arc::new(options.connect().await?))
}

#[cfg(test)]
mod tests;
