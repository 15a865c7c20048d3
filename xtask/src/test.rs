//! `cargo xtask test`: servers, then tests.

use std::process::Command;

use crate::Outcome;
use crate::run::{apt_install, cargo, note, on_path, root, run, step, succeeds};
use crate::servers;

/// Provides the servers and runs the tests; arguments go to the test runner.
pub(crate) fn test(arguments: &[String]) -> Outcome {
    let environment = servers::provide()?;
    step("Chromium for the tests", chromium)?;
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
    let all = arguments.is_empty();
    if all && nextest {
        // It would start a server for each case of the suite: they run below, on one each backend.
        words.extend(["--no-fail-fast", "-E", "not binary(conformance)"]);
    } else if all {
        words.push("--no-fail-fast");
    }
    words.extend(arguments.iter().map(String::as_str));
    step(&format!("cargo {}", words.join(" ")), || {
        with_environment(&mut cargo(&words))
    })?;
    if !all {
        note(
            "arguments were given, so the tests in documentation and of third parties are left out",
        );
        return Ok(());
    }
    if nextest {
        let words = ["test", "--workspace", "--all-features", "--no-fail-fast"];
        step("conformance of each backend", || {
            with_environment(cargo(&words).args(["--test", "conformance"]))
        })?;
    }
    let words = ["test", "--doc", "--workspace", "--all-features"];
    step(&format!("cargo {}", words.join(" ")), || {
        with_environment(&mut cargo(&words))
    })?;
    step("protoc for the crates of third parties", protoc)?;
    // In one folder they share what they have in common.
    let target = root().join("target/third-party");
    for folder in OUTSIDE {
        step(&format!("tests of {folder}"), || {
            let manifest = root().join(folder).join("Cargo.toml");
            let mut command = cargo(&["test", "--manifest-path"]);
            command.arg(manifest).arg("--target-dir").arg(&target);
            with_environment(&mut command)
        })?;
    }
    Ok(())
}

/// What is outside the workspace, each with a lock file: crates as others would write them, and the
/// bench with other people's locks.
const OUTSIDE: [&str; 3] = [
    "examples/third-party/etcd-lock",
    "examples/third-party/rslock-wrapped",
    "benches/contest",
];

/// Makes sure that the build script of the etcd client finds the compiler that it needs.
fn protoc() -> Outcome {
    if std::env::var_os("PROTOC").is_some() || on_path("protoc") {
        return Ok(());
    }
    apt_install("protobuf-compiler").map_err(|e| format!("{e}, or name a protoc in PROTOC"))
}

/// Makes sure that there is a browser in which the page of a report can be tried.
fn chromium() -> Outcome {
    let programs = ["chromium", "chromium-browser", "google-chrome"];
    if std::env::var_os("LOCK_TESTKIT_CHROMIUM").is_some() || programs.into_iter().any(on_path) {
        return Ok(());
    }
    apt_install("chromium")
        .map_err(|e| format!("no browser for the tests: {e}, or name one in LOCK_TESTKIT_CHROMIUM"))
}
