//! `cargo xtask bench`: figures of the locks beside others, and of the test kit.

use crate::Outcome;
use crate::run::{cargo, root, run, step};

/// Builds in release and runs one bench; the other arguments go to it.
pub(crate) fn bench(arguments: &[String]) -> Outcome {
    let Some((which, rest)) = arguments.split_first() else {
        return Err(format!("bench what? {BENCHES}"));
    };
    match which.as_str() {
        "contest" => step("bench contest", || contest(rest)),
        // What is counted does not depend on how it was compiled.
        "counts" => step("bench counts", || {
            let mut command = cargo(&["run", "--quiet", "-p", "benches", "--bin"]);
            run(command.arg(which).arg("--").args(rest))
        }),
        "checker" | "plans" => step(&format!("bench {which}"), || {
            let mut command = cargo(&["run", "--quiet", "--release", "-p", "benches", "--bin"]);
            run(command.arg(which).arg("--").args(rest))
        }),
        _ => Err(format!("there is no bench {which:?}: {BENCHES}")),
    }
}

/// It is outside the workspace. Its servers are processes of this machine, unless the environment
/// says otherwise: a container's network would be measured with them.
fn contest(arguments: &[String]) -> Outcome {
    let mut command = cargo(&["run", "--quiet", "--release", "--manifest-path"]);
    command.arg(root().join("benches/contest/Cargo.toml"));
    command
        .arg("--target-dir")
        .arg(root().join("target/contest"));
    for variable in ["LOCK_TESTKIT_REDIS", "LOCK_TESTKIT_POSTGRES"] {
        if std::env::var_os(variable).is_none() {
            command.env(variable, "process");
        }
    }
    run(command.arg("--").args(arguments))
}

const BENCHES: &str = "contest [redis|postgres] [--seconds S] [--rounds N] [--only ID] [--write], \
    counts [--write], checker [--histories DIR] or plans [--cases N] [--seeds N]";
