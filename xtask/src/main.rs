//! The workspace's own commands; CI calls them and holds no logic of its own.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these are commands: they speak on the terminal"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "sums of lengths of files in memory and of seconds do not overflow"
)]

mod bench;
mod ci;
mod dlock;
mod features;
mod image;
mod measure;
mod run;
mod servers;
mod soak;
mod test;
mod tidy;
mod zoo;

use std::process::ExitCode;

/// What went wrong, said to whoever sits at the terminal.
type Outcome = Result<(), String>;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next();
    let rest: Vec<String> = arguments.collect();
    if let Err(e) = std::env::set_current_dir(run::root()) {
        eprintln!("xtask: cannot enter the workspace's folder: {e}");
        return ExitCode::FAILURE;
    }
    let outcome = match command.as_deref() {
        Some("test") => test::test(&rest),
        Some("ci") => ci::ci(),
        Some("features") => features::features(&rest),
        Some("bench") => bench::bench(&rest),
        Some("measure") if rest.first().is_some_and(|what| what == "dlock") => dlock::measure(),
        Some("measure") => measure::measure(&rest),
        Some("soak") => soak::soak(&rest),
        Some("tidy") => tidy::tidy(),
        Some("zoo") => zoo::zoo(&rest),
        None | Some("help" | "--help" | "-h") => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Some(other) => {
            eprintln!("xtask: there is no command {other:?}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

const HELP: &str = "\
Usage: cargo xtask <command>

Commands:
  test [args]  Provides the servers that the tests need, then runs all tests.
               Arguments go to `cargo nextest run` (or `cargo test`): -p lock-redis, a name, ...
  ci           Format, lints, documentation, tidy, then test: what CI runs.
  features [all|table]
               Lints distributed-mutex with no feature, each alone and all together; `all` with
               every set of them; `table` prints how many crates each builds.
  measure [what]...
               Builds in release and measures what docs/measurements.md states: round trips,
               connections, memory, how soon a loss is told, latency between processes, crashes.
               redis, postgres, sqlite and conformance are groups; a wrong name lists all.
  measure dlock
               Measures dlock: size, start-up beside flock's, a hundred runs whose store is cut off.
  bench checker [--histories DIR]
               Measures the checkers, and on the public histories in DIR if they are given.
  bench plans [--cases N] [--seeds N]
               Runs random plans in virtual time: cases a second, false alarms, repetition.
  bench contest [redis|postgres] [--seconds S] [--rounds N] [--only ID] [--write]
               Our locks beside what is written by hand and public crates, in one run; with --write
               the page and the picture in docs/benchmarks.
  bench counts [--write]
               What each path allocates; with --write docs/benchmarks/counts.md.
  soak [--minutes N] [memory] [redis] [sqlite] [postgres]
               Runs random plans with faults on the real stores for an hour each, or N minutes.
  tidy         The rules that no compiler checks: which module and crate may use which, lengths
               of files, words that must not be there, tests that the documents name.
  zoo [id]     Builds in release and shows what catches each broken lock; with --markdown writes
               docs/zoo.md, with the name of one its report. With --served also locks on real
               servers; --repeat N runs their plans N times, --write DIR keeps one's report.
  help         This page.

Environment of test, measure and zoo, where X is REDIS, POSTGRES, PGBOUNCER or ETCD:
  LOCK_TESTKIT_X         container | process | url; unset takes what is there
  LOCK_TESTKIT_X_IMAGE   the image for container
  LOCK_TESTKIT_X_SERVER  the program for process
  LOCK_TESTKIT_X_URL     the server for url";
