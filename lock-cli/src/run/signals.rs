//! The signals that are passed on to the command.

use std::fs;
use std::future::poll_fn;
use std::io;
use std::task::Poll;

use nix::sys::signal::{SigSet, Signal};
use tokio::signal::unix::{self, SignalKind};

/// Those that a terminal or a person sends to a program.
pub(super) const FORWARDED: [Signal; 9] = [
    Signal::SIGALRM,
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGURG,
    Signal::SIGWINCH,
];

/// Those that were not ignored when we were started: what `nohup` ignores stays ignored.
pub(super) fn forwarded() -> Vec<Signal> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    let is_ignored = |signal: &Signal| {
        let bit = u32::try_from(*signal as i32).unwrap_or(1).saturating_sub(1);
        mask & 1_u64.wrapping_shl(bit) != 0
    };
    FORWARDED.into_iter().filter(|s| !is_ignored(s)).collect()
}

/// Whether a signal ends a process that does nothing about it.
pub(super) fn ends(signal: i32) -> bool {
    signal != Signal::SIGURG as i32 && signal != Signal::SIGWINCH as i32
}

pub(super) const HUP: i32 = Signal::SIGHUP as i32;

/// Keeps writing to a terminal, and giving it away, from stopping a process in the background.
pub(super) fn block_terminal_stops() -> nix::Result<()> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTTOU);
    set.thread_block()
}

/// The signals as they come, on a runtime.
pub(super) struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        // Taken although it is not passed on: a parent that ignored it would have our children
        // vanish unseen, and an ignored signal stays ignored in what we start.
        let _children = unix::signal(SignalKind::child())?;
        let signals = forwarded().into_iter().map(|signal| {
            let stream = unix::signal(SignalKind::from_raw(signal as i32))?;
            Ok((signal, stream))
        });
        signals.collect::<io::Result<Vec<_>>>().map(Self)
    }

    /// The next signal.
    ///
    /// Safe to drop: a signal that came is kept for the next call.
    pub(super) async fn next(&mut self) -> i32 {
        poll_fn(|context| {
            for (signal, stream) in &mut self.0 {
                if let Poll::Ready(Some(())) = stream.poll_recv(context) {
                    return Poll::Ready(*signal as i32);
                }
            }
            Poll::Pending
        })
        .await
    }
}
