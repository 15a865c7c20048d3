//! [`Case`]: one thing that is proved, and what comes of it.

use std::fmt;

use futures_util::future::BoxFuture;

use super::stage::Stage;
use crate::SetupError;

/// One thing that is proved.
#[derive(Clone, Copy)]
pub(super) struct Case {
    pub(super) id: &'static str,
    pub(super) run: fn(Stage) -> BoxFuture<'static, Ran>,
}

/// What comes of a case.
pub(super) type Ran = Result<Outcome, Broken>;

/// What comes of a case that does not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// What the case looks for is not declared, and is not there.
    Absent(String),
    /// It cannot be run here.
    NotApplicable(String),
    /// It holds; with what is worth saying.
    Passed(Option<String>),
}

/// It holds, and there is nothing to say.
pub(super) const HOLDS: Ran = Ok(Outcome::Passed(None));

/// What is wrong.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) message: String,
}

impl Broken {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

impl From<lock_core::Error> for Broken {
    fn from(error: lock_core::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(source) = cause {
            message.push_str(&format!(": {source}"));
            cause = source.source();
        }
        Self { message }
    }
}

impl From<SetupError> for Broken {
    fn from(error: SetupError) -> Self {
        Self::new(format!("{error:?}"))
    }
}

/// Fails with this message unless it is so.
pub(super) fn ensure(is_so: bool, message: impl FnOnce() -> String) -> Result<(), Broken> {
    if is_so {
        Ok(())
    } else {
        Err(Broken::new(message()))
    }
}

/// Fails unless both are equal, and shows them.
pub(super) fn same<T: PartialEq + fmt::Debug>(
    what: &str,
    found: &T,
    expected: &T,
) -> Result<(), Broken> {
    ensure(found == expected, || {
        format!("{what}: expected {expected:?}, found {found:?}")
    })
}

/// A case of this id: `case!("group/sentence", function)`.
macro_rules! case {
    ($id:literal, $run:path) => {
        $crate::conformance::case::Case {
            id: $id,
            run: |stage| Box::pin($run(stage)),
        }
    };
}
pub(super) use case;
