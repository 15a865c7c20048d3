//! The line between two of dlock's processes: a socket, with one word a line.
//!
//! The socket is the child's standard input, and the real one travels over it first: that needs no
//! unsafe code. Its end is how one process learns that the other is gone.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::boot::Boot;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Code(i32),
    Signal(i32),
}

/// Why the warden ended the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It ended by itself.
    Itself,
    /// The lease was in jeopardy.
    Lease,
    /// It was told to, or nobody was left to tell.
    Told,
}

/// What is said on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Ask the command to end at once, and end it after so many milliseconds.
    End { within_ms: u64 },
    /// The command and all that it left are gone; `rest` counts what it left and was ended.
    Gone { end: End, why: Why, rest: u32 },
    /// Until when the command may run.
    Lease { term_at: Boot, kill_at: Boot },
    /// Go on after a stop, with the terminal or without it.
    Resume { foreground: bool },
    /// Pass this signal on.
    Signal(i32),
    /// The command was stopped by this signal.
    Stopped(i32),
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::End { within_ms } => writeln!(f, "end {within_ms}"),
            Self::Gone { end, why, rest } => {
                let (kind, number) = match end {
                    End::Code(code) => (0, code),
                    End::Signal(signal) => (1, signal),
                };
                let why = match why {
                    Why::Itself => 0,
                    Why::Lease => 1,
                    Why::Told => 2,
                };
                writeln!(f, "gone {kind} {number} {why} {rest}")
            }
            Self::Lease { term_at, kill_at } => writeln!(f, "lease {} {}", term_at.0, kill_at.0),
            Self::Resume { foreground } => writeln!(f, "resume {}", u8::from(foreground)),
            Self::Signal(signal) => writeln!(f, "signal {signal}"),
            Self::Stopped(signal) => writeln!(f, "stopped {signal}"),
        }
    }
}

impl Word {
    /// Reads a line; one that makes no sense is none.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split_ascii_whitespace();
        let word = parts.next()?;
        let mut number = || parts.next()?.parse::<u64>().ok();
        match word {
            "end" => Some(Self::End {
                within_ms: number()?,
            }),
            "gone" => {
                let (kind, what, why) = (number()?, number()?, number()?);
                let what = i32::try_from(what).ok()?;
                Some(Self::Gone {
                    end: match kind {
                        0 => End::Code(what),
                        _ => End::Signal(what),
                    },
                    why: match why {
                        0 => Why::Itself,
                        1 => Why::Lease,
                        _ => Why::Told,
                    },
                    rest: u32::try_from(number()?).ok()?,
                })
            }
            "lease" => Some(Self::Lease {
                term_at: Boot(number()?),
                kill_at: Boot(number()?),
            }),
            "resume" => Some(Self::Resume {
                foreground: number()? == 1,
            }),
            "signal" => Some(Self::Signal(i32::try_from(number()?).ok()?)),
            "stopped" => Some(Self::Stopped(i32::try_from(number()?).ok()?)),
            _ => None,
        }
    }
}

/// Cuts what was read into words.
#[derive(Debug, Default)]
pub(super) struct Words {
    rest: String,
}

impl Words {
    pub(super) fn take_in(&mut self, bytes: &[u8]) {
        self.rest.push_str(&String::from_utf8_lossy(bytes));
    }

    pub(super) fn next(&mut self) -> Option<Word> {
        loop {
            let (line, rest) = self.rest.split_once('\n')?;
            let word = Word::parse(line);
            self.rest = rest.to_owned();
            if word.is_some() {
                return word;
            }
        }
    }
}

/// Starts this program again in another role and a process group of its own, and hands it its
/// standard input.
pub(super) fn start<S: AsRef<OsStr>>(
    arguments: &[S],
    environment: &[(&str, String)],
    stdin: BorrowedFd<'_>,
) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(OURSELVES);
    command
        .arg0("dlock")
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .process_group(0);
    let child = command.spawn()?;
    let fds = [stdin];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let _fits = control.push(SendAncillaryMessage::ScmRights(&fds));
    let _sent: usize = sendmsg(
        &ours,
        &[IoSlice::new(b"\n")],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok((child, ours))
}

/// Our own program, also where its file was replaced or removed meanwhile.
pub(super) const OURSELVES: &str = "/proc/self/exe";

/// Takes the line that stands in the place of the standard input, and the real one.
pub(super) fn answer() -> io::Result<(UnixStream, OwnedFd)> {
    let line = rustix::stdio::stdin();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let _received = recvmsg(
        line,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let stdin = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        RecvAncillaryMessage::ScmCredentials(_) | _ => None,
    });
    let stdin = stdin.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "this role of dlock is started by dlock alone",
        )
    })?;
    let line = UnixStream::from(line.as_fd().try_clone_to_owned()?);
    Ok((line, stdin))
}
