//! `cargo xtask test`: servers, then tests.

use std::process::Command;

use crate::Outcome;
use crate::image;
use crate::run::{apt_install, cargo, note, on_path, run, step, succeeds};

/// Provides the servers and runs the tests; arguments go to the test runner.
pub(crate) fn test(arguments: &[String]) -> Outcome {
    let environment = servers()?;
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

/// Provides the servers, and returns the variables that tell the testkit of them.
pub(crate) fn servers() -> Result<Vec<(&'static str, String)>, String> {
    let mut environment = Vec::new();
    step("Redis for the tests", || {
        environment = redis()?;
        Ok(())
    })?;
    Ok(environment)
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

/// Makes sure that there is a Redis, as the environment asks or as the machine can, and returns the
/// variables that tell the tests of it.
fn redis() -> Result<Vec<(&'static str, String)>, String> {
    let choice = std::env::var(REDIS).unwrap_or_default();
    match choice.as_str() {
        "container" => container(),
        "process" => process(),
        "url" => {
            note("a server given by URL: tests that control their server will fail");
            Ok(Vec::new())
        }
        "" => {
            if !succeeds("docker", &["info"]) {
                note("no container engine answers: tests run local servers");
                return process();
            }
            container().or_else(|e| {
                note(&format!("{e}; tests run local servers instead"));
                process()
            })
        }
        other => Err(format!(
            "{REDIS} is {other:?}: it must be container, process or url"
        )),
    }
}

fn container() -> Result<Vec<(&'static str, String)>, String> {
    let image = image::provide()?;
    note(&format!(
        "each test runs its Redis in a container of {image}"
    ));
    Ok(vec![
        (REDIS, "container".to_owned()),
        ("LOCK_TESTKIT_REDIS_IMAGE", image),
    ])
}

fn process() -> Result<Vec<(&'static str, String)>, String> {
    let given = std::env::var_os("LOCK_TESTKIT_REDIS_SERVER").is_some();
    if !given && !on_path("redis-server") && !on_path("valkey-server") {
        apt_install("redis-server")
            .map_err(|e| format!("no Redis for the tests: start a container engine, or {e}"))?;
    }
    note("each test runs its own local redis-server");
    Ok(vec![(REDIS, "process".to_owned())])
}

const REDIS: &str = "LOCK_TESTKIT_REDIS";
