//! Commits: attempts with one token and sequence are one operation.

use lock_core::{Commit, Error, Stored, Then};

use super::super::outcome::{of_failure, text_of};
use super::{Broken, Ending, Id, Ledger};
use crate::history::{History, Invocation, Outcome, Step};

/// One commit, over its attempts.
#[derive(Debug)]
pub(super) struct Written {
    invocation: Invocation,
    /// Whether the reply to an attempt is missing.
    is_lost: bool,
    /// When the last attempt was sent, and when its caller went away.
    dropped: Option<(u64, u64)>,
}

impl Written {
    /// The operation, if its caller went away sooner than after so many nanoseconds.
    pub(super) fn broken(&self, history: &History, limit_ns: u64) -> Option<Broken> {
        let (sent, at) = self.dropped?;
        let operation = *history.operations().get(self.invocation.place())?;
        let length = at.saturating_sub(sent).saturating_add(SLACK_NS);
        (length < limit_ns).then_some(Broken { operation, at })
    }
}

/// An attempt that is under way. Dropped, its reply is missing.
#[must_use]
pub(in super::super) struct Writing<'a> {
    ledger: &'a Ledger,
    id: Id,
    commit: (u64, u32),
    sent: u64,
    is_settled: bool,
}

impl Ledger {
    /// Notes that an attempt to commit is about to be sent.
    pub(in super::super) fn writing(&self, request: &Commit) -> Writing<'_> {
        let id = (request.name.clone(), request.owner);
        let token = request.token.get();
        let commit = (token, request.sequence);
        let sent = self.with(&id, |owner| {
            let ends = request.then != Then::Keep;
            if ends {
                self.disbelieve_in(owner, &request.name, token, Ending::GivenUp);
            }
            let sent = self.now();
            if let Some(written) = owner.commits.get_mut(&commit) {
                written.dropped = None;
                self.open(&written.invocation);
                return sent;
            }
            let step = if ends {
                Step::CommitRelease
            } else {
                Step::Commit
            };
            let text = text_of(&request.state);
            let invocation = self.begin(owner, &request.name, step, token, 0, Some(&text));
            let written = Written {
                invocation,
                is_lost: false,
                dropped: None,
            };
            let _new: Option<Written> = owner.commits.insert(commit, written);
            sent
        });
        Writing {
            ledger: self,
            id,
            commit,
            sent,
            is_settled: false,
        }
    }
}

impl Writing<'_> {
    pub(in super::super) fn answered(mut self, answer: &Result<Stored, Error>) {
        self.is_settled = true;
        let ledger = self.ledger;
        ledger.with(&self.id, |owner| {
            if matches!(answer, Ok(Stored::Lost { .. })) {
                ledger.disbelieve_in(owner, &self.id.0, self.commit.0, Ending::Lost);
            }
            let Some(written) = owner.commits.get_mut(&self.commit) else {
                return;
            };
            let outcome = match answer {
                Ok(Stored::Committed { .. }) => Outcome::Done,
                Ok(_) => Outcome::Refused,
                Err(error) => of_failure(error),
            };
            written.is_lost |= outcome == Outcome::Unknown;
            match (outcome, written.is_lost) {
                (Outcome::Done, _) | (_, false) => ledger.close(&written.invocation, outcome),
                // The lease is over, so an earlier attempt was applied by now or never is.
                (Outcome::Refused, true) => ledger.over(&written.invocation),
                (_, true) => {}
            }
        });
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        let now = self.ledger.now();
        self.ledger.with(&self.id, |owner| {
            if let Some(written) = owner.commits.get_mut(&self.commit) {
                written.is_lost = true;
                written.dropped = Some((self.sent, now));
            }
        });
    }
}

/// How far a stamp may be ahead of the clock.
const SLACK_NS: u64 = 1_000_000;
