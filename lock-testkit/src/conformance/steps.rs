//! `steps/…`: the contract of each step, one client after the other.

mod batches;
mod cancel;
mod commit;
mod expiry;
mod grant;
mod idle;
mod late;
mod looking;
mod lost;
mod names;

use super::case::Case;

pub(super) fn cases() -> Vec<Case> {
    let parts = [
        grant::CASES,
        lost::CASES,
        commit::CASES,
        idle::CASES,
        expiry::CASES,
        late::CASES,
        names::CASES,
        looking::CASES,
        batches::CASES,
        cancel::CASES,
    ];
    parts.concat()
}
