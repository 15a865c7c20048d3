//! The test kit's own tests, and those of lock-core's client on the memory backend.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::future_not_send,
    clippy::unwrap_used,
    clippy::unchecked_time_subtraction,
    reason = "tests fail aloud, and their time is virtual"
)]

mod client;
