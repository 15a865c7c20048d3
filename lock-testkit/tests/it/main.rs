//! The servers and the proxy, on the real thing.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, and time real servers"
)]

mod client;
mod cluster;
mod faults;
mod line;
mod service;
mod tls;
