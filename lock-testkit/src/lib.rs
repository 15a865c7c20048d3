//! What it takes to prove a lock on the real thing: servers, and a network that misbehaves on
//! demand.
//!
//! - [`service`] starts a real server for a test, in a container or as a local process, pauses,
//!   kills and restarts it, and leaves nothing behind.
//! - [`checker`] judges histories.
//! - [`judge`] holds a history against all rules and names the one that was broken.
//! - [`history`] records what clients asked and were answered, and keeps it as JSON Lines.
//! - [`spec`] says what a lock may do, and names what it may not.
//! - [`proxy`] stands between a client and such a server and delays, cuts, drops, holds and repeats
//!   what passes, by the clock or by the message.
//! - [`FaultyBackend`] stands around a backend and does the same to its steps, in virtual time too.
//!
//! This crate knows no lock backend and no database driver: backends have it as a dev-dependency.

pub mod checker;
mod error;
mod fault;
pub mod history;
pub mod judge;
mod port;
pub mod proxy;
pub mod resp;
pub mod service;
pub mod spec;

pub use error::SetupError;
pub use fault::{Fault, FaultyBackend, StepKind};
