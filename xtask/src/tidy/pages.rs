//! The pages of the backends have the same headings, name every statement and script that their
//! backend runs, and link to nothing that is not there.

use super::{Source, numbered};

/// The findings in all pages.
pub(super) fn check(files: &[Source]) -> Vec<String> {
    let pages = files.iter().filter(|file| {
        file.path.starts_with(FOLDER)
            && file.path.ends_with(".md")
            && !file.path.ends_with("/README.md")
    });
    pages.flat_map(|page| check_one(page, files)).collect()
}

fn check_one(page: &Source, files: &[Source]) -> Vec<String> {
    let path = &page.path;
    let mut findings = Vec::new();
    let headings: Vec<&str> = page
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    if headings != HEADINGS {
        findings.push(format!(
            "{path}:1: its headings are not those of each backend: {}",
            HEADINGS.join(", ")
        ));
    }
    for (line, text) in numbered(&page.text) {
        // What stands between `](../../` and `)` is a file of ours.
        for link in text.split("](../../").skip(1) {
            let target = link.split([')', '#']).next().unwrap_or_default();
            if !files.iter().any(|file| file.path == target) {
                findings.push(format!("{path}:{line}: there is no file {target}"));
            }
        }
    }
    let store = path.trim_start_matches(FOLDER).trim_end_matches(".md");
    let sources = format!("lock-{store}/src/");
    for file in files {
        let is_step = file.path.ends_with(".lua") || file.path.ends_with(".sql");
        let link = format!("](../../{})", file.path);
        if file.path.starts_with(&sources) && is_step && !page.text.contains(&link) {
            findings.push(format!("{path}:1: it does not show {}", file.path));
        }
    }
    findings
}

const FOLDER: &str = "docs/backends/";

const HEADINGS: [&str; 6] = [
    "When to choose it",
    "How it works",
    "Options",
    "What survives",
    "What does not",
    "Limits",
];
