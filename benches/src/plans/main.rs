//! Measures plans in virtual time on the reference backend: `plans [--cases N] [--seeds N]` prints
//! one table.
//!
//! Cases are random plans, each run, judged by all rules and counted; any that is not valid is a
//! false alarm. Seeds are plans that are run twice, to be compared line by line.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "it measures time and prints what it found"
)]

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lock_testkit::SetupError;
use lock_testkit::checker::liveness::Limits;
use lock_testkit::history::History;
use lock_testkit::hunt::Plans;
use lock_testkit::judge::{Rules, judge};
use lock_testkit::plan::Mix;
use lock_testkit::run::run_virtual;
use lock_testkit::spec::Verdict;
use lock_testkit::subject::{Simulated, Subject};

/// What a number of plans came to.
#[derive(Default)]
struct Tally {
    cases: u64,
    operations: usize,
    undecided: u64,
    false_alarms: Vec<String>,
    running: Duration,
    judging: Duration,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (mut cases, mut seeds, mut seed): (u64, u64, u64) = (20_000, 1_000, 1);
    for pair in args.chunks(2) {
        let number = pair.get(1).and_then(|n| n.parse().ok());
        match (pair.first().map(String::as_str), number) {
            (Some("--cases"), Some(n)) => cases = n,
            (Some("--seeds"), Some(n)) => seeds = n,
            (Some("--seed"), Some(n)) => seed = n,
            _ => {
                eprintln!("usage: plans [--cases N] [--seeds N] [--seed N]");
                return ExitCode::from(2);
            }
        }
    }
    match table(cases, seeds, seed) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("plans: {e}");
            ExitCode::FAILURE
        }
    }
}

fn table(cases: u64, seeds: u64, seed: u64) -> Result<ExitCode, SetupError> {
    let memory = Simulated::memory();
    let traits = memory.traits();
    // As many operations as in the published figures of others: about 250 a case.
    let mut mix = Mix::simulated(&traits);
    mix.acts = 50;
    let mut plans = Plans::new(&mix, seed);
    let mut tally = Tally::default();
    while tally.cases < cases {
        let Some(plan) = plans.next() else { break };
        let start = Instant::now();
        let history = run_virtual(&plan, &memory)?;
        tally.running += start.elapsed();
        let rules = Rules::of(&traits, true).limits(Limits::simulated(&plan, &traits));
        let start = Instant::now();
        let verdict = judge(&history, &rules);
        tally.judging += start.elapsed();
        match verdict {
            Verdict::Valid => {}
            Verdict::Invalid(violation) => tally.false_alarms.push(format!(
                "{}\n{}",
                violation.explain(&history),
                plan.to_line()
            )),
            Verdict::Undecided { .. } | _ => tally.undecided += 1,
        }
        tally.cases += 1;
        tally.operations += history.operations().len();
        progress(tally.cases, cases);
    }
    let mut differ = 0;
    for (plan, _) in Plans::new(&mix, seed).zip(0..seeds) {
        let runs = [run_virtual(&plan, &memory)?, run_virtual(&plan, &memory)?];
        let [once, again] = runs.map(|history| lines(&history));
        differ += u64::from(once != again);
    }
    for alarm in tally.false_alarms.iter().take(3) {
        eprintln!("{alarm}");
    }
    print(&tally, seeds, differ);
    let is_right = tally.false_alarms.is_empty() && differ == 0;
    Ok(ExitCode::from(u8::from(!is_right)))
}

fn print(tally: &Tally, seeds: u64, differ: u64) {
    let per_second = |time: Duration| tally.cases as f64 / time.as_secs_f64();
    let whole = tally.running + tally.judging;
    println!("| what | found |\n|---|---|");
    println!(
        "| random plans on the reference backend | {} |",
        tally.cases
    );
    println!(
        "| operations of a case | {:.0} |",
        tally.operations as f64 / tally.cases as f64
    );
    println!("| false alarms | {} |", tally.false_alarms.len());
    println!("| undecided | {} |", tally.undecided);
    println!(
        "| cases a second and core, run and judged | {:.0} |",
        per_second(whole)
    );
    println!(
        "| of these, running alone | {:.0} |",
        per_second(tally.running)
    );
    println!(
        "| of these, judging alone | {:.0} |",
        per_second(tally.judging)
    );
    println!("| seeds run twice | {seeds} |");
    println!("| of these, histories that differ | {differ} |");
}

fn progress(done: u64, of: u64) {
    if done.is_multiple_of(500) && std::io::stderr().is_terminal() {
        eprint!("\r{done} of {of} cases");
        let _shown = std::io::stderr().flush();
    }
}

fn lines(history: &History) -> Vec<u8> {
    let mut lines = Vec::new();
    // Writing to memory does not fail.
    let _written = history.write_lines(&mut lines);
    lines
}
