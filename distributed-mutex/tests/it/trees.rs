//! What is built for whom.

use std::process::Command;

/// The crates that a user of these features builds.
fn tree(features: &str) -> Vec<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "-p", "distributed-mutex", "-e", "normal,build"]);
    cargo.args([
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--no-default-features",
    ]);
    cargo.args(["--features", features, "--offline"]);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = cargo.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut crates: Vec<String> = text
        .lines()
        .filter(|line| !line.ends_with("(proc-macro)"))
        .map(|line| line.split(" (").next().unwrap().to_owned())
        .collect();
    crates.sort_unstable();
    crates.dedup();
    crates
}

fn has(crates: &[String], word: &str) -> bool {
    crates.iter().any(|name| name.contains(word))
}

#[test]
fn a_user_of_redis_builds_no_sql_and_the_other_way_round() {
    let redis = tree("redis");
    assert!(has(&redis, "redis v") && !has(&redis, "sql") && !has(&redis, "postgres"));
    let sqlite = tree("sqlite");
    assert!(has(&sqlite, "sqlx-sqlite") && !has(&sqlite, "redis") && !has(&sqlite, "postgres"));
    let postgres = tree("postgres");
    assert!(has(&postgres, "sqlx-postgres") && !has(&postgres, "redis"));
    assert!(!has(&postgres, "sqlite"));
    let memory = tree("memory");
    assert!(!has(&memory, "sql") && !has(&memory, "redis"));
}
