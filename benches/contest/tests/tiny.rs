//! The whole contest on a tiny input: it runs, and what is counted is not lost.

use std::process::Command;

const SCENARIOS: [&str; 4] = ["plain-1", "plain-64-names", "counter-4x4", "update-4x16"];

#[track_caller]
fn held_on(store: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_contest"));
    command.args([store, "--seconds", "0.05", "--rounds", "1"]);
    for id in SCENARIOS {
        command.args(["--only", id]);
    }
    let output = command.output().expect("the contest starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let page = String::from_utf8_lossy(&output.stdout);
    assert_eq!(page.matches("\n## ").count(), SCENARIOS.len() + 1, "{page}");
    let ours: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| ours |"))
        .collect();
    assert_eq!(ours.len(), SCENARIOS.len(), "{page}");
    for row in ours {
        // The last columns: shares, lost updates, failures.
        let cells: Vec<&str> = row
            .trim_matches(['|', ' '])
            .split(" | ")
            .map(str::trim)
            .collect();
        assert!(["", "0"].contains(&cells[cells.len() - 2]), "{row}");
        assert_eq!(cells[cells.len() - 1], "0", "{row}");
    }
}

#[test]
fn a_tiny_contest_on_redis_loses_nothing() {
    held_on("redis");
}

#[test]
fn a_tiny_contest_on_postgres_loses_nothing() {
    held_on("postgres");
}
