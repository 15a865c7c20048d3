//! The warden: the parent of the command, and all that stands between it and a lease that is over.
//!
//! It has no runtime, no network and no lock; it knows a deadline and a process group. The keeper
//! moves the deadline while the lease is renewed. If the keeper hangs, is stopped or is killed, the
//! deadline stays where it was, and the command is gone by then.
//!
//! # Invariants
//! 1. The command's first process is not waited for until nothing else is left, so that the number
//!    of its group belongs to no other.
//! 2. From the deadline on everything below the warden is killed, again and again, until the system
//!    says that there is no child left.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal as Number};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process_group, set_child_subreaper, waitid,
};
use rustix::termios::{tcgetpgrp, tcsetpgrp};

use super::boot::{Alarm, Boot};
use super::line::{End, OURSELVES, Why, Word, Words, answer};
use super::signals::FORWARDED;
use super::{launch, tree};
use crate::cli::Orphans;
use crate::codes;
use crate::output::complain;

/// Runs the command until it is gone; returns our own exit code, which only a keeper sees.
pub(crate) fn watch(arguments: &[OsString]) -> u8 {
    match Warden::start(arguments).and_then(Warden::run) {
        Ok(()) => codes::OK,
        Err(e) => {
            complain(format_args!("the warden of the command failed: {e}"));
            codes::SOFTWARE
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// It was asked to end, and is killed at this moment.
    Ending {
        kill_at: Boot,
    },
    Killing,
}

struct Warden {
    line: UnixStream,
    /// Whether the keeper is there.
    kept: bool,
    words: Words,
    signals: SignalFd,
    alarm: Alarm,
    terminal: Option<File>,
    front: Option<Pid>,
    grace: Duration,
    orphans: Orphans,
    leader: Pid,
    /// How the first process ended; it is a zombie from then on, until nothing else is left.
    end: Option<End>,
    reaped: bool,
    phase: Phase,
    why: Why,
    rest: u32,
    term_at: Boot,
    kill_at: Boot,
}

impl Warden {
    /// `GRACE_MS ORPHANS FRONT COMMAND…`, and the first lease on the line.
    fn start(arguments: &[OsString]) -> io::Result<Self> {
        let bad = || io::Error::new(io::ErrorKind::InvalidInput, "this role is dlock's own");
        let [grace, orphans, front, command @ ..] = arguments else {
            return Err(bad());
        };
        let number = |text: &OsString| text.to_str().and_then(|t| t.parse::<u64>().ok());
        let grace = Duration::from_millis(number(grace).ok_or_else(bad)?);
        let front = number(front).and_then(|n| i32::try_from(n).ok());
        let orphans = match orphans.to_str() {
            Some("end") => Orphans::End,
            Some("wait") => Orphans::Wait,
            _ => Orphans::Leave,
        };
        let (mut line, stdin) = answer()?;
        let signals = listen()?;
        set_child_subreaper(Some(getpid()))?;
        let mut words = Words::default();
        let (term_at, kill_at) = first_lease(&mut line, &mut words)?;
        line.set_nonblocking(true)?;
        let front = front.and_then(Pid::from_raw);
        let leader = spawn(command, stdin, front)?;
        Ok(Self {
            line,
            kept: true,
            words,
            signals,
            alarm: Alarm::new()?,
            terminal: front.and_then(|_front| launch::terminal()),
            front,
            grace,
            orphans,
            leader,
            end: None,
            reaped: false,
            phase: Phase::Running,
            why: Why::Itself,
            rest: 0,
            term_at,
            kill_at,
        })
    }

    fn run(mut self) -> io::Result<()> {
        loop {
            self.look_at_the_clock();
            self.reap()?;
            if let Some(end) = self.gone()? {
                self.give_terminal_back();
                let (why, rest) = (self.why, self.rest);
                self.tell(Word::Gone { end, why, rest });
                return Ok(());
            }
            self.wait()?;
            self.listen();
            while let Some(word) = self.words.next() {
                self.obey(word);
            }
        }
    }

    fn look_at_the_clock(&mut self) {
        let now = Boot::now();
        if self.phase == Phase::Running && now >= self.term_at {
            self.begin_end(Why::Lease, self.grace);
        }
        if let Phase::Ending { kill_at } = self.phase
            && now >= kill_at
        {
            self.phase = Phase::Killing;
        }
        if self.phase == Phase::Killing {
            self.signal_all(Signal::KILL);
        }
    }

    /// Asks everything to end, and kills it when the grace is over, or sooner if the lease is.
    fn begin_end(&mut self, why: Why, grace: Duration) {
        if self.end.is_none() && self.phase == Phase::Running {
            self.why = why;
        }
        let kill_at = Boot::now().after(grace).min(self.kill_at);
        match self.phase {
            Phase::Running => {
                self.phase = Phase::Ending { kill_at };
                self.signal_all(Signal::TERM);
                // A stopped process hears of it only once it goes on.
                self.signal_all(Signal::CONT);
            }
            Phase::Ending { kill_at: before } => {
                self.phase = Phase::Ending {
                    kill_at: kill_at.min(before),
                };
            }
            Phase::Killing => {}
        }
    }

    fn signal_all(&self, signal: Signal) {
        self.signal_group(signal);
        // Each is told once: a second SIGTERM means more than the first to some programs.
        let group = (!self.reaped).then_some(self.leader);
        tree::signal_all(getpid(), &HashSet::new(), group, signal);
    }

    /// A group is signalled as a whole, so that none of it can fork in between.
    fn signal_group(&self, signal: Signal) {
        // INVARIANT: 1.
        if !self.reaped {
            // It may have no process any more that is not a zombie.
            let _sent = kill_process_group(self.leader, signal);
        }
    }

    /// Waits for what has ended, but for the first process only once it is the last.
    fn reap(&mut self) -> io::Result<()> {
        if self.end.is_none() {
            let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            self.end = waitid(WaitId::Pid(self.leader), peek)?.and_then(|status| {
                let code = status.exit_status().map(End::Code);
                code.or_else(|| status.terminating_signal().map(End::Signal))
            });
        }
        if self.end.is_none() {
            if let Some(signal) = stopped(self.leader)?
                && self.phase == Phase::Running
            {
                self.tell(Word::Stopped(signal));
            }
            return Ok(());
        }
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let others = || {
            let children = tree::children(getpid());
            children.into_iter().filter(|pid| *pid != self.leader)
        };
        for pid in others() {
            // Not a child any more, or not yet ended: either is fine.
            let _ended = waitid(WaitId::Pid(pid), ended);
        }
        let left = others().count();
        if left == 0 && !self.reaped {
            let _status = waitid(WaitId::Pid(self.leader), ended)?;
            self.reaped = true;
        }
        if left > 0 && self.phase == Phase::Running && self.orphans == Orphans::End {
            self.rest = u32::try_from(left).unwrap_or(u32::MAX);
            self.begin_end(Why::Itself, self.grace);
        }
        Ok(())
    }

    /// How the command ended, if nothing of it is left, or what is left may stay.
    fn gone(&self) -> io::Result<Option<End>> {
        let Some(end) = self.end else {
            return Ok(None);
        };
        if self.orphans == Orphans::Leave && self.phase == Phase::Running {
            return Ok(Some(end));
        }
        if !self.reaped {
            return Ok(None);
        }
        // INVARIANT: 2. The list of children may miss one; this does not.
        let any = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::All, any) {
            Err(Errno::CHILD) => Ok(Some(end)),
            Ok(_) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Waits until there is something to do.
    fn wait(&mut self) -> io::Result<()> {
        let now = Boot::now();
        let next = match self.phase {
            Phase::Running => self.term_at,
            Phase::Ending { kill_at } => kill_at,
            Phase::Killing => now.after(SWEEP),
        };
        // Only a hint can be missed where children are listed, so look again before long.
        let next = match self.end {
            Some(_) => next.min(now.after(LOOK)),
            None => next,
        };
        self.alarm.set(next)?;
        let mut fds = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.alarm.fd(), PollFlags::POLLIN),
        ];
        if self.kept {
            fds.push(PollFd::new(self.line.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Takes in what came: signals of people who found the warden, and the keeper's words.
    fn listen(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let signal = i32::try_from(info.ssi_signo).unwrap_or(0);
            if signal != Number::SIGCHLD as i32 {
                self.obey(Word::Signal(signal));
            }
        }
        let mut bytes = [0; 1024];
        while self.kept {
            match self.line.read(&mut bytes) {
                Ok(0) => self.keeper_is_gone(),
                Ok(n) => self.words.take_in(bytes.get(..n).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.keeper_is_gone(),
            }
        }
    }

    /// Nobody renews the lease any more, and nobody will hear how the command ends.
    fn keeper_is_gone(&mut self) {
        self.kept = false;
        self.begin_end(Why::Told, self.grace);
    }

    fn obey(&mut self, word: Word) {
        match word {
            Word::Lease { term_at, kill_at } => {
                self.term_at = term_at;
                self.kill_at = kill_at;
            }
            Word::Signal(signal) => {
                if let Some(signal) = Signal::from_named_raw(signal) {
                    self.signal_group(signal);
                }
            }
            Word::End { within_ms } => {
                self.begin_end(Why::Told, Duration::from_millis(within_ms));
            }
            Word::Resume { foreground } => {
                if let (true, Some(terminal)) = (foreground, &self.terminal) {
                    let _given = tcsetpgrp(terminal, self.leader);
                }
                self.signal_group(Signal::CONT);
            }
            Word::Gone { .. } | Word::Stopped(_) => {}
        }
    }

    fn give_terminal_back(&self) {
        if let (Some(terminal), Some(front)) = (&self.terminal, self.front)
            && tcgetpgrp(terminal) == Ok(self.leader)
        {
            let _given = tcsetpgrp(terminal, front);
        }
    }

    fn tell(&mut self, word: Word) {
        // A keeper that is gone need not be told.
        let _told = self.line.write_all(word.to_string().as_bytes());
    }
}

/// Signals come by a descriptor from here on.
fn listen() -> io::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in FORWARDED {
        set.add(signal);
    }
    for signal in [
        Number::SIGCHLD,
        Number::SIGTSTP,
        Number::SIGTTIN,
        Number::SIGTTOU,
    ] {
        set.add(signal);
    }
    set.thread_block()?;
    set.remove(Number::SIGTTOU);
    set.remove(Number::SIGTTIN);
    set.remove(Number::SIGTSTP);
    Ok(SignalFd::with_flags(
        &set,
        SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
    )?)
}

/// Nothing is started before there is a deadline to it.
fn first_lease(line: &mut UnixStream, words: &mut Words) -> io::Result<(Boot, Boot)> {
    let mut bytes = [0; 256];
    loop {
        if let Some(Word::Lease { term_at, kill_at }) = words.next() {
            return Ok((term_at, kill_at));
        }
        match line.read(&mut bytes)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => words.take_in(bytes.get(..n).unwrap_or_default()),
        }
    }
}

fn spawn(command: &[OsString], stdin: OwnedFd, front: Option<Pid>) -> io::Result<Pid> {
    let child = Command::new(OURSELVES)
        .arg0("dlock")
        .arg(super::LAUNCH)
        .arg(getpid().as_raw_pid().to_string())
        .arg(front.map_or(0, Pid::as_raw_pid).to_string())
        .args(command)
        .stdin(Stdio::from(stdin))
        .process_group(0)
        .spawn()?;
    let number = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    number.ok_or_else(|| io::Error::other("a process without a number"))
}

/// The signal that has stopped a child since the last look.
fn stopped(child: Pid) -> io::Result<Option<i32>> {
    let stops = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
    match waitid(WaitId::Pid(child), stops) {
        Ok(status) => Ok(status.and_then(|status| status.stopping_signal())),
        // One that has ended since it was looked for is a zombie, which has no stops. Its SIGCHLD
        // is there already, so it is looked for again at once.
        Err(Errno::CHILD) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// How often what is left is killed again.
const SWEEP: Duration = Duration::from_millis(5);

/// How often children are counted once the command has ended.
const LOOK: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

    use super::stopped;

    #[test]
    fn a_child_that_has_just_ended_has_not_stopped_and_is_no_failure() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        // It stays a zombie.
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let ended = waitid(WaitId::Pid(pid), peek).unwrap();
        assert!(ended.is_some());
        assert_eq!(stopped(pid).unwrap(), None);
        let _ended = child.wait().unwrap();
    }
}
