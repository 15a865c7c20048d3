//! What answers say of an operation.

use lock_core::{Effect, Error, State};

use crate::history::Outcome;

/// The outcome of a step that failed.
pub(super) fn of_failure(error: &Error) -> Outcome {
    if error.effect() == Effect::NotApplied {
        Outcome::NotApplied
    } else {
        Outcome::Unknown
    }
}

/// A value as histories keep it: the text, or a hash of bytes that are none.
pub(super) fn text_of(state: &State) -> String {
    let bytes = state.bytes();
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("{} bytes, FNV-1a {:016x}", bytes.len(), hash(bytes)),
    }
}

/// The 64-bit FNV-1a hash, which is the same in every run.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
