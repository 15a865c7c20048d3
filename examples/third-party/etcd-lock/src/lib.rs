//! Locks of [`lock_core`] on [etcd](https://etcd.io) 3.4 or later.
//!
//! ```no_run
//! # async fn example() -> Result<(), lock_core::Error> {
//! use etcd_lock::EtcdBackend;
//! use lock_core::LockClient;
//!
//! let backend = EtcdBackend::connect(&["http://127.0.0.1:2379"], "lock/").await?;
//! let locks = LockClient::new(backend);
//! let visits = locks.mutex::<u64>("visits")?;
//! let mut guard = visits.lock().await?;
//! *guard += 1;
//! guard.commit().await?;
//! # Ok(()) }
//! ```
//!
//! # How it works
//! A name has three keys: `holder`, which is there as long as somebody holds the lock, since it is
//! bound to an etcd lease; `record`, which says what outlives the holder; `state`, the value. Every
//! step looks at them at one revision of the store, decides, and writes all that changes in one
//! transaction that applies only if none of them has changed since; if one has, it decides again on
//! what it finds, so many times at most. That makes each step atomic, and it is why a request that
//! arrives late changes nothing: what it was to change has another revision by then.
//!
//! | step | round trips | what they are |
//! |---|---|---|
//! | acquire | 3 | look; make the etcd lease; transaction |
//! | acquire, refused | 2 | look; time to live |
//! | acquire again, renew | 2 | look; keep alive |
//! | commit, release | 2 | look; transaction |
//! | release by an owner that does not hold it | 2 | look; revoke its etcd lease |
//! | peek | 1 | look |
//! | inspect | 2 | look; time to live |
//! | list | 3 | range; then as inspect, 64 names at once |
//! | force release | 3 | look; transaction; time to live |
//!
//! Each time that another client is faster costs one more transaction. An etcd lease of which a lock
//! has no more use is revoked in the background.
//!
//! Read the modules in this order: `record` (what is kept), `store` (what is asked of etcd),
//! `backend` (the steps).
//!
//! # What it promises
//! - **Expiry** is the deletion of the holder key by etcd, so only etcd's clock decides it. Leases
//!   are granted in whole seconds, rounded up, and at least for the server's minimum (2 s with
//!   default settings); [`Grant::ttl`](lock_core::Grant::ttl) tells the real length. etcd looks for
//!   ended leases every half a second, and a new leader starts all of them anew: a lease may last
//!   longer than granted, never shorter.
//! - **Durability**: etcd acknowledges what a majority of its members has synced to disk. It is
//!   declared as [`Failover`](lock_core::Durability::Failover) with three members or more, counted
//!   when the backend connects, and as [`Restart`](lock_core::Durability::Restart) with fewer.
//! - **Tokens** are revisions of the store, counted from an epoch. While etcd keeps its data no clock
//!   takes part in them. When it has lost all of it, the next grant begins a new epoch at the *time of
//!   day of the client that asks*, because etcd tells no time: tokens then go on increasing if that
//!   clock is not behind the one that began the epoch before. A backup that is restored takes the
//!   revision back; tokens may then repeat, unless the keys under the prefix are deleted before use.
//! - **Wake-ups** are pushed by an etcd watch, for a release and for an expiry alike.
//!
//! # What it does not
//! - It keeps no line: whoever asks first is served.
//! - It pushes no alarms: a holder that was forced out learns of it at its next renewal. Its commits
//!   are refused at once.
//! - It does not forget a name as long as more tokens are reserved for it than the store has made
//!   revisions since.
//! - An acquire that is dropped half-way may leave an etcd lease without keys, which runs out: after
//!   the ttl, and where the record is to be forgotten also one of that length.
//! - It cannot tell for how long a holder has held the lock.
//! - A value is at most as large as a request to etcd (`--max-request-bytes`, 1.5 MiB by default).

mod backend;
mod record;
mod store;
mod watch;

pub use backend::EtcdBackend;
