//! `cargo xtask features`: each set of features of distributed-mutex builds, and what each brings.

use std::collections::BTreeSet;

use crate::Outcome;
use crate::run::{cargo, note, output, run};

/// Checks no feature, each alone, and all together; `all` checks every set there is, `table` prints
/// how many crates each feature builds.
pub(crate) fn features(arguments: &[String]) -> Outcome {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] => check_all(few()),
        ["all"] => check_all(every()),
        ["table"] => table(),
        _ => Err("usage: cargo xtask features [all|table]".to_owned()),
    }
}

/// As in the crate's manifest; one that is missing here is an error of [`known`].
const FEATURES: [&str; 8] = [
    "memory",
    "metrics",
    "postgres",
    "postgres-rustls",
    "redis",
    "redis-cluster",
    "redis-rustls",
    "sqlite",
];

/// The features that the crate's manifest has are the ones that we know.
fn known() -> Outcome {
    let path = "distributed-mutex/Cargo.toml";
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot read {path}: {e}"))?;
    let section = text.split("[features]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let names: BTreeSet<&str> = section
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('=').map(|(name, _)| name.trim()))
        .filter(|name| *name != "default")
        .collect();
    if names == BTreeSet::from(FEATURES) {
        Ok(())
    } else {
        Err(format!(
            "{path} has other features than xtask/src/features.rs"
        ))
    }
}

fn few() -> Vec<String> {
    let mut sets = vec![String::new(), FEATURES.join(",")];
    sets.extend(FEATURES.map(str::to_owned));
    sets
}

/// Every set in which no feature stands that another brings with it anyway.
fn every() -> Vec<String> {
    let implied = [
        ("postgres-rustls", "postgres"),
        ("redis-cluster", "redis"),
        ("redis-rustls", "redis"),
    ];
    let sets = (0_u32..1 << FEATURES.len()).map(|bits| {
        let is_in = |(at, _): &(usize, &&str)| bits >> at & 1 == 1;
        let set = FEATURES.iter().enumerate().filter(is_in);
        set.map(|(_, name)| *name).collect::<Vec<_>>()
    });
    sets.filter(|set| {
        let both = |(more, less): &(&str, &str)| set.contains(more) && set.contains(less);
        !implied.iter().any(both)
    })
    .map(|set| set.join(","))
    .collect()
}

fn check_all(sets: Vec<String>) -> Outcome {
    known()?;
    for set in &sets {
        let words = ["clippy", "--quiet", "-p", "distributed-mutex", "--lib"];
        let features = ["--no-default-features", "--features", set];
        run(cargo(&words).args(features).args(["--", "-D", "warnings"]))
            .map_err(|e| format!("with the features '{set}': {e}"))?;
    }
    note(&format!(
        "{} sets of features build without a warning",
        sets.len()
    ));
    Ok(())
}

fn table() -> Outcome {
    known()?;
    println!("| features | crates built, this one included |\n|---|---|");
    for set in few() {
        let name = match set.as_str() {
            "" => "none".to_owned(),
            set => set
                .split(',')
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", "),
        };
        println!("| {name} | {} |", crates(&set)?);
    }
    Ok(())
}

/// How many crates a user of these features builds, build scripts and macros included.
fn crates(set: &str) -> Result<usize, String> {
    let mut words = vec!["tree", "-p", "distributed-mutex", "-e", "normal,build"];
    words.extend([
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--no-default-features",
    ]);
    words.extend(["--features", set]);
    let text = output("cargo", &words).ok_or("`cargo tree` failed")?;
    let names = text.lines().filter_map(|line| line.split(" (").next());
    Ok(names.collect::<BTreeSet<_>>().len())
}

#[cfg(test)]
mod tests {
    use super::every;

    #[test]
    fn every_set_of_features_that_differs_is_there_once() {
        let sets = every();
        // memory, metrics and sqlite on or off; PostgreSQL off, on or with TLS; Redis off, on, or with one of
        // two more, or both.
        assert_eq!(sets.len(), 2 * 2 * 2 * 3 * 5);
        assert!(sets.iter().any(String::is_empty));
    }
}
