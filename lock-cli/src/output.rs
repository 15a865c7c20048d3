//! What is printed: results on the standard output, everything else on the standard error.
//!
//! A pipe whose reader has gone is no error and no panic: there is nobody left to tell.

use std::error::Error as StdError;
use std::fmt;
use std::io::{self, IsTerminal, Write};

use distributed_mutex::Error;
use serde::Serialize;

use crate::codes;

/// Prints a result; ends the process as a program that SIGPIPE ended where nobody reads any more.
pub(crate) fn print(text: impl fmt::Display) {
    let mut out = io::stdout().lock();
    let written = write!(out, "{text}").and_then(|()| out.flush());
    match written {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
            std::process::exit(i32::from(codes::of_signal(SIGPIPE)));
        }
        Err(e) => {
            complain(format_args!("cannot write the result: {e}"));
            std::process::exit(i32::from(codes::SOFTWARE));
        }
    }
}

const SIGPIPE: i32 = 13;

/// Prints JSON in which every control character is escaped, also those that JSON allows.
pub(crate) fn print_json(value: &impl Serialize) {
    let text = match serde_json::to_string_pretty(value) {
        Ok(text) => text,
        Err(e) => {
            complain(format_args!("cannot write the result: {e}"));
            std::process::exit(i32::from(codes::SOFTWARE));
        }
    };
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        // Between strings there is no other than this.
        if c.is_control() && c != '\n' {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    print(format_args!("{escaped}\n"));
}

/// Says something that is no result, on the standard error.
pub(crate) fn complain(text: impl fmt::Display) {
    // Where even that cannot be written, nobody is there to be told.
    let _told = writeln!(io::stderr().lock(), "dlock: {text}");
}

/// Says what went wrong and why, and returns the exit code for it.
pub(crate) fn failed(error: &Error) -> u8 {
    complain(Escaped(&whole(error)));
    codes::of(error)
}

/// An error with its causes.
pub(crate) fn whole(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        let more = e.to_string();
        // Some causes repeat what stands above them.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = e.source();
    }
    text
}

/// A text that came from elsewhere: control characters are shown and not obeyed.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

/// Whether the standard output is coloured: a terminal, and `NO_COLOR` is not set.
pub(crate) fn is_coloured() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    io::stdout().is_terminal() && !unwanted
}

/// How a word stands out on a terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Style {
    Bad,
    Bold,
    Good,
    Warn,
}

/// The text in its style, where colours are wanted.
pub(crate) fn styled(style: Style, text: &str) -> String {
    if !is_coloured() {
        return text.to_owned();
    }
    let code = match style {
        Style::Bad => 31,
        Style::Bold => 1,
        Style::Good => 32,
        Style::Warn => 33,
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// Lines whose columns are aligned; the first is the head. The last column is not padded.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|i| {
            let cells = rows.iter().filter_map(|row| row.get(i));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            let gap = width.saturating_sub(cell.chars().count()).saturating_add(2);
            line.extend(std::iter::repeat_n(' ', gap));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
