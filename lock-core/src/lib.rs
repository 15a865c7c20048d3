//! A mutex whose protected value lives in the store that keeps the lock.

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

pub use answer::{
    Acquisition, ForcedRelease, Grant, HolderInfo, LockInfo, LossCause, Peeked, Previous, Refusal,
    Release, Renewal, Stored,
};
pub use backend::{Alarm, Alarms, Capabilities, Durability, Hints, LockBackend};
pub use clock::{Clock, Moment, SystemClock};
pub use codec::{Codec, Json};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy};
pub use error::{BoxError, Effect, Error, ErrorKind};
pub use label::Label;
pub use name::LockName;
pub use owner::OwnerId;
pub use request::{Acquire, Commit, Renew, Then};
pub use state::{FormatTag, State};
pub use token::FencingToken;
pub use ttl::Ttl;
