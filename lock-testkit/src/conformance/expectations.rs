//! [`Expectations`]: what a backend's author expects of single cases, in a file beside the tests.

use std::collections::BTreeMap;

use crate::SetupError;

/// What is expected of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expectation {
    /// That it fails, for this reason. If it passes, that is an error, so that the line goes.
    Fail(String),
    /// That it passes. If it is not applicable, that is an error.
    Pass,
    /// Nothing: it is not run, for this reason.
    Skip(String),
}

/// What is expected of cases, by their ids. Nothing said means that a case passes or is not
/// applicable.
///
/// # Examples
/// ```
/// use lock_testkit::conformance::{Expectation, Expectations};
///
/// let text = "
/// ## Known since 0.3.
/// steps/a-value-of-a-mebibyte-is-kept = fail: rows are limited to 64 KiB
/// plans/failover = skip: one node only
/// ";
/// let expected = Expectations::parse(&text.replace("##", "#"))?;
/// let skip = Expectation::Skip("one node only".to_owned());
/// assert_eq!(expected.of("plans/failover"), Some(&skip));
/// # Ok::<(), lock_testkit::SetupError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectations {
    by_id: BTreeMap<String, Expectation>,
}

impl Expectations {
    /// Reads the text of an expectation file: a line each, `id = pass`, `id = fail: reason` or
    /// `id = skip: reason`; empty lines and such that begin with `#` are passed over.
    ///
    /// # Errors
    /// If a line is not of this form, gives no reason, or names a case that does not exist or that
    /// another line names.
    pub fn parse(text: &str) -> Result<Self, SetupError> {
        let known = super::ids();
        let mut by_id = BTreeMap::new();
        for (number, line) in (1_u32..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = |what: &str| {
                Err(SetupError::new(format!(
                    "line {number} of the expectations {what}: {line:?}"
                )))
            };
            let Some((id, expected)) = line.split_once(" = ") else {
                return bad("is not like `id = pass`, `id = fail: reason` or `id = skip: reason`");
            };
            let (id, expected) = (id.trim(), expected.trim());
            let expectation = match expected.split_once(':') {
                None if expected == "pass" => Expectation::Pass,
                Some(("fail" | "skip", reason)) if reason.trim().is_empty() => {
                    return bad("gives no reason");
                }
                Some(("fail", reason)) => Expectation::Fail(reason.trim().to_owned()),
                Some(("skip", reason)) => Expectation::Skip(reason.trim().to_owned()),
                None if matches!(expected, "fail" | "skip") => return bad("gives no reason"),
                _ => return bad("expects neither `pass` nor `fail: reason` nor `skip: reason`"),
            };
            if !known.contains(&id) {
                return bad("names a case that does not exist");
            }
            if by_id.insert(id.to_owned(), expectation).is_some() {
                return bad("names a case for the second time");
            }
        }
        Ok(Self { by_id })
    }

    /// What is expected of this case, if anything was said.
    #[must_use]
    pub fn of(&self, id: &str) -> Option<&Expectation> {
        self.by_id.get(id)
    }
}
