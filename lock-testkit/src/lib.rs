//! Servers, faults and contract cases to prove a lock backend on the real thing.

mod fault;

pub use fault::{Fault, FaultyBackend, StepKind};
