//! Real servers for tests: started in moments, each for one test, and gone when dropped.
//!
//! [`RedisServer`] is a server, [`RedisCluster`] three of them and [`RedisFailover`] two, of which
//! one takes over; [`PostgresServer`] and [`EtcdServer`] are servers too, and [`PgBouncer`] stands
//! in front of one; [`RedisStore`] is a server for the conformance suite. Where a server comes from
//! is chosen by the environment, so that one test runs with or without a container engine. `X` is `REDIS`, `POSTGRES`, `PGBOUNCER` or `ETCD`:
//!
//! | Variable | Means |
//! |---|---|
//! | `LOCK_TESTKIT_X` | `container`, `process` or `url`; unset takes what is there, in that order |
//! | `LOCK_TESTKIT_X_IMAGE` | the image for `container`; `cargo xtask test` sets it |
//! | `LOCK_TESTKIT_X_SERVER` | the program for `process`, or its folder; unset is the one on the path: `redis-server`, `postgres` (also in `/usr/lib/postgresql/*/bin`), `pgbouncer` (also in `/usr/sbin`), `etcd` |
//! | `LOCK_TESTKIT_X_URL` | a server that runs already, for tests that say they [share](RedisServerOptions::shared); there is none for PgBouncer, which belongs to its server |
//!
//! A test is never skipped in silence: if no server is to be had, starting one is an error that says
//! how to provide it.
//!
//! # Invariants
//! 1. A server listens on the loopback interface only.
//! 2. A server is ended by its own process id or container id, never by name, and all that it
//!    started with it.
//! 3. Ready means that this very server answered, not another that took its port.
//! 4. Nothing stays behind, even when the test's process is killed: a guard process notices.

mod client;
mod clock;
mod cluster;
#[cfg(feature = "containers")]
mod container;
mod etcd;
mod failover;
mod guard;
mod instance;
mod pgbouncer;
mod postgres;
mod process;
mod provider;
mod redis;
mod store;
mod tls;
mod tree;

pub use clock::ClockStep;
pub use cluster::RedisCluster;
pub use etcd::{EtcdServer, EtcdServerOptions};
pub use failover::RedisFailover;
pub use pgbouncer::{PgBouncer, PgBouncerOptions};
pub use postgres::{PostgresServer, PostgresServerOptions};
pub use provider::Data;
pub use redis::{RedisServer, RedisServerOptions};
pub use store::RedisStore;
pub use tls::{Tls, TlsFiles};
