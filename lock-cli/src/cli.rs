//! The command line, from which help, completions and manual are made.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::breaks;
use crate::codes;
use crate::length;

/// Runs a command while holding a lock, across machines; and shows, frees and examines locks.
#[derive(Debug, Parser)]
#[command(name = "dlock", version, after_help = codes::TABLE, after_long_help = codes::TABLE)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// The store: `sqlite:FILE`, `redis://…`, `postgres://…`, …
    ///
    /// Without it the locks are in a file of the user's state directory, for the processes of this
    /// machine.
    #[arg(long, global = true, env = "DLOCK_URL", hide_env_values = true)]
    pub(crate) url: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// A name that is not `dlock`'s own.
fn takeable(name: &str) -> Result<String, String> {
    if name == breaks::NAME {
        return Err(
            "the lock of this name is dlock's own, which keeps the breaks in it".to_owned(),
        );
    }
    Ok(name.to_owned())
}

fn reason(text: &str) -> Result<String, String> {
    let most = breaks::REASON_BYTES_MAX;
    match text.len() {
        0 => Err("a reason must not be empty".to_owned()),
        bytes if bytes > most => Err(format!(
            "a reason is at most {most} bytes long, and this one has {bytes}"
        )),
        _ => Ok(text.to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a command while holding the lock.
    Run(RunArgs),
    /// Shows who holds a lock, since when and for how long yet.
    Status(StatusArgs),
    /// Lists the locks that are held.
    List(ListArgs),
    /// Waits until a lock is free, without taking it.
    Wait(WaitArgs),
    /// Takes a lock from its holder, whose commits are refused from then on.
    Break(BreakArgs),
    /// Lists the last hundred breaks: which lock, when, by whom, from whom and why.
    Breaks(BreaksArgs),
    /// Prints the value that a lock guards, as JSON.
    Get(NameArgs),
    /// Replaces the value that a lock guards, under the lock.
    Set(SetArgs),
    /// Examines what this store can promise, and says what to do about it.
    Doctor(DoctorArgs),
    /// Runs the conformance suite on this store, under names of its own that it takes away again.
    #[cfg(feature = "verify")]
    Verify(VerifyArgs),
    /// Measures how long it takes to lock and commit.
    Bench(BenchArgs),
    /// Prints the completions of a shell.
    Completions(CompletionsArgs),
    /// Writes the manual pages into a directory.
    Man(ManArgs),
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// The lock. A name that begins with a hyphen stands behind `--`.
    #[arg(value_parser = takeable)]
    pub(crate) name: String,
    /// How long others wait if this machine dies, such as 10s; not how long the command may take.
    #[arg(long, value_parser = length::parse, value_name = "TIME")]
    pub(crate) ttl: Option<Duration>,
    #[command(flatten)]
    pub(crate) patience: WaitOptions,
    /// A text about this holder, shown by `status` and `list`.
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
    /// How long the command has from SIGTERM to SIGKILL when the lease is in jeopardy; a quarter of
    /// the ttl by default.
    #[arg(long, value_parser = length::parse, value_name = "TIME")]
    pub(crate) grace: Option<Duration>,
    /// What becomes of processes that the command leaves running.
    #[arg(long, value_enum, default_value_t = Orphans::End)]
    pub(crate) orphans: Orphans,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct WaitOptions {
    /// Waits until the lock is free: the default.
    #[arg(long, conflicts_with_all = ["no_wait", "timeout"])]
    pub(crate) wait: bool,
    /// Fails at once if another holds the lock.
    #[arg(short = 'n', long, conflicts_with = "timeout")]
    pub(crate) no_wait: bool,
    /// Fails if the lock is not free within this time.
    #[arg(short = 'w', long, value_parser = length::parse, value_name = "TIME")]
    pub(crate) timeout: Option<Duration>,
    /// The exit code if the lock is held by another.
    #[arg(
        short = 'E',
        long,
        value_name = "CODE",
        default_value_t = codes::REFUSED
    )]
    pub(crate) conflict_exit_code: u8,
}

/// What becomes of processes that the command leaves running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Orphans {
    /// They are ended before the lock is given up.
    End,
    /// They go on without the lock.
    Leave,
    /// The lock is kept until they have ended.
    Wait,
}

impl Orphans {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Leave => "leave",
            Self::Wait => "wait",
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct NameArgs {
    /// The lock. A name that begins with a hyphen stands behind `--`.
    pub(crate) name: String,
}

#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    /// The lock. A name that begins with a hyphen stands behind `--`.
    pub(crate) name: String,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Only names that begin so.
    #[arg(default_value = "")]
    pub(crate) prefix: String,
    /// Prints JSON.
    #[arg(long, conflicts_with = "watch")]
    pub(crate) json: bool,
    /// Shows the list anew every second until interrupted.
    #[arg(long)]
    pub(crate) watch: bool,
    /// The most names that are shown.
    #[arg(long, default_value_t = 1000)]
    pub(crate) limit: usize,
}

#[derive(Args, Debug)]
pub(crate) struct WaitArgs {
    /// The lock. A name that begins with a hyphen stands behind `--`.
    pub(crate) name: String,
    /// Fails if the lock is not free within this time.
    #[arg(short = 'w', long, value_parser = length::parse, value_name = "TIME")]
    pub(crate) timeout: Option<Duration>,
    /// The exit code if the lock is not free in time.
    #[arg(
        short = 'E',
        long,
        value_name = "CODE",
        default_value_t = codes::REFUSED
    )]
    pub(crate) conflict_exit_code: u8,
}

#[derive(Args, Debug)]
pub(crate) struct BreakArgs {
    /// The lock. A name that begins with a hyphen stands behind `--`.
    #[arg(value_parser = takeable)]
    pub(crate) name: String,
    /// Why, for whoever asks later: the store keeps it, and `status` and `breaks` show it.
    #[arg(long, value_parser = reason, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Does not ask.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Args, Debug)]
pub(crate) struct BreaksArgs {
    /// Only of locks whose names begin so.
    #[arg(default_value = "")]
    pub(crate) prefix: String,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct SetArgs {
    /// The lock. A name that begins with a hyphen stands behind `--`.
    #[arg(value_parser = takeable)]
    pub(crate) name: String,
    /// The value as JSON; `-`, or nothing, reads it from the standard input.
    #[arg(default_value = "-", allow_hyphen_values = true)]
    pub(crate) value: String,
    #[command(flatten)]
    pub(crate) patience: WaitOptions,
}

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(feature = "verify")]
#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// Where the random plans come from; a new one each time by default.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// Runs at most so many cases at once; fewer need fewer connections and take longer.
    #[arg(long, default_value_t = 4, value_name = "NUMBER")]
    pub(crate) at_once: usize,
    /// Only cases whose names contain this.
    #[arg(long, value_name = "TEXT")]
    pub(crate) case: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// For how long.
    #[arg(long, value_parser = length::parse, default_value = "3s", value_name = "TIME")]
    pub(crate) time: Duration,
}

#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// Where the pages go; made if it is not there.
    pub(crate) directory: PathBuf,
}
