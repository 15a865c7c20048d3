//! The front: what the shell sees of `dlock run` on a terminal.
//!
//! A job that is stopped gives the terminal back to its shell, which a shell learns from its own
//! child alone. That child must be able to stop without the lease suffering, so it is neither the
//! keeper nor the warden, but this: it passes signals on, stops when the command was stopped, and
//! ends as the keeper ended.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal as Number, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;

use super::line::{Word, Words, start};
use super::signals::forwarded;
use crate::codes;

/// Starts the keeper with our arguments and stands in front of it until it has ended.
pub(super) fn stand(terminal: &File, arguments: &[OsString]) -> io::Result<u8> {
    let us = getpgrp().as_raw_pid().to_string();
    let mut words: Vec<OsString> = vec![super::KEEP.into(), us.into()];
    words.extend(arguments.iter().skip(1).cloned());
    let (mut keeper, line) = start(&words, &[], rustix::stdio::stdin())?;
    // Blocked only now: what we block, what we start would have blocked too.
    let signals = listen()?;
    line.set_nonblocking(true)?;
    Front {
        terminal,
        line,
        signals,
    }
    .pass_on()?;
    let status = keeper.wait()?;
    Ok(match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(codes::SOFTWARE),
        (None, Some(signal)) => codes::of_signal(signal),
        (None, None) => codes::SOFTWARE,
    })
}

struct Front<'a> {
    terminal: &'a File,
    line: UnixStream,
    signals: SignalFd,
}

impl Front<'_> {
    /// Passes signals one way and stops the other, until the keeper has gone.
    fn pass_on(&mut self) -> io::Result<()> {
        let mut words = Words::default();
        loop {
            let mut fds = [
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.line.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
            while let Ok(Some(info)) = self.signals.read_signal() {
                self.signalled(i32::try_from(info.ssi_signo).unwrap_or(0));
            }
            let mut bytes = [0; 256];
            match self.line.read(&mut bytes) {
                Ok(0) => return Ok(()),
                Ok(n) => words.take_in(bytes.get(..n).unwrap_or_default()),
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                // Reset: it has gone.
                Err(_) => return Ok(()),
            }
            while let Some(word) = words.next() {
                if let Word::Stopped(_) = word {
                    self.stop()?;
                }
            }
        }
    }

    fn signalled(&mut self, signal: i32) {
        let word = if signal == Number::SIGCONT as i32 {
            Word::Resume {
                foreground: tcgetpgrp(self.terminal) == Ok(getpgrp()),
            }
        } else {
            Word::Signal(signal)
        };
        // A keeper that has gone is noticed where its line is read.
        let _told = self.line.write_all(word.to_string().as_bytes());
    }

    /// Stops as the command was stopped. The shell takes the terminal and shows its prompt; when it
    /// lets the job go on, that is a signal to pass on.
    fn stop(&self) -> io::Result<()> {
        // Nothing that came before counts as going on.
        raise(Number::SIGSTOP)?;
        Ok(())
    }
}

fn listen() -> io::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in forwarded() {
        set.add(signal);
    }
    set.add(Number::SIGCONT);
    set.thread_block()?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    Ok(SignalFd::with_flags(&set, flags)?)
}
