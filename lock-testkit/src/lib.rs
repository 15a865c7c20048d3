//! What it takes to prove a lock on the real thing: servers, and a network that misbehaves on
//! demand.
//!
//! - [`sections`] finds out by a service's own tests whether it uses its locks rightly.
//! - [`service`] starts a real server for a test, in a container or as a local process, pauses,
//!   kills and restarts it, and leaves nothing behind.
//! - [`checker`] judges histories.
//! - [`judge`] holds a history against all rules and names the one that was broken.
//! - [`history`] records what clients asked and were answered, and keeps it as JSON Lines.
//! - [`mod@conformance`] proves a backend by one call from its own crate.
//! - [`report`] tells a failure: in a sentence, in a picture of text, and in a page to look around in.
//! - [`spec`] says what a lock may do, and names what it may not.
//! - [`recording`] stands around any backend and writes down what its client asks, so that a
//!   service's own tests are judged too.
//! - [`proxy`] stands between a client and such a server and delays, cuts, drops, holds and repeats
//!   what passes, by the clock or by the message.
//! - [`FaultyBackend`] stands around a backend and does the same to its steps, in virtual time too.
//!
//! This crate knows no lock backend and no database driver: backends have it as a dev-dependency.

pub mod checker;
pub mod conformance;
mod dice;
mod error;
mod fault;
pub mod history;
pub mod hunt;
pub mod judge;
pub mod plan;
mod port;
pub mod proxy;
pub mod recording;
pub mod report;
pub mod resp;
pub mod run;
pub mod sections;
pub mod service;
mod signal;
pub mod spec;
pub mod subject;

pub use error::SetupError;
pub use fault::{Fault, FaultyBackend, Link, StepKind, Traffic, Weather};

/// The page's programs are run as they are printed.
#[cfg(doctest)]
#[doc = include_str!("../../docs/check-your-service.md")]
#[derive(Debug)]
pub struct CheckYourService;
