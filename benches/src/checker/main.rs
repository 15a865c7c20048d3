//! Measures the checkers of lock-testkit: `checker [--histories DIR]` prints one table.
//!
//! `DIR` holds public histories: `etcd/*.log` of Jepsen's etcd tests and `kv/*.txt` of Porcupine's,
//! whose expected verdicts are known.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "it measures time and prints what it found"
)]

mod appends;
mod judged;
mod leases;
mod public;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// One row of the table: what was measured and what was found.
pub(crate) struct Row {
    what: String,
    found: String,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            found: found.into(),
        }
    }
}

/// A stream of numbers (`SplitMix64`).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) const fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// The median time of some runs, and what the last one returned.
pub(crate) fn timed<R>(runs: usize, mut work: impl FnMut() -> R) -> (Duration, R) {
    let mut times = Vec::with_capacity(runs);
    loop {
        let start = Instant::now();
        let result = work();
        times.push(start.elapsed());
        if times.len() >= runs {
            times.sort_unstable();
            let median = times.get(times.len() / 2).copied().unwrap_or_default();
            return (median, result);
        }
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let histories = match words.as_slice() {
        [] => None,
        ["--histories", folder] => Some(PathBuf::from(folder)),
        _ => {
            eprintln!("usage: checker [--histories DIR]");
            return ExitCode::from(2);
        }
    };
    match rows(histories) {
        Ok(rows) => {
            println!("| what | found |\n|---|---|");
            for row in &rows {
                println!("| {} | {} |", row.what, row.found);
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("checker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn rows(histories: Option<PathBuf>) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = leases::rows();
    rows.push(judged::row());
    rows.extend(appends::rows());
    if let Some(folder) = histories {
        rows.extend(public::rows(&folder)?);
    }
    Ok(rows)
}
