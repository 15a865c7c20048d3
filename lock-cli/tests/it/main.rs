//! `dlock` as people run it: the binary, its output and its exit codes.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and waits on other processes with a bound"
)]

mod bad;
mod breaks;
mod doctor;
mod endings;
mod hand;
mod inspecting;
mod jeopardy;
mod running;
mod terminal;
#[cfg(feature = "verify")]
mod verify;
