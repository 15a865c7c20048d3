//! `cargo xtask zoo`: what catches each broken lock.

use std::fs;
use std::process::Stdio;

use crate::Outcome;
use crate::run::{cargo, note, run, step};
use crate::servers;

/// Where the table is kept.
const PAGE: &str = "docs/zoo.md";

/// Builds in release and runs the zoo with these words; its page goes where it is kept. Locks on real
/// servers get theirs.
pub(crate) fn zoo(arguments: &[String]) -> Outcome {
    step("release build", || {
        run(&mut cargo(&["build", "--release", "-p", "lock-zoo"]))
    })?;
    let is_served = ["--served", "--repeat"];
    let is_served = arguments
        .iter()
        .any(|word| is_served.contains(&word.as_str()));
    let environment = match is_served {
        true => servers::provide()?,
        false => Vec::new(),
    };
    let mut command = cargo(&["run", "--quiet", "--release", "-p", "lock-zoo", "--bin"]);
    command.arg("zoo").arg("--").args(arguments);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    if !arguments.iter().any(|word| word == "--markdown") {
        return run(&mut command);
    }
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("cannot run {command:?}: {e}"))?;
    fs::write(PAGE, &output.stdout).map_err(|e| format!("cannot write {PAGE}: {e}"))?;
    note(&format!("wrote {PAGE}"));
    if output.status.success() {
        Ok(())
    } else {
        Err("not all is as it should be".to_owned())
    }
}
