//! How names and identifiers are written for the server.

use lock_core::LockName;

/// A text as a column keeps it: the server's texts have no NUL, so it is written `\0`, and a
/// backslash `\\`. Two texts never become the same one, and a prefix stays a prefix.
pub(crate) fn stored(text: &str) -> String {
    if text.contains(['\\', '\0']) {
        text.replace('\\', "\\\\").replace('\0', "\\0")
    } else {
        text.to_owned()
    }
}

/// The text that is kept as this; `None` if no text is.
pub(crate) fn restored(text: &str) -> Option<String> {
    let mut restored = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                '\\' => restored.push('\\'),
                '0' => restored.push('\0'),
                _ => return None,
            },
            c => restored.push(c),
        }
    }
    Some(restored)
}

/// The name that is kept as this; `None` if another program wrote it.
pub(crate) fn name_of(text: &str) -> Option<LockName> {
    LockName::new(restored(text)?).ok()
}

/// An identifier in the server's quotes.
pub(crate) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

#[cfg(test)]
mod tests;
