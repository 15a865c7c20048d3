//! The tests that the documents name exist.
//!
//! A test is named in backticks by its file and function: `lock-redis/tests/it/x.rs` and the name
//! with `::` between them. A case that a macro stamps out is named where its function stands. A
//! case of the conformance suite, which every backend runs, is named by its id. A line that begins
//! with `test:` (behind a list's mark, say) must name at least one.

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
        let spans: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
        let named: Vec<_> = spans
            .iter()
            .filter_map(|span| span.split_once(".rs::"))
            .collect();
        let cases: Vec<&str> = spans.into_iter().filter(|span| is_case(span)).collect();
        let begins = text.trim_start_matches(|c: char| !c.is_alphanumeric());
        if begins.to_ascii_lowercase().starts_with("test:") && named.is_empty() && cases.is_empty()
        {
            found("names no test: write `crate/path/file.rs::name`, or a case's id".to_owned());
        }
        for id in cases {
            let quoted = format!("\"{id}\"");
            let mut suite = files.iter().filter(|file| file.path.starts_with(SUITE));
            if !suite.any(|file| file.text.contains(&quoted)) {
                found(format!("the conformance suite has no case {id}"));
            }
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

/// Whether it has the form of a case's id.
fn is_case(span: &str) -> bool {
    let group = span.split_once('/').map(|(group, _)| group);
    let is_group = matches!(group, Some("claims" | "client" | "plans" | "steps"));
    is_group && !span.contains(['.', ' '])
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

/// Where the cases of the conformance suite are.
const SUITE: &str = "lock-testkit/src/conformance/";
