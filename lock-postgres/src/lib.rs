//! Locks on PostgreSQL 13+: one statement a step, LISTEN/NOTIFY, fencing inside the user's own
//! transaction.
//!
//! [`PostgresBackend`] keeps a lock in one row of one table, of which the lock's name is the key:
//! the lease, the token, the value, the line of those who wait and how the last lease ended. Each
//! step is one prepared statement and one round trip without BEGIN, right under READ COMMITTED, and
//! no connection is kept while a lock is held. `clock_timestamp()` decides expiry. A release keeps
//! the lock for the first in line and notifies its client on the channel `lock:<id>`; nothing is
//! notified where nobody waits.
//!
//! The table is made by [`PostgresOptions::migrate`], or by the statements of
//! [`PostgresOptions::migration_sql`]. A user needs `SELECT, INSERT, UPDATE, DELETE` on it, `SELECT` on
//! the table of migrations beside it, and `USAGE` on their schema.
//!
//! ```no_run
//! # async fn example() -> Result<(), lock_core::Error> {
//! use lock_core::LockClient;
//! use lock_postgres::PostgresOptions;
//!
//! let options = PostgresOptions::new("postgres://app:secret@db.example/shop")?;
//! options.migrate().await?;
//! let locks = LockClient::new(options.connect().await?);
//! let stock = locks.mutex::<u32>("stock/sku-17")?;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//! Those of `lock-core`, by the clock of the server. A crash forgets nothing that was acknowledged
//! while `fsync` and `synchronous_commit` are on; a failover forgets nothing where a synchronous
//! standby takes over.
//!
//! # Non-guarantees
//! - With an asynchronous standby, a failover may forget acknowledged steps, so that two holders
//!   coexist until the first one's lease ends.
//! - Expiry follows the server's wall clock: setting it forward ends leases early.
//! - Behind a pooler that gives each transaction another connection, such as PgBouncer in
//!   transaction mode, waiters ask again and again, and no line is kept among them.

mod answers;
mod backend;
mod config;
mod error;
mod examine;
mod fence;
mod greeting;
mod listener;
mod migration;
mod names;
mod statements;
mod store;
mod wakeups;

pub use backend::PostgresBackend;
pub use config::PostgresOptions;
pub use fence::{FenceExt, LockInExt, TransactionLock};
