//! The servers and the proxy on the real thing; lock-core's client on the memory backend.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::future_not_send,
    clippy::panic,
    clippy::unchecked_time_subtraction,
    clippy::unwrap_used,
    reason = "tests fail by panicking, and take time as it comes"
)]

mod client;
mod cluster;
mod conformance;
mod etcd;
mod failover;
mod faults;
mod line;
mod locks;
mod pgbouncer;
mod plans;
mod postgres;
mod recording;
mod report_page;
mod sections;
mod service;
mod tls;
