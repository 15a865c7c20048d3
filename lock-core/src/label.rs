//! [`Label`]: who holds a lock, for the humans who ask.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::name::write_escaped;

/// A text about the holder, stored with the lease and shown by `inspect`; it decides nothing.
///
/// At most [`Label::MAX_BYTES`] bytes. `Display` escapes control characters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Label(Arc<str>);

impl Label {
    /// The longest label, in bytes of UTF-8.
    pub const MAX_BYTES: usize = 256;

    /// Checks a label.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if it is longer than [`Label::MAX_BYTES`].
    pub fn new(text: impl AsRef<str>) -> Result<Self, Error> {
        let text = text.as_ref();
        if text.len() > Self::MAX_BYTES {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "a holder's label is at most {} bytes long, and this one has {}",
                    Self::MAX_BYTES,
                    text.len()
                ),
            ));
        }
        Ok(Self(Arc::from(text)))
    }

    /// The label of this process: `host=web-3 pid=4711 program=shop`.
    ///
    /// A host name and a program's name that are too long are cut.
    #[must_use]
    pub fn of_this_process() -> Self {
        let system = rustix::system::uname();
        let program = std::env::args_os().next().unwrap_or_default();
        let program = Path::new(&program).file_name().unwrap_or_default();
        let parts = LabelParts {
            // A host name has at most 64 bytes on Linux and 255 elsewhere.
            host: Some(cut(&system.nodename().to_string_lossy(), 64)),
            pid: Some(std::process::id()),
            program: Some(cut(&program.to_string_lossy(), 32)).filter(|p| !p.is_empty()),
            text: None,
            trace: None,
        };
        parts.to_label()
    }

    /// The same with a text of its own, such as what the lock is held for. What does not fit into
    /// [`Label::MAX_BYTES`] is cut off.
    ///
    /// # Examples
    /// ```
    /// use lock_core::Label;
    ///
    /// let label = Label::of_this_process().with_text("nightly report");
    /// assert_eq!(label.parts().text.as_deref(), Some("nightly report"));
    /// assert_eq!(label.parts().pid, Some(std::process::id()));
    /// ```
    #[must_use]
    pub fn with_text(&self, text: &str) -> Self {
        let mut parts = self.parts();
        parts.text = Some(text.to_owned());
        parts.to_label()
    }

    /// The same with the trace context of the holder, as W3C's `traceparent` has it, so that who
    /// waits can look at what the holder is doing. One of more than 64 bytes is left out.
    #[must_use]
    pub fn with_trace(&self, trace: &str) -> Self {
        let mut parts = self.parts();
        parts.trace = Some(trace.to_owned()).filter(|trace| trace.len() <= TRACE_MAX);
        parts.to_label()
    }

    /// What the label says, taken apart.
    #[must_use]
    pub fn parts(&self) -> LabelParts {
        LabelParts::of(&self.0)
    }

    /// The text as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(&self.0, f)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// What a label says, field by field, for display: `key=value` pairs with spaces between, values with
/// spaces in double quotes.
///
/// # Examples
/// ```
/// use lock_core::LabelParts;
///
/// let parts = LabelParts::of("host=web-3 pid=4711 program=dlock text=\"nightly report\"");
/// assert_eq!(parts.host.as_deref(), Some("web-3"));
/// assert_eq!(parts.to_string(), "web-3 pid 4711 (dlock): nightly report");
/// // A label of another form is a text.
/// assert_eq!(LabelParts::of("worker 7").to_string(), "worker 7");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LabelParts {
    /// The machine.
    pub host: Option<String>,
    /// The process on it.
    pub pid: Option<u32>,
    /// The program's file name.
    pub program: Option<String>,
    /// What the holder says of itself; all of a label that has not this form.
    pub text: Option<String>,
    /// The holder's trace context.
    pub trace: Option<String>,
}

impl LabelParts {
    /// Takes a label apart. Nothing is refused: what has not the form is a text.
    #[must_use]
    pub fn of(label: &str) -> Self {
        Self::parse(label).unwrap_or_else(|| Self {
            text: Some(label.to_owned()).filter(|text| !text.is_empty()),
            ..Self::default()
        })
    }

    fn parse(label: &str) -> Option<Self> {
        let mut parts = Self::default();
        let mut rest = label;
        while !rest.is_empty() {
            let (key, after) = rest.split_once('=')?;
            let (value, after) = unquoted(after)?;
            rest = after;
            match key {
                "host" => parts.host = Some(value),
                "pid" => parts.pid = Some(value.parse().ok()?),
                "program" => parts.program = Some(value),
                "text" => parts.text = Some(value),
                "trace" => parts.trace = Some(value),
                _ => return None,
            }
        }
        Some(parts)
    }

    /// Writes the label; its text is cut so that it fits.
    fn to_label(&self) -> Label {
        let pid = self.pid.map(|pid| pid.to_string());
        let fields = |text: Option<&str>| {
            let fields = [
                ("host", self.host.as_deref()),
                ("pid", pid.as_deref()),
                ("program", self.program.as_deref()),
                ("text", text),
                ("trace", self.trace.as_deref()),
            ];
            let fields = fields
                .iter()
                .filter_map(|(key, value)| Some((key, (*value)?)));
            let written: Vec<String> = fields
                .map(|(key, value)| format!("{key}={}", quoted(value)))
                .collect();
            written.join(" ")
        };
        let mut text = self.text.clone();
        loop {
            let label = fields(text.as_deref());
            if label.len() <= Label::MAX_BYTES {
                return Label(Arc::from(label));
            }
            match &mut text {
                Some(long) if !long.is_empty() => {
                    let _last = long.pop();
                }
                // Without a text it is shorter than the bound by far, but for odd names of hosts.
                _ => return Label(Arc::from(cut(&label, Label::MAX_BYTES))),
            }
        }
    }
}

/// For people; control characters are escaped.
impl fmt::Display for LabelParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = Vec::new();
        words.extend(self.host.clone());
        words.extend(self.pid.map(|pid| format!("pid {pid}")));
        words.extend(self.program.as_ref().map(|program| format!("({program})")));
        write_escaped(&words.join(" "), f)?;
        let Some(text) = &self.text else {
            return Ok(());
        };
        if !words.is_empty() {
            f.write_str(": ")?;
        }
        write_escaped(text, f)
    }
}

fn quoted(value: &str) -> String {
    let is_plain = |c: char| !(c.is_whitespace() || c == '"' || c == '\\' || c == '=');
    if !value.is_empty() && value.chars().all(is_plain) {
        return value.to_owned();
    }
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

/// The value at the head of a text, and what stands behind the space after it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let Some(inner) = text.strip_prefix('"') else {
        let (value, rest) = text.split_once(' ').unwrap_or((text, ""));
        return Some((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = inner.chars();
    loop {
        match chars.next()? {
            '"' => break,
            '\\' => value.push(chars.next()?),
            c => value.push(c),
        }
    }
    let rest = chars.as_str();
    if rest.is_empty() {
        return Some((value, rest));
    }
    Some((value, rest.strip_prefix(' ')?))
}

/// The first bytes of a text, whole characters only.
fn cut(text: &str, bytes_max: usize) -> String {
    let mut text = text.to_owned();
    while text.len() > bytes_max {
        let _last = text.pop();
    }
    text
}

/// A `traceparent` has 55 bytes.
const TRACE_MAX: usize = 64;

#[cfg(test)]
mod tests;
