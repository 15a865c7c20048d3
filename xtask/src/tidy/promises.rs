//! The tests that the documents name exist.
//!
//! A test is named in backticks by its file and function: `lock-redis/tests/it/x.rs` and the name
//! with `::` between them. A case that a macro stamps out is named where its function stands. A
//! line that begins with `test:` (behind a list's mark, say) must name at least one.

use super::{Source, numbered};

/// The findings in the document of guarantees, if there is one yet.
pub(super) fn check(files: &[Source]) -> Vec<String> {
    files
        .iter()
        .filter(|file| file.path == DOCUMENT)
        .flat_map(|document| check_one(document, files))
        .collect()
}

fn check_one(document: &Source, files: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for (line, text) in numbered(&document.text) {
        let mut found = |what: String| findings.push(format!("{DOCUMENT}:{line}: {what}"));
        // Every second piece between backticks stands within a pair of them.
        let named: Vec<_> = text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter_map(|span| span.split_once(".rs::"))
            .collect();
        let begins = text.trim_start_matches(|c: char| !c.is_alphanumeric());
        if begins.to_ascii_lowercase().starts_with("test:") && named.is_empty() {
            found("names no test: write `crate/path/file.rs::name`".to_owned());
        }
        for (path, function) in named {
            let path = format!("{path}.rs");
            match files.iter().find(|file| file.path == path) {
                None => found(format!("there is no file {path}")),
                Some(file) if !defines(&file.text, function) => {
                    found(format!("{path} has no test {function}"));
                }
                Some(_) => {}
            }
        }
    }
    findings
}

/// Whether a function of this name is defined, or stamped out by proptest's macro.
fn defines(text: &str, path: &str) -> bool {
    let name = path.rsplit("::").next().unwrap_or(path);
    let definition = format!("fn {name}");
    text.match_indices(&definition).any(|(start, found)| {
        let after = text.get(start + found.len()..).unwrap_or_default();
        after.starts_with(['(', '<'])
    })
}

const DOCUMENT: &str = "docs/guarantees.md";
