//! The files of a report.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{Report, page};

/// Where a report was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// The report as text.
    pub text: PathBuf,
    /// The whole history, for [`History::read_lines`](crate::history::History::read_lines).
    pub lines: PathBuf,
    /// A page in which to look around in the whole history; it needs no network.
    pub page: PathBuf,
}

impl Report<'_> {
    /// Writes `report.txt`, `history.jsonl` and `report.html` into a folder of its own within
    /// `folder`, named for subject and case. From then on the text names these files too.
    ///
    /// # Errors
    /// What the file system fails with.
    pub fn write(&mut self, folder: impl AsRef<Path>) -> io::Result<Written> {
        let folder = folder.as_ref().join(folder_name(&self.subject, &self.case));
        fs::create_dir_all(&folder)?;
        let written = Written {
            text: folder.join("report.txt"),
            lines: folder.join("history.jsonl"),
            page: folder.join("report.html"),
        };
        self.written = None;
        fs::write(&written.page, page::page(self)?)?;
        let mut lines = BufWriter::new(File::create(&written.lines)?);
        self.history.write_lines(&mut lines)?;
        lines.flush()?;
        self.written = Some(written.clone());
        fs::write(&written.text, self.to_string())?;
        Ok(written)
    }
}

/// A folder's name for a subject and a case, which may be any text. Two that differ only in what a
/// name cannot hold are told apart by a number.
fn folder_name(subject: &str, case: &str) -> String {
    let parts = [subject, case].into_iter().filter(|part| !part.is_empty());
    let whole: Vec<&str> = parts.collect();
    let whole = whole.join("-");
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name = whole.chars().map(|c| if safe(c) { c } else { '_' });
    let name: String = name.take(NAME_LONGEST).collect();
    let name = name.trim_matches('.');
    match name {
        "" if whole.is_empty() => "report".to_owned(),
        name if name == whole => name.to_owned(),
        name => format!("{name}-{:08x}", number_of(&whole)),
    }
}

/// FNV-1a: the same for the same text in every run and on every machine.
fn number_of(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// File systems allow 255 bytes.
const NAME_LONGEST: usize = 100;

#[cfg(test)]
mod tests {
    use super::folder_name;

    #[test]
    fn a_folder_is_named_for_subject_and_case_whatever_they_are() {
        assert_eq!(folder_name("redis", "case-17"), "redis-case-17");
        assert_eq!(folder_name("", ""), "report");
        let hostile = [
            "../../etc",
            "a/b",
            "a\\b",
            "..",
            "\0",
            "é",
            "C:",
            "a b",
            "a?b",
        ];
        for name in hostile {
            let folder = folder_name(name, "");
            let is_plain = folder
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            assert!(
                is_plain && !folder.starts_with('.') && !folder.is_empty(),
                "{folder}"
            );
        }
        assert_ne!(folder_name("a b", ""), folder_name("a?b", ""));
        assert!(folder_name(&"x".repeat(1000), "").len() < 200);
    }
}
