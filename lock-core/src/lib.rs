//! A mutex whose protected value lives in the store that keeps the lock.

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
// handles
mod client;
mod guard;
mod mutex;
// reference
mod memory;

pub use answer::{
    Acquisition, ForcedRelease, Grant, HolderInfo, LockInfo, LossCause, Peeked, Previous, Refusal,
    Release, Renewal, Stored,
};
pub use backend::{Alarm, Alarms, Capabilities, Durability, Hints, LockBackend};
pub use client::{ClientStats, LockClient, LockClientBuilder};
pub use clock::{Clock, Moment, SystemClock};
pub use codec::{Codec, Json};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy};
pub use error::{BoxError, Effect, Error, ErrorKind};
pub use guard::LockGuard;
pub use hold::Health;
pub use label::Label;
pub use memory::MemoryBackend;
pub use mutex::{DistributedMutex, MutexBuilder, Peek};
pub use name::LockName;
pub use options::{LockOptions, LockOptionsBuilder};
pub use owner::OwnerId;
pub use request::{Acquire, Commit, Renew, Then};
pub use state::{FormatTag, State};
pub use token::FencingToken;
pub use ttl::Ttl;
