//! The keeper: takes the lock, has the warden run the command, and moves its deadline while the
//! lease is renewed.
//!
//! # Invariants
//! 1. The deadline that the warden knows is never later than the end of the lease's validity, less
//!    a margin: it is reckoned from a clock that was read before the lease was looked at.
//! 2. The lock is given up only after the command and all below it are gone, or were let go on
//!    purpose.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as Socket;
use std::process::Child;
use std::time::Duration;

use distributed_mutex::{
    Clock, Error, ErrorKind, LockClient, LockGuard, LockOptions, LossCause, SystemClock,
};
use rustix::net::{SendFlags, send};
use rustix::process::{Pid, Signal, getpid, set_child_subreaper};
use tokio::net::UnixStream;

use super::boot::Boot;
use super::line::{End, Why, Word, Words, answer, start};
use super::signals::{self, Signals};
use super::tree;
use crate::cli::RunArgs;
use crate::codes;
use crate::length::show;
use crate::output::{Escaped, complain, failed};
use crate::{patience, store};

/// The process that stands in front of the keeper on a terminal.
#[derive(Debug)]
pub(crate) struct Front {
    group: i32,
    line: Socket,
    stdin: OwnedFd,
}

impl Front {
    pub(super) fn answer(group: i32) -> io::Result<Self> {
        let (line, stdin) = answer()?;
        line.set_nonblocking(true)?;
        Ok(Self { group, line, stdin })
    }
}

/// Runs the command under the lock and returns the exit code.
pub(super) fn keep(args: &RunArgs, url: Option<&str>, front: Option<Front>) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(kept(args, url, front));
            // A blocked name look-up must not keep us.
            runtime.shutdown_background();
            code
        }
        Err(e) => super::failed("the runtime", &e),
    }
}

async fn kept(args: &RunArgs, url: Option<&str>, front: Option<Front>) -> u8 {
    let (group, stdin, front) = match front {
        Some(front) => match Line::new(front.line) {
            Ok(line) => (front.group, Some(front.stdin), Some(line)),
            Err(e) => return super::failed("the line to the front", &e),
        },
        None => (0, None, None),
    };
    let mut outside = match Signals::new() {
        Ok(signals) => Outside { signals, front },
        Err(e) => return super::failed("listening to signals", &e),
    };
    let connecting = store::connect_for(url, args.ttl, args.label.as_deref());
    let locks = tokio::select! {
        connected = connecting => match connected {
            Ok(locks) => locks,
            Err(e) => return failed(&e),
        },
        signal = outside.ending() => return codes::of_signal(signal),
    };
    let code = under_the_lock(args, &locks, &mut outside, Started { group, stdin }).await;
    // What a dropped guard or a wait that was given up left behind is given back first.
    let limit = if code == codes::LOST {
        // There is nothing to give back, or nobody who answers.
        CLOSE_LOST_MAX
    } else {
        CLOSE_MAX
    };
    let _closed = locks.close(limit).await;
    code
}

struct Started {
    group: i32,
    stdin: Option<OwnedFd>,
}

async fn under_the_lock(
    args: &RunArgs,
    locks: &LockClient,
    outside: &mut Outside,
    started: Started,
) -> u8 {
    let times = match Times::new(args, locks.options()) {
        Ok(times) => times,
        Err(e) => return failed(&e),
    };
    let mutex = match locks.mutex::<()>(&args.name) {
        Ok(mutex) => mutex,
        Err(e) => return failed(&e),
    };
    let taken = tokio::select! {
        taken = patience::lock(&mutex, locks, &args.patience) => taken,
        signal = outside.ending() => return codes::of_signal(signal),
    };
    let guard = match taken {
        Ok(guard) => guard,
        Err(code) => return code,
    };
    let stdin = match &started.stdin {
        Some(stdin) => stdin.as_fd(),
        None => rustix::stdio::stdin(),
    };
    let warden = Warden::start(args, &guard, &times, started.group, stdin);
    let mut warden = match warden {
        Ok(warden) => warden,
        Err(e) => {
            let _given_up = guard.release().await;
            return super::failed("starting the command", &e);
        }
    };
    let outcome = warden.until_gone(&guard, outside).await;
    give_up(args, guard, outcome, warden.began).await
}

/// When the command must be gone, as shares of the lease.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// From SIGTERM to SIGKILL.
    grace: Duration,
    /// From SIGKILL to the end of validity: a kill takes a moment, on a busy machine more.
    margin: Duration,
    /// How often the deadline is moved.
    tick: Duration,
}

impl Times {
    fn new(args: &RunArgs, options: &LockOptions) -> Result<Self, Error> {
        let ttl = options.ttl().as_duration();
        let margin = (ttl / 10).clamp(Duration::from_millis(5), Duration::from_millis(500));
        let grace = args
            .grace
            .unwrap_or_else(|| (ttl / 4).min(Duration::from_secs(30)));
        let spent = options
            .renew_interval()
            .saturating_add(options.drift_allowance())
            .saturating_add(margin)
            .saturating_add(grace);
        if spent >= ttl {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "a lease of {ttl:?} has no room for a grace of {grace:?}: renew interval, drift \
                     allowance, margin and grace make {spent:?}; give a longer --ttl or a shorter \
                     --grace"
                ),
            ));
        }
        let tick =
            (options.renew_interval() / 10).clamp(Duration::from_millis(5), Duration::from_secs(1));
        Ok(Self {
            grace,
            margin,
            tick,
        })
    }

    /// The warden's deadlines for the lease as it is now.
    fn deadlines<T: Send + 'static>(&self, guard: &LockGuard<T>) -> (Boot, Boot) {
        // INVARIANT: 1. The clock is read first.
        let now = Boot::now();
        let left = guard.remaining();
        let kill_at = now.after(left.saturating_sub(self.margin));
        let term_at = now.after(left.saturating_sub(self.margin.saturating_add(self.grace)));
        (term_at, kill_at)
    }
}

/// What became of the command.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    /// `None` if its warden was killed.
    end: Option<End>,
    why: Why,
    rest: u32,
    lost: Option<LossCause>,
}

/// The keeper's end of the line to the warden.
struct Warden {
    line: Line,
    child: Child,
    times: Times,
    kill_at: Boot,
    began: Boot,
    /// Children that we had before: a shell that became us may have left some.
    strangers: HashSet<Pid>,
    clock: SystemClock,
}

impl Warden {
    fn start(
        args: &RunArgs,
        guard: &LockGuard<()>,
        times: &Times,
        front: i32,
        stdin: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        // If the warden is killed, what was below it is below us.
        set_child_subreaper(Some(getpid()))?;
        let strangers = tree::children(getpid()).into_iter().collect();
        let began = Boot::now();
        let mut words = vec![
            super::WARDEN.into(),
            times.grace.as_millis().to_string().into(),
            args.orphans.word().into(),
            front.to_string().into(),
        ];
        words.extend(args.command.iter().cloned());
        let environment = [
            ("DLOCK_NAME", args.name.clone()),
            ("DLOCK_TOKEN", guard.token().get().to_string()),
            (
                "DLOCK_DEADLINE_MS",
                guard.remaining().as_millis().to_string(),
            ),
        ];
        let (child, line) = start(&words, &environment, stdin)?;
        line.set_nonblocking(true)?;
        let mut warden = Self {
            line: Line::new(line)?,
            child,
            times: *times,
            kill_at: began,
            began,
            strangers,
            clock: SystemClock::new(),
        };
        warden.move_deadline(guard);
        Ok(warden)
    }

    fn move_deadline(&mut self, guard: &LockGuard<()>) {
        let (term_at, kill_at) = self.times.deadlines(guard);
        // Its reckoning trembles by what passes between two looks at a clock.
        if kill_at > self.kill_at {
            self.kill_at = kill_at;
            self.line.tell(Word::Lease { term_at, kill_at });
        }
    }

    /// Watches over lease, warden and signals until the command is gone.
    async fn until_gone(&mut self, guard: &LockGuard<()>, outside: &mut Outside) -> Outcome {
        let mut lost = Box::pin(guard.lost());
        let mut cause = None;
        loop {
            let tick = self.clock.now().after(self.times.tick);
            tokio::select! {
                biased;
                loss = &mut lost, if cause.is_none() => {
                    cause = Some(loss);
                    self.line.tell(Word::End { within_ms: after_loss_ms(loss) });
                }
                word = self.line.next() => match word {
                    Some(Word::Gone { end, why, rest }) => {
                        return Outcome { end: Some(end), why, rest, lost: cause };
                    }
                    Some(Word::Stopped(signal)) => outside.stopped(signal),
                    Some(_) => {}
                    None => return self.warden_is_gone(cause).await,
                },
                asked = outside.asked() => self.line.tell(asked),
                () = self.clock.sleep_until(tick) => {}
            }
            if cause.is_none() {
                self.move_deadline(guard);
            }
            self.kill_if_late();
        }
    }

    /// The warden was stopped, or hangs: the command is killed by us.
    fn kill_if_late(&self) {
        let late = self.kill_at.after(self.times.margin / 2);
        if Boot::now() >= late {
            self.kill_all();
        }
    }

    fn kill_all(&self) {
        tree::signal_all(getpid(), &self.strangers, None, Signal::KILL);
    }

    /// Somebody killed the warden. The command went with it; what was below it came to us.
    async fn warden_is_gone(&mut self, lost: Option<LossCause>) -> Outcome {
        let _status = self.child.wait();
        while !tree::descendants(getpid(), &self.strangers).is_empty() {
            self.kill_all();
            for pid in tree::children(getpid()) {
                if !self.strangers.contains(&pid) {
                    let options = rustix::process::WaitOptions::NOHANG;
                    let _reaped = rustix::process::waitpid(Some(pid), options);
                }
            }
            let soon = self.clock.now().after(SWEEP);
            self.clock.sleep_until(soon).await;
        }
        Outcome {
            end: None,
            why: Why::Told,
            rest: 0,
            lost,
        }
    }
}

/// For how long a command may go on after its lease was lost. What has expired has been killed by
/// now; after a forced release another may hold the lock already, so this is short.
fn after_loss_ms(cause: LossCause) -> u64 {
    match cause {
        LossCause::Forced => 500,
        LossCause::Closed | LossCause::Displaced | LossCause::Expired | _ => 0,
    }
}

/// Gives the lock up and says with which code to exit.
async fn give_up(args: &RunArgs, guard: LockGuard<()>, outcome: Outcome, began: Boot) -> u8 {
    let name = Escaped(&args.name);
    if outcome.rest > 0 {
        complain(format_args!(
            "ended {} processes that the command left running (--orphans)",
            outcome.rest
        ));
    }
    let ran = show(Boot::now().since(began));
    let jeopardy = outcome.why == Why::Lease;
    let left = guard.remaining().min(RELEASE_MAX);
    let clock = SystemClock::new();
    let until = clock.now().after(left);
    let released = tokio::select! {
        biased;
        released = guard.release() => Some(released),
        () = clock.sleep_until(until) => None,
    };
    let lost = outcome.lost.or_else(|| match &released {
        Some(Err(e)) => e.loss(),
        _ => None,
    });
    // Gone before the lease was over: that it ran out since is no news.
    let in_time = jeopardy && outcome.lost.is_none();
    if let (Some(cause), false) = (lost, in_time) {
        complain(format_args!(
            "lost the lock '{name}' after {ran}: {cause}; the command was ended, and others may \
             have worked meanwhile"
        ));
        return codes::LOST;
    }
    if in_time {
        complain(format_args!(
            "the lease of the lock '{name}' could not be renewed; the command was ended after {ran}, \
             before the lock could pass to another"
        ));
        return codes::LOST;
    }
    match released {
        Some(Err(e)) => {
            complain(format_args!(
                "{e}; the lock is free when its ttl has passed"
            ));
        }
        None => complain(format_args!(
            "the store did not answer the release of '{name}'; the lock is free when its ttl has \
             passed"
        )),
        Some(Ok(())) => {}
    }
    match outcome.end {
        Some(End::Code(code)) => u8::try_from(code).unwrap_or(codes::SOFTWARE),
        Some(End::Signal(signal)) => codes::of_signal(signal),
        None => {
            complain("the warden of the command was killed, and the command with it");
            codes::SOFTWARE
        }
    }
}

/// What comes from outside: signals, and the front.
struct Outside {
    signals: Signals,
    front: Option<Line>,
}

impl Outside {
    /// What is to be passed on to the warden.
    async fn asked(&mut self) -> Word {
        let Some(front) = &mut self.front else {
            return Word::Signal(self.signals.next().await);
        };
        let word = tokio::select! {
            signal = self.signals.next() => return Word::Signal(signal),
            word = front.next() => word,
        };
        word.unwrap_or_else(|| {
            // The front was killed: as if the terminal had gone.
            self.front = None;
            Word::End {
                within_ms: FRONTLESS_MS,
            }
        })
    }

    /// The next signal that ends us while there is no command.
    async fn ending(&mut self) -> i32 {
        loop {
            match self.asked().await {
                Word::Signal(signal) if signals::ends(signal) => return signal,
                Word::End { .. } => return signals::HUP,
                Word::Signal(_)
                | Word::Gone { .. }
                | Word::Lease { .. }
                | Word::Resume { .. }
                | Word::Stopped(_) => {}
            }
        }
    }

    fn stopped(&mut self, signal: i32) {
        if let Some(front) = &self.front {
            front.tell(Word::Stopped(signal));
        }
    }
}

/// A line, in tokio's manner.
struct Line {
    socket: UnixStream,
    words: Words,
}

impl Line {
    fn new(socket: Socket) -> io::Result<Self> {
        Ok(Self {
            socket: UnixStream::from_std(socket)?,
            words: Words::default(),
        })
    }

    /// The next word; `None` once the other is gone.
    ///
    /// Safe to drop: what was read is kept.
    async fn next(&mut self) -> Option<Word> {
        loop {
            if let Some(word) = self.words.next() {
                return Some(word);
            }
            let mut bytes = [0; 1024];
            let read = async {
                self.socket.readable().await?;
                self.socket.try_read(&mut bytes)
            };
            match read.await {
                Ok(0) => return None,
                Ok(n) => self.words.take_in(bytes.get(..n).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }

    /// Says a word, and does not wait. One that does not fit is dropped: the other end does not read, and then knows
    /// only deadlines that are too early.
    fn tell(&self, word: Word) {
        let text = word.to_string();
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let _told = send(&self.socket, text.as_bytes(), flags);
    }
}

const CLOSE_MAX: Duration = Duration::from_secs(2);
const CLOSE_LOST_MAX: Duration = Duration::from_millis(100);
const RELEASE_MAX: Duration = Duration::from_secs(5);
/// What a command has from SIGTERM to SIGKILL when its front was killed.
const FRONTLESS_MS: u64 = 5000;
const SWEEP: Duration = Duration::from_millis(5);
