//! `cargo xtask soak`: the conformance suite with new plans for as long as one likes.

use crate::Outcome;
use crate::run::{cargo, run, step};
use crate::servers;

/// Provides the servers and runs the suite's profile `soak` on one backend after the other.
pub(crate) fn soak(arguments: &[String]) -> Outcome {
    let (mut minutes, mut backends) = (60_u64, Vec::new());
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--minutes" => {
                let number = words.next().and_then(|n| n.parse().ok());
                minutes = number.ok_or("--minutes needs a number")?;
            }
            name => backends.push(package(name)?),
        }
    }
    if backends.is_empty() {
        backends = BACKENDS.iter().map(|(_, package)| *package).collect();
    }
    let environment = servers::provide()?;
    for package in backends {
        step(&format!("{package} for {minutes} minutes"), || {
            let words = ["test", "--release", "--test", "conformance", "-p", package];
            let mut command = cargo(&words);
            command.args(["--", "plans"]);
            command.env("LOCK_TESTKIT_PROFILE", "soak");
            command.env("LOCK_TESTKIT_MINUTES", minutes.to_string());
            run(command.envs(environment.iter().cloned()))
        })?;
    }
    Ok(())
}

fn package(name: &str) -> Result<&'static str, String> {
    let found = BACKENDS.iter().find(|(backend, _)| *backend == name);
    found.map(|(_, package)| *package).ok_or_else(|| {
        let names: Vec<&str> = BACKENDS.iter().map(|(backend, _)| *backend).collect();
        format!(
            "there is no backend {name:?} to soak: it is one of {}",
            names.join(", ")
        )
    })
}

/// The backends that have a conformance test, and where.
const BACKENDS: [(&str, &str); 4] = [
    ("memory", "lock-testkit"),
    ("redis", "lock-redis"),
    ("sqlite", "lock-sqlite"),
    ("postgres", "lock-postgres"),
];
