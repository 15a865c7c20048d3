//! Locks on Redis 6.2+ and Valkey: `SET NX PX` and Lua, push wake-ups.
//!
//! [`RedisBackend`] keeps a lock in three keys of one cluster slot. The *lock key* is the namespace
//! and the name (braces and `%` percent-escaped); its value is the owner's 32 hexadecimal digits and
//! its expiry is the lease's. A program in any language that takes the same key by
//! `SET name value NX PX ttl` excludes this library and is excluded by it. Beside it stand the
//! *record* `{name}:lock`, a hash with the token, the state and how the last lease ended, and, while
//! owners wait, the *line* `{name}:line`, a sorted set.
//!
//! Each step is one Lua script, one round trip. A release reserves the lock for the first in line
//! and pushes a wake-up to its client. Everything goes over one RESP3 connection: requests, the
//! messages on the client's own channel `lock:client:<id>`, and the invalidations of client tracking,
//! by which the server itself tells a holder that its key was touched by another hand.
//!
//! A user restricted by an ACL needs the keys and channels of the namespace (`~…`, `&…lock:client:*`)
//! and the commands `evalsha eval getex get set del pttl pexpire persist type hmget hset hdel mget zadd
//! zscore zrem zcard zrange zrevrange zpopmin publish subscribe client|tracking info time`; for
//! `list` also `scan`, for `min_replicas` also `wait`.
//!
//! # Guarantees
//! Those of `lock-core`, by the clock of the server, while the server neither fails over nor loses
//! its memory. Tokens increase even then, as long as the server's clock does not go back.
//!
//! # Non-guarantees
//! - A failover may forget acknowledged steps: replication is asynchronous, so two holders can
//!   coexist until the first one's lease ends. [`RedisOptions::min_replicas`] narrows that window.
//! - A restart without an append-only file synced always may forget them too.
//! - Expiry follows the server's wall clock: setting it forward ends leases early.

mod answers;
mod backend;
mod config;
mod connection;
mod error;
mod examine;
mod keys;
mod link;
mod scripts;
mod server;
mod wakeups;
mod walk;

pub use backend::RedisBackend;
pub use config::RedisOptions;
