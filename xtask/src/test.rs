//! `cargo xtask test`: servers, then tests.

use std::process::Command;

use crate::Outcome;
use crate::run::{cargo, note, run, step, succeeds};
use crate::servers;

/// Provides the servers and runs the tests; arguments go to the test runner.
pub(crate) fn test(arguments: &[String]) -> Outcome {
    let environment = servers::provide()?;
    let with_environment = |command: &mut Command| {
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        run(command)
    };
    let nextest = succeeds("cargo", &["nextest", "--version"]);
    let mut words = if nextest {
        vec!["nextest", "run", "--all-features"]
    } else {
        vec!["test", "--lib", "--bins", "--tests", "--all-features"]
    };
    let of_one_package = |argument: &String| argument.starts_with("-p") || argument == "--package";
    if !arguments.iter().any(of_one_package) {
        words.push("--workspace");
    }
    words.extend(arguments.iter().map(String::as_str));
    step(&format!("cargo {}", words.join(" ")), || {
        with_environment(&mut cargo(&words))
    })?;
    if !arguments.is_empty() {
        note("arguments were given, so the tests in documentation are left out");
        return Ok(());
    }
    let words = ["test", "--doc", "--workspace", "--all-features"];
    step(&format!("cargo {}", words.join(" ")), || {
        with_environment(&mut cargo(&words))
    })
}
