//! `cargo xtask measure`: the project's figures.

use crate::Outcome;
use crate::run::{cargo, run, step};
use crate::servers;

/// Builds in release, provides the server and measures; arguments choose what.
pub(crate) fn measure(arguments: &[String]) -> Outcome {
    step("release build", || {
        run(&mut cargo(&[
            "build",
            "--release",
            "-p",
            "examples",
            "--examples",
        ]))?;
        run(&mut cargo(&[
            "build",
            "--release",
            "-p",
            "benches",
            "--bins",
        ]))
    })?;
    let environment = servers::provide()?;
    step("measurements (about six minutes)", || {
        let mut command = cargo(&["run", "--quiet", "--release", "-p", "benches", "--bin"]);
        command.arg("measure").arg("--").args(arguments);
        run(command.envs(environment))
    })
}
