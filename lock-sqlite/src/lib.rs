//! Locks on one SQLite file: several processes on one machine, no server.
//!
//! [`SqliteBackend`] keeps each name as a row of a table, in a file of its own in WAL mode with
//! synced writes. Each step is one transaction that takes the write lock at its beginning (`BEGIN
//! IMMEDIATE`), so the steps of all processes stand in one order, and what was acknowledged survives
//! the crash of any process and of the machine.
//!
//! The store's clock is the machine's clock since its boot, read while the write lock is held: the
//! same for all processes, running on while the machine is suspended, and set by nobody. A lease of
//! an earlier boot is over, since whoever held it is gone. The wall clock is read for tokens and for
//! forgetting idle names, and decides nothing else.
//!
//! A release reserves the lock for the first in line and writes a wake-up into the FIFO of its
//! process, in the folder `FILE-wakeups`; a waiting process costs no CPU time.
//!
//! # Guarantees
//! Those of `lock-core`, for processes of one machine that see one file.
//!
//! # Non-guarantees
//! - A file on a network is refused: its locks are not to be relied on.
//! - Where there is no boot clock (anything but Linux and Android) the wall clock takes its place:
//!   setting it forward ends leases early. There are no wake-ups there; waiters poll.
//! - A process that is stopped in the middle of a step keeps all others from the file until it goes
//!   on or is killed.

#![cfg_attr(
    test,
    expect(
        clippy::arithmetic_side_effects,
        reason = "a test that overflows fails aloud"
    )
)]

mod backend;
mod clock;
mod config;
mod ears;
mod error;
mod examine;
mod file;
mod line;
mod record;
mod rows;
mod steps;
mod store;
mod turn;
mod wakeups;

pub use backend::SqliteBackend;
pub use config::SqliteOptions;
