//! `cargo xtask zoo`: what catches each broken lock.

use std::fs;
use std::process::Stdio;

use crate::Outcome;
use crate::run::{cargo, note, run, step};

/// Where the table is kept.
const PAGE: &str = "docs/zoo.md";

/// Builds in release and runs the zoo with these words; its page goes where it is kept.
pub(crate) fn zoo(arguments: &[String]) -> Outcome {
    step("release build", || {
        run(&mut cargo(&["build", "--release", "-p", "lock-zoo"]))
    })?;
    let mut command = cargo(&["run", "--quiet", "--release", "-p", "lock-zoo", "--bin"]);
    command.arg("zoo").arg("--").args(arguments);
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
