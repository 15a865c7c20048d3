//! Operations in a reader's words.

use super::lease::is_grant;
use super::time::Times;
use crate::history::{History, Key, NEVER, Operation, Outcome, Step, Value};

/// Tells of the operations of one history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    pub(super) history: &'a History,
    pub(super) times: Times,
}

impl Words<'_> {
    /// A moment with its unit.
    pub(super) fn at(&self, moment: u64) -> String {
        format!("{} ms", self.times.at(moment))
    }

    /// From when to when.
    pub(super) fn span(&self, of: &Operation) -> String {
        let invoked = self.times.at(of.invoked);
        match of.returned {
            NEVER => format!("from {invoked} ms, never answered"),
            returned => format!("{invoked} to {} ms", self.times.at(returned)),
        }
    }

    /// When its answer came.
    pub(super) fn returned(&self, of: &Operation) -> String {
        match of.returned {
            NEVER => format!("asked at {}, never answered", self.at(of.invoked)),
            returned => format!("returned at {}", self.at(returned)),
        }
    }

    /// "the commit of client 1 under token 7".
    pub(super) fn act(&self, of: &Operation) -> String {
        let who = who(of);
        // The token of a peek is what was read, not what it acted under.
        let under = match (of.step, of.token) {
            (Step::Peek, _) | (_, 0) => String::new(),
            (_, token) => format!(" under token {token}"),
        };
        match (of.step, of.outcome) {
            (Step::Acquire, Outcome::Done) if of.token == 0 => format!("the grant to {who}"),
            (Step::Acquire, Outcome::Done) => {
                format!("the grant of token {} to {who}", of.token)
            }
            (Step::ForceRelease, Outcome::Done) if of.token != 0 => {
                format!("the forced release of token {} by {who}", of.token)
            }
            (step, Outcome::Done) => format!("the {} of {who}{under}", noun(step)),
            (step, Outcome::NotApplied) => format!("the failed {} of {who}{under}", noun(step)),
            (step, Outcome::Refused) => format!("the refused {} of {who}{under}", noun(step)),
            (step, Outcome::Unknown) => {
                format!("the {} of {who}{under}, of unknown outcome,", noun(step))
            }
        }
    }

    /// The same with its times.
    pub(super) fn full(&self, of: &Operation) -> String {
        let act = self.act(of);
        format!("{} ({})", act.trim_end_matches(','), self.span(of))
    }

    /// "token 8 had been granted to client 0 (returned at 80.4 ms)".
    pub(super) fn had(&self, of: &Operation) -> String {
        let (who, token) = (who(of), of.token);
        let when = self.returned(of);
        let what = match (of.step, of.outcome) {
            (Step::Acquire, Outcome::Done) => format!("token {token} had been granted to {who}"),
            (_, Outcome::Refused) => {
                format!(
                    "{who} had been refused a {} under token {token}",
                    noun(of.step)
                )
            }
            (Step::Commit, _) => format!("{who} had committed under token {token}"),
            (Step::CommitRelease, _) => {
                format!("{who} had committed under token {token} and released it")
            }
            (Step::ForceRelease, _) => {
                format!("{who} had ended the lease of token {token} by force")
            }
            (Step::Release, _) => format!("{who} had released token {token}"),
            (Step::Renew, _) => format!("{who} had renewed token {token}"),
            (Step::Acquire | Step::Peek, _) => self.act(of),
        };
        format!("{what} ({when})")
    }

    /// What was read or written: a quoted text, or words for what is none.
    pub(super) fn value(&self, value: Value) -> String {
        match (value, self.history.value_text(value)) {
            (_, Some(text)) => quoted(text),
            (Value::NONE, None) => "nothing".to_owned(),
            (_, None) => "a value that was not recorded".to_owned(),
        }
    }

    /// The name of a lock, quoted.
    pub(super) fn key(&self, key: Key) -> String {
        quoted(self.history.key_name(key))
    }

    /// One operation in a line, with all that is known of it.
    pub(super) fn line(&self, of: &Operation, with_key: bool) -> String {
        let mut text = format!("{}: {}", who(of), noun(of.step));
        if with_key {
            text.push_str(&format!(" of {}", self.key(of.key)));
        }
        if of.token != 0 && !is_grant(of) {
            text.push_str(&format!(", token {}", of.token));
        }
        if of.ttl_ns != 0 && matches!(of.step, Step::Acquire | Step::Renew) {
            text.push_str(&format!(", ttl {}", self.times.length(of.ttl_ns)));
        }
        let is_write = matches!(of.step, Step::Commit | Step::CommitRelease);
        if is_write && of.value != Value::UNSEEN {
            text.push_str(&format!(", value {}", self.value(of.value)));
        }
        let outcome = match (of.step, of.outcome) {
            (Step::Acquire, Outcome::Done) if of.token == 0 => "granted".to_owned(),
            (Step::Acquire, Outcome::Done) => format!("granted token {}", of.token),
            (_, Outcome::Done) => "done".to_owned(),
            (_, Outcome::NotApplied) => "failed without effect".to_owned(),
            (_, Outcome::Refused) => "refused".to_owned(),
            (_, Outcome::Unknown) => "outcome unknown".to_owned(),
        };
        text.push_str(&format!(": {outcome}"));
        if reads(of) && of.value != Value::UNSEEN {
            text.push_str(&format!(", read {}", self.value(of.value)));
        }
        format!("{text} ({})", self.span(of))
    }
}

/// "client 1", or "task 2 of client 1".
pub(super) fn who(of: &Operation) -> String {
    match of.task {
        0 => format!("client {}", of.client),
        task => format!("task {task} of client {}", of.client),
    }
}

/// Whether it was answered with a value.
pub(super) fn reads(of: &Operation) -> bool {
    of.outcome == Outcome::Done && matches!(of.step, Step::Acquire | Step::Peek)
}

pub(super) const fn noun(step: Step) -> &'static str {
    match step {
        Step::Acquire => "acquire",
        Step::Commit => "commit",
        Step::CommitRelease => "commit with release",
        Step::ForceRelease => "forced release",
        Step::Peek => "peek",
        Step::Release => "release",
        Step::Renew => "renewal",
    }
}

/// One word for a box in a lane.
pub(super) const fn verb(step: Step) -> &'static str {
    match step {
        Step::Acquire => "acquire",
        Step::Commit => "commit",
        Step::CommitRelease => "commit+release",
        Step::ForceRelease => "force",
        Step::Peek => "peek",
        Step::Release => "release",
        Step::Renew => "renew",
    }
}

/// A text in quotes, short, and with nothing in it that a terminal acts on.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", shortened(&plain(text), LONGEST))
}

/// A text with nothing in it that a terminal acts on.
pub(super) fn plain(text: &str) -> String {
    text.escape_debug().to_string()
}

/// A text as it is, but on one line and with nothing in it that cannot be seen.
pub(super) fn on_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        let escaped = c.escape_debug();
        match c {
            '\n' | '\r' | '\t' => line.push(' '),
            _ if escaped.len() > 2 => line.extend(escaped),
            '\0' => line.extend(escaped),
            c => line.push(c),
        }
    }
    line
}

/// At most so many characters of a text.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept = text.chars().take(most.saturating_sub(1));
    kept.chain(['…']).collect()
}

/// How much of a name or a value a sentence shows.
const LONGEST: usize = 40;

/// Breaks a text into lines of at most `width` characters; those after the first are indented.
pub(super) fn wrapped(text: &str, width: usize, indent: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    let mut length = 0_usize;
    for word in text.split_whitespace() {
        let mut word = word.to_owned();
        loop {
            let count = word.chars().count();
            let space = usize::from(!line.trim().is_empty());
            if length.saturating_add(space).saturating_add(count) <= width {
                if space == 1 {
                    line.push(' ');
                }
                line.push_str(&word);
                length = length.saturating_add(space).saturating_add(count);
                break;
            }
            if space == 1 {
                lines.push(std::mem::replace(&mut line, indent.to_owned()));
                length = indent.chars().count();
                continue;
            }
            // Longer than a line by itself.
            let room = width.saturating_sub(length).max(1);
            line.extend(word.chars().take(room));
            word = word.chars().skip(room).collect();
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
            length = indent.chars().count();
        }
    }
    if !line.trim().is_empty() {
        lines.push(line);
    }
    lines.join("\n")
}
