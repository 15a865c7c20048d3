//! [`Arguments`]: what `cargo test` and `cargo nextest` say on the command line.

use std::path::PathBuf;

use crate::SetupError;

/// What is wanted.
#[derive(Debug)]
pub(super) enum Wish {
    Help,
    List { arguments: Arguments, ignored: bool },
    Run(Arguments),
}

/// Which cases, and where their results go.
#[derive(Clone, Debug, Default)]
pub(super) struct Arguments {
    pub(super) filters: Vec<String>,
    pub(super) skips: Vec<String>,
    pub(super) exact: bool,
    pub(super) threads: Option<usize>,
    pub(super) junit: Option<PathBuf>,
    pub(super) json: Option<PathBuf>,
}

pub(super) const HELP: &str = "\
The conformance suite of lock-testkit.

Usage: [FILTER]... [OPTIONS]

  FILTER             Runs cases whose name contains one of these
  --exact            Filters are whole names
  --skip TEXT        Leaves out cases whose name contains this
  --list             Lists the cases
  --test-threads N   Runs so many cases and plans at once (default 32 and 24: they mostly wait)
  --junit FILE       Writes the results as JUnit XML
  --json FILE        Writes the results as JSON

Environment: LOCK_TESTKIT_PROFILE, _MINUTES, _SEED, _PLAN, _SEEDS_FILE, _EXPECTATIONS, _JUNIT, _JSON.
";

impl Arguments {
    pub(super) fn read(words: impl Iterator<Item = String>) -> Result<Wish, SetupError> {
        let mut arguments = Self::default();
        let (mut list, mut ignored, mut help) = (false, false, false);
        let mut words = words;
        while let Some(word) = words.next() {
            let (option, attached) = match word.split_once('=') {
                Some((option, value)) if option.starts_with("--") => {
                    (option.to_owned(), Some(value.to_owned()))
                }
                _ => (word, None),
            };
            let mut value = || {
                attached
                    .clone()
                    .or_else(|| words.next())
                    .ok_or_else(|| SetupError::new(format!("{option} needs a value")))
            };
            match option.as_str() {
                "--exact" => arguments.exact = true,
                "--help" | "-h" => help = true,
                "--ignored" => ignored = true,
                "--list" => list = true,
                "--json" => arguments.json = Some(value()?.into()),
                "--junit" => arguments.junit = Some(value()?.into()),
                "--skip" => arguments.skips.push(value()?),
                "--test-threads" => {
                    let number = value()?.parse().ok().filter(|n| *n > 0);
                    arguments.threads = Some(number.ok_or_else(|| {
                        SetupError::new("--test-threads needs a number from 1 on")
                    })?);
                }
                // Of the built-in harness, and without a meaning here.
                "--bench" | "--include-ignored" | "--no-capture" | "--nocapture" | "--quiet"
                | "--show-output" | "--test" | "-q" => {}
                "--color" | "--format" | "--logfile" | "-Z" => drop(value()?),
                unknown if unknown.starts_with('-') => {
                    return Err(SetupError::new(format!(
                        "{unknown} is unknown; --help lists what is known"
                    )));
                }
                _ => arguments.filters.push(option),
            }
        }
        Ok(match (help, list) {
            (true, _) => Wish::Help,
            (false, true) => Wish::List { arguments, ignored },
            // No case is marked as ignored, so that only those are none.
            (false, false) if ignored => Wish::List { arguments, ignored },
            (false, false) => Wish::Run(arguments),
        })
    }

    /// Fails where a whole name is that of no case. Names that are no case's by their form belong to
    /// other targets of the same `cargo test`.
    pub(super) fn check(&self, ids: &[&str]) -> Result<(), SetupError> {
        let groups: Vec<&str> = ids.iter().filter_map(|id| id.split('/').next()).collect();
        let is_of_ours = |text: &str| {
            let group = text.split_once('/').map(|(group, _)| group);
            group.is_some_and(|group| groups.contains(&group))
        };
        let wanted = self.filters.iter().filter(|_| self.exact);
        let unknown: Vec<&str> = wanted
            .map(String::as_str)
            .filter(|text| is_of_ours(text) && !ids.contains(text))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        Err(SetupError::new(format!(
            "there is no case {}; --list shows them all",
            unknown.join(", ")
        )))
    }

    /// Whether the case is wanted.
    pub(super) fn selects(&self, id: &str) -> bool {
        let fits = |text: &String| {
            if self.exact {
                id == text
            } else {
                id.contains(text.as_str())
            }
        };
        (self.filters.is_empty() || self.filters.iter().any(fits)) && !self.skips.iter().any(fits)
    }
}

#[cfg(test)]
mod tests;
