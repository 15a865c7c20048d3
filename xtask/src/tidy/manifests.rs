//! Crates of the workspace depend only on crates that they may know.

use super::layers::CRATES;
use super::{Source, numbered};

/// The findings in the crates' manifests.
pub(super) fn check(files: &[Source]) -> Vec<String> {
    // A crate stands at the root, or below the examples; third parties are no crates of ours.
    let manifest = |file: &&Source| {
        let folder = file.path.strip_suffix("/Cargo.toml");
        folder.is_some_and(|folder| {
            let name = folder.strip_prefix("examples/").unwrap_or(folder);
            !name.contains('/')
        })
    };
    let members: Vec<&str> = files
        .iter()
        .filter(manifest)
        .filter_map(|file| file.path.strip_suffix("/Cargo.toml"))
        .collect();
    files
        .iter()
        .filter(manifest)
        .flat_map(|file| check_one(file, &members))
        .collect()
}

fn check_one(file: &Source, members: &[&str]) -> Vec<String> {
    let name = file.path.trim_end_matches("/Cargo.toml");
    let Some(rule) = CRATES.iter().find(|rule| rule.name == name) else {
        return vec![format!(
            "{}:1: crate {name} has no rule: add it to xtask/src/tidy/layers.rs",
            file.path
        )];
    };
    let mut findings = Vec::new();
    let mut section = String::new();
    for (line, text) in numbered(&file.text) {
        let text = text.split('#').next().unwrap_or_default().trim();
        if let Some(head) = text.strip_prefix('[') {
            section = head.trim_end_matches(']').to_owned();
            // `[dependencies.lock-core]` is a section of its own.
            if let Some((kind, dependency)) = section.clone().rsplit_once("dependencies.") {
                let kind = format!("{kind}dependencies");
                findings.extend(judge(rule, members, &kind, dependency, &file.path, line));
            }
            continue;
        }
        let key = text.split(['=', '.', ' ']).next().unwrap_or_default();
        findings.extend(judge(rule, members, &section, key, &file.path, line));
    }
    findings
}

fn judge(
    rule: &super::layers::Crate,
    members: &[&str],
    section: &str,
    dependency: &str,
    path: &str,
    line: usize,
) -> Option<String> {
    let is_dev = section.ends_with("dev-dependencies");
    let concerns_us = section.ends_with("dependencies") && members.contains(&dependency);
    let is_allowed = rule.dependencies.contains(&dependency)
        || (is_dev && rule.dev_dependencies.contains(&dependency));
    (concerns_us && !is_allowed).then(|| {
        format!(
            "{path}:{line}: {} must not depend on {dependency}",
            rule.name
        )
    })
}
