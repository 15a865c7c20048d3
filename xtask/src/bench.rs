//! `cargo xtask bench`: the test kit's own figures.

use crate::Outcome;
use crate::run::{cargo, run, step};

/// Builds in release and runs one bench; the other arguments go to it.
pub(crate) fn bench(arguments: &[String]) -> Outcome {
    let Some((which, rest)) = arguments.split_first() else {
        return Err(format!("bench what? {BENCHES}"));
    };
    if !["checker", "plans"].contains(&which.as_str()) {
        return Err(format!("there is no bench {which:?}: {BENCHES}"));
    }
    step(&format!("bench {which}"), || {
        let mut command = cargo(&["run", "--quiet", "--release", "-p", "benches", "--bin"]);
        run(command.arg(which).arg("--").args(rest))
    })
}

const BENCHES: &str = "checker [--histories DIR] or plans [--cases N] [--seeds N]";
