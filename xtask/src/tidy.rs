//! `cargo xtask tidy`: the rules that no compiler checks.
//!
//! - [`arrows`]: a module of lock-core uses only layers that its own may use.
//! - [`manifests`]: a crate depends only on crates that it may know.
//! - [`text`]: lengths of files, unfinished code, words that must not be there.
//! - [`pages`]: the pages of the backends have equal headings and show what their backend runs.
//! - [`promises`]: the tests that the documents name exist.
//!
//! What may be used by what is written in [`layers`] and nowhere else.

mod arrows;
mod layers;
mod manifests;
mod pages;
mod promises;
mod text;

use std::fs;
use std::path::Path;

use crate::Outcome;
use crate::run::{note, output};

/// A file of the workspace: its path from the root, with `/`, and its text.
pub(crate) struct Source {
    path: String,
    text: String,
}

/// Checks everything and prints each finding as `path:line: what is wrong`.
pub(crate) fn tidy() -> Outcome {
    let files = files()?;
    let mut findings = arrows::check(&files);
    findings.extend(manifests::check(&files));
    findings.extend(text::check(&files));
    findings.extend(pages::check(&files));
    findings.extend(promises::check(&files));
    if findings.is_empty() {
        note(&format!("{} files are tidy", files.len()));
        return Ok(());
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    Err(format!("{} findings", findings.len()))
}

/// The text files of the workspace that are tracked, or would be.
fn files() -> Result<Vec<Source>, String> {
    let words = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let list = output("git", &words).ok_or("`git ls-files` failed: tidy needs git")?;
    let mut files = Vec::new();
    for path in list.lines() {
        let is_there = Path::new(path).is_file();
        // What is not text is nobody's prose.
        if let (true, Ok(text)) = (is_there, fs::read_to_string(path)) {
            files.push(Source {
                path: path.to_owned(),
                text,
            });
        }
    }
    Ok(files)
}

/// The lines of a file with their numbers, from 1.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

/// A line of Rust without its comment. A `//` within a string counts as a comment too, which is
/// good enough for what is looked for here.
fn code_of(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
