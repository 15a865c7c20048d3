//! `zoo`: shows what catches each broken lock.
//!
//! - `zoo` hunts all members and prints one table, then what each rule is needed for.
//! - `zoo <id>` prints the report of one member.
//! - `zoo --markdown` prints the table as a page, with what goes wrong and where it was seen.
//! - `--cases N` sets how many cases the controls must pass.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a command: it speaks on the terminal"
)]

mod page;

use std::process::ExitCode;

use lock_testkit::SetupError;
use lock_testkit::report::Report;
use lock_testkit::spec::Property;
use lock_zoo::table::{Row, Throughput, dead_rules};
use lock_zoo::{CASES, Member, SEED, member, members};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut id, mut is_page, mut cases) = (None, false, CASES);
    while let Some(word) = arguments.next() {
        match word.as_str() {
            "--markdown" => is_page = true,
            "--cases" => match arguments.next().and_then(|n| n.parse().ok()) {
                Some(number) => cases = number,
                None => return usage("--cases needs a number"),
            },
            "--help" | "-h" => return usage("what catches each broken lock"),
            _ if word.starts_with('-') => return usage("there is no such option"),
            _ => id = Some(word),
        }
    }
    let ended = match id.as_deref().map(member) {
        Some(Some(member)) => one(member),
        Some(None) => return usage("there is no such member"),
        None => all(cases, is_page),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("zoo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage(what: &str) -> ExitCode {
    eprintln!("zoo: {what}\nusage: zoo [<id>] [--markdown] [--cases N]\n\nMembers:");
    for member in members() {
        eprintln!("  {:8}{}", member.property.id(), member.id);
    }
    ExitCode::from(2)
}

/// Prints the report of one member; whether it was caught as it should be.
fn one(member: &Member) -> Result<bool, SetupError> {
    println!("{}: {}", member.id, member.what);
    if let Some(place) = member.where_seen {
        println!("seen at {place}");
    }
    println!();
    let Some(found) = member.hunt(SEED, CASES)? else {
        println!("not found in {CASES} cases");
        return Ok(false);
    };
    let report = Report::new(&found.history, &found.violation)
        .subject(member.id)
        .case(format!("case {} of seed {SEED}", found.cases))
        .replay(format!("cargo xtask zoo {}", member.id));
    println!("{report}\nplan: {}", found.plan.to_line());
    Ok(found.violation.property == member.property)
}

/// Prints the tables; whether all is as it should be.
fn all(cases: u32, is_page: bool) -> Result<bool, SetupError> {
    let mut rows = Vec::new();
    for member in members() {
        eprint!("\r\x1b[K{} ", member.id);
        rows.push(Row::of(member, cases)?);
    }
    eprint!("\r\x1b[K");
    if is_page {
        print!("{}", page::page(&rows));
    } else {
        table(&rows);
        rules(&rows);
        let speed = Throughput::measure(2_000)?;
        println!(
            "\nThe right store: {:.0} cases a second of {:.0} operations each, on one thread.",
            speed.cases_per_second, speed.operations_per_case
        );
    }
    let mut complaints: Vec<String> = rows.iter().filter_map(Row::complaint).collect();
    let dead = dead_rules();
    complaints.extend(
        dead.iter()
            .map(|p| format!("{p}: no member needs this rule")),
    );
    for complaint in &complaints {
        eprintln!("zoo: {complaint}");
    }
    Ok(complaints.is_empty())
}

fn table(rows: &[Row]) {
    println!(
        "{:<36}{:<10}{:<8}{:>6}{:>10}{:>12}",
        "member", "expected", "found", "cases", "time", "operations"
    );
    for row in rows {
        let took = row.took.as_secs_f64() * 1000.0;
        println!(
            "{:<36}{:<10}{:<8}{:>6}{:>7.1} ms{:>12}",
            row.member.id,
            row.member.property.id(),
            row.found.map_or("nothing", Property::id),
            row.cases,
            took,
            row.operations
        );
    }
}

fn rules(rows: &[Row]) {
    println!("\n{:<10}lives without it", "rule");
    for property in Property::ALL {
        let alone = rows
            .iter()
            .filter(|row| row.member.is_alone && row.member.property == property);
        for row in alone {
            let found = row.found_without;
            let also = found.map_or(String::new(), |other| format!(" (no: {other} is found)"));
            println!("{:<10}{}{also}", property.id(), row.member.id);
        }
    }
}
