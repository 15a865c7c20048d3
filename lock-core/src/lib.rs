//! A mutex between processes whose protected value lives in the store that keeps the lock.
//!
//! [`LockClient`] is one process' door to one store. It makes [`DistributedMutex`]es by name;
//! [`lock`](DistributedMutex::lock) takes a lease, a fencing token and the value in one round trip,
//! [`commit`](LockGuard::commit) writes the value and gives the lease up in one, and the store
//! refuses the write of a holder who lost the lease.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use lock_core::LockClient;
//!
//! let locks = LockClient::in_memory(); // or LockClient::new(RedisBackend::connect(url).await?)
//! let visits = locks.mutex::<u64>("visits")?;
//! let mut guard = visits.lock().await?;
//! *guard += 1;
//! guard.commit().await?;
//! # Ok::<(), lock_core::Error>(()) }).unwrap();
//! ```
//!
//! Stores implement [`LockBackend`]: eleven small steps, of which [`MemoryBackend`] is the plainest
//! form. This crate knows no store, no driver and no wire.
//!
//! # Guarantees
//! Numbered C1 to C14 in `docs/guarantees.md`, each with its assumptions and the tests that defend
//! it. In short: by the store's own clock there is at most one unexpired lease a name; tokens
//! strictly increase; a step by anyone but the present owner changes nothing; a request whose reply
//! was lost applies at most once; dropping any future or guard leaks nothing; a loss is told before
//! the store can give the lock to another.
//!
//! # Non-guarantees
//! - A plain lock (`DistributedMutex<()>`) protects an outside resource only while its lease lasts.
//!   A paused holder may act later, unless the resource checks the token or the work runs in
//!   [`while_held`](LockGuard::while_held) and can be dropped.
//! - What a store forgets, this library cannot know: see the backend's page.
//! - The holder's clock must not run slower than the store's by more than the
//!   [drift allowance](LockOptionsBuilder::drift_allowance).

#![cfg_attr(
    test,
    expect(
        clippy::arithmetic_side_effects,
        clippy::unchecked_time_subtraction,
        clippy::wildcard_enum_match_arm,
        reason = "a test that overflows fails aloud"
    )
)]

// words
mod answer;
mod error;
mod finding;
mod label;
mod name;
mod owner;
mod request;
mod state;
mod token;
mod ttl;
// ports
mod backend;
mod clock;
mod codec;
mod entropy;
// plans
mod backoff;
mod options;
// drivers
mod acquire;
mod call;
mod engine;
mod held;
mod hold;
mod instrument;
mod outstanding;
mod queue;
mod reaper;
mod renewal;
mod shape;
mod update;
// handles
mod client;
mod guard;
mod mutex;
// for backends
mod memory;
mod wakeups;

pub use answer::{
    Acquisition, ForcedRelease, Grant, HolderInfo, LockInfo, LossCause, Peeked, Previous, Refusal,
    Release, Renewal, Stored,
};
pub use backend::{Alarm, Alarms, Capabilities, Durability, Hints, LockBackend};
pub use client::{ClientStats, LockClient, LockClientBuilder};
pub use clock::{Clock, Comparison, Moment, SystemClock};
pub use codec::{Codec, Json};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy};
pub use error::{BoxError, Effect, Error, ErrorKind};
pub use finding::{Finding, Severity};
pub use guard::LockGuard;
pub use hold::Health;
pub use label::{Label, LabelParts};
pub use memory::MemoryBackend;
pub use mutex::{DistributedMutex, MutexBuilder, Peek};
pub use name::LockName;
pub use options::{LockOptions, LockOptionsBuilder};
pub use owner::OwnerId;
pub use request::{Acquire, Commit, Renew, Then};
pub use state::{FormatTag, State};
pub use token::FencingToken;
pub use ttl::Ttl;
pub use wakeups::Wakeups;
