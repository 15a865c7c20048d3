//! A mutex between processes, whose protected value lives in the store that keeps the lock.
//!
//! This is the crate to depend on: it is all of [`lock_core`], and [`connect`], which takes the store
//! by its URL.
//!
//! | URL | feature | store |
//! |---|---|---|
//! | `sqlite:PATH` | `sqlite` (default) | one file, for the processes of one machine |
//! | `postgres://…` | `postgres` | a server, its table made before or by `?migrate=true`; `sslmode=require` and stricter with `postgres-rustls` |
//! | `redis://…`, `valkey://…` | `redis` | a server; `rediss://` with `redis-rustls`, `redis-cluster://` with `redis-cluster` |
//! | `memory:` | `memory` | this process alone, for tests |
//!
//! Options stand in the query and are read strictly, so that a slip of the pen is an error and not a
//! default: `sqlite:locks.db?ttl=5s&namespace=shop`. They are listed at [`Connector`].
//!
//! ```
//! # #[cfg(feature = "sqlite")] {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # let folder = tempfile::tempdir().unwrap();
//! # let file = folder.path().join("locks.db");
//! # let url = format!("sqlite:{}?ttl=5s", file.display());
//! // "sqlite:locks.db?ttl=5s", or "redis://127.0.0.1/?ttl=5s"
//! let locks = distributed_mutex::connect(&url).await?;
//! let stock = locks.mutex_with("stock/sku-17", || 100_u32).build()?;
//!
//! let mut guard = stock.lock().await?; // lease + token + value
//! *guard -= 3;
//! guard.commit().await?; // fenced write + release
//! assert_eq!(stock.peek().await?.value, 97);
//! # Ok::<(), distributed_mutex::Error>(()) }).unwrap();
//! # }
//! ```

mod connect;
mod duration;
mod options;
mod requirement;
mod stores;
mod url;

pub use lock_core::*;
#[cfg(feature = "postgres")]
pub use lock_postgres::{FenceExt, LockInExt, PostgresBackend, PostgresOptions};
#[cfg(feature = "redis")]
pub use lock_redis::{RedisBackend, RedisOptions};
#[cfg(feature = "sqlite")]
pub use lock_sqlite::{SqliteBackend, SqliteOptions};

pub use connect::{Connector, connect};
pub use requirement::Requirement;
pub use url::StoreUrl;
