//! What `dlock` exits with: one table, which the help shows and docs/dlock.md repeats.

use distributed_mutex::{Error, ErrorKind};

/// It went well.
pub(crate) const OK: u8 = 0;
/// Held by another, or not free in time; of `status` and `get`: there is none. As flock's.
pub(crate) const REFUSED: u8 = 1;
/// The command line is wrong (`EX_USAGE`), as flock's.
pub(crate) const USAGE: u8 = 64;
/// What was given or stored is no JSON, or too large (`EX_DATAERR`).
pub(crate) const DATA: u8 = 65;
/// The store cannot be reached or cannot do it (`EX_UNAVAILABLE`).
pub(crate) const UNAVAILABLE: u8 = 69;
/// A defect of ours (`EX_SOFTWARE`), or the system refused a process.
pub(crate) const SOFTWARE: u8 = 70;
/// The lease was lost, and the command was ended (`EX_TEMPFAIL`).
pub(crate) const LOST: u8 = 75;
/// The store refused us (`EX_NOPERM`).
pub(crate) const DENIED: u8 = 77;
/// The command is there and cannot be executed, as a shell's.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// There is no such command, as a shell's.
pub(crate) const NOT_FOUND: u8 = 127;
/// And the signal's number: ended by that signal, as a shell's.
pub(crate) const SIGNAL: u8 = 128;

pub(crate) const TABLE: &str = "\
Exit codes:
  N    that of the command; 128+N if signal N ended it
  1    the lock is held by another, or was not free in time (-E sets another code);
       status: free; get: no value; break: was not held; doctor: warnings;
       verify: findings
  2    doctor: a promise does not hold, or the store cannot be used
  64   the command line or the URL is wrong
  65   the value is no JSON, or over its bound
  69   the store cannot be reached, or cannot do this
  70   a defect of dlock, or the system refused it a process
  75   the lease was lost, and the command was ended
  77   the store refused: credentials or privileges
  126  the command cannot be executed
  127  there is no such command";

/// The code of an error.
pub(crate) fn of(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::Denied => DENIED,
        ErrorKind::Invalid => USAGE,
        ErrorKind::LeaseLost => LOST,
        ErrorKind::State | ErrorKind::Aborted => DATA,
        ErrorKind::Timeout => REFUSED,
        ErrorKind::Unavailable | ErrorKind::Unsupported => UNAVAILABLE,
        ErrorKind::Closed | ErrorKind::Internal | _ => SOFTWARE,
    }
}

/// The code of a process that ended by this signal.
pub(crate) fn of_signal(signal: i32) -> u8 {
    let number = u8::try_from(signal).unwrap_or(0);
    SIGNAL.saturating_add(number)
}
