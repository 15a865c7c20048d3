//! The last step before the command: it dies with its warden, has the terminal where that was ours,
//! and begins with no signal blocked.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::SigSet;
use rustix::process::{Pid, Signal, getpgrp, getppid, set_parent_process_death_signal};
use rustix::termios::{tcgetpgrp, tcsetpgrp};

use crate::codes;
use crate::output::{Escaped, complain};

/// Becomes the command; returns the exit code only if that cannot be.
pub(crate) fn launch(arguments: &[OsString]) -> u8 {
    let [warden, front, program, rest @ ..] = arguments else {
        return codes::SOFTWARE;
    };
    let number = |text: &OsString| text.to_str().and_then(|t| t.parse().ok());
    let (warden, front): (Option<i32>, Option<i32>) = (number(warden), number(front));
    if let Err(e) = set_parent_process_death_signal(Some(Signal::KILL)) {
        complain(format_args!("cannot tie the command to its warden: {e}"));
        return codes::SOFTWARE;
    }
    // It may have died before we asked to be told.
    if getppid().map(Pid::as_raw_pid) != warden {
        return codes::SOFTWARE;
    }
    if let Some(front) = front.and_then(Pid::from_raw) {
        take_terminal(front);
    }
    // Blocked signals would stay blocked in the command.
    let _unblocked = SigSet::empty().thread_set_mask();
    let error = Command::new(program).args(rest).exec();
    let name = program.to_string_lossy();
    complain(format_args!("cannot run '{}': {error}", Escaped(&name)));
    if error.kind() == std::io::ErrorKind::NotFound {
        codes::NOT_FOUND
    } else {
        codes::NOT_EXECUTABLE
    }
}

/// Takes the terminal if the front has it: before the command reads from it.
fn take_terminal(front: Pid) {
    if let Some(terminal) = terminal()
        && tcgetpgrp(&terminal) == Ok(front)
    {
        // A terminal that hung up meanwhile is no reason not to run.
        let _taken = tcsetpgrp(&terminal, getpgrp());
    }
}

/// The terminal that controls this session.
pub(super) fn terminal() -> Option<std::fs::File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).open("/dev/tty").ok()
}
