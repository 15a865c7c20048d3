//! The Redis protocol (RESP2 and RESP3), as much of it as a test needs: where a message ends, which
//! command it is, and what a reply says.
//!
//! It does not do: streamed strings and aggregates (`$?`, `*?`), which no Redis server sends.

mod frame;
mod reply;
mod request;

pub use frame::{Framer, Malformed, Side};
pub use reply::Reply;
pub use request::Request;

#[cfg(test)]
mod tests;
