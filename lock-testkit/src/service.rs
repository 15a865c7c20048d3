//! Real servers for tests: started in moments, each for one test, and gone when dropped.
//!
//! [`RedisServer`] is a server, [`RedisCluster`] three of them, [`RedisStore`] one for the conformance
//! suite. Where a server comes from is chosen
//! by the environment, so that one test runs with or without a container engine:
//!
//! | Variable | Means |
//! |---|---|
//! | `LOCK_TESTKIT_REDIS` | `container`, `process` or `url`; unset takes what is there, in that order |
//! | `LOCK_TESTKIT_REDIS_IMAGE` | the image for `container`; `cargo xtask test` sets it |
//! | `LOCK_TESTKIT_REDIS_SERVER` | the program for `process`; unset is `redis-server` on the path |
//! | `LOCK_TESTKIT_REDIS_URL` | a server that runs already, for tests that say they [share](RedisServerOptions::shared) |
//!
//! A test is never skipped in silence: if no server is to be had, starting one is an error that says
//! how to provide it.
//!
//! # Invariants
//! 1. A server listens on the loopback interface only.
//! 2. A server is ended by its own process id or container id, never by name.
//! 3. Ready means that this very server answered, not another that took its port.
//! 4. Nothing stays behind, even when the test's process is killed: a guard process notices.

mod client;
mod cluster;
#[cfg(feature = "containers")]
mod container;
mod guard;
mod process;
mod provider;
mod redis;
mod store;
mod tls;

pub use cluster::RedisCluster;
pub use provider::Data;
pub use redis::{RedisServer, RedisServerOptions};
pub use store::RedisStore;
pub use tls::{Tls, TlsFiles};
