//! `cargo xtask measure`: the project's figures.

use crate::Outcome;
use crate::run::{cargo, run, step};
use crate::servers;

/// Builds in release, provides the servers and measures; arguments choose what.
pub(crate) fn measure(arguments: &[String]) -> Outcome {
    let (suites, others): (Vec<_>, Vec<_>) =
        arguments.iter().partition(|name| *name == "conformance");
    let environment = servers::provide()?;
    if !others.is_empty() || arguments.is_empty() {
        step("release build", build)?;
        step("measurements (about 12 minutes for all)", || {
            let mut command = cargo(&["run", "--quiet", "--release", "-p", "benches", "--bin"]);
            command.arg("measure").arg("--").args(others);
            run(command.envs(environment.clone()))
        })?;
    }
    if suites.is_empty() && !arguments.is_empty() {
        return Ok(());
    }
    for (store, package) in SUITES {
        let mut words = vec!["test", "--release", "-p", package, "--test", "conformance"];
        words.push("--no-run");
        step(&format!("release build of the suite on {store}"), || {
            run(&mut cargo(&words))
        })?;
        // The suite says itself how many cases passed, and how long it took.
        words.pop();
        step(&format!("conformance on {store}"), || {
            run(cargo(&words).envs(environment.clone()))
        })?;
    }
    Ok(())
}

/// Each backend's run of the one suite.
const SUITES: [(&str, &str); 4] = [
    ("memory", "lock-testkit"),
    ("sqlite", "lock-sqlite"),
    ("redis", "lock-redis"),
    ("postgres", "lock-postgres"),
];

fn build() -> Outcome {
    let examples = ["-p", "examples", "--examples", "--features", "postgres"];
    for words in [&examples[..], &["-p", "benches", "--bins"]] {
        run(cargo(&["build", "--release"]).args(words))?;
    }
    Ok(())
}
