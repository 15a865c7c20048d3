//! Releases and renewals: whose lease they are about.

use lock_core::{Error, LockName, OwnerId, Release, Renew, Renewal};

use super::super::nanos;
use super::super::outcome::of_failure;
use super::{Ending, Id, Ledger};
use crate::history::{Invocation, Outcome, Step};

/// A release that is under way. Dropped, it stays unknown.
#[must_use]
pub(in super::super) struct GivingUp<'a> {
    ledger: &'a Ledger,
    id: Id,
    sent: u64,
    /// Of the lease whose grant was seen, if there is one.
    seen: Option<Invocation>,
    /// Of a lease whose grant nobody saw, if there may be one.
    unseen: Option<Invocation>,
}

/// A renewal that is under way. Dropped, it stays unknown.
#[must_use]
pub(in super::super) struct Prolonging<'a> {
    ledger: &'a Ledger,
    request: &'a Renew,
    /// Until when the lease is believed in if it is renewed.
    valid_until: u64,
    invocation: Invocation,
}

impl Ledger {
    /// Notes that a release is about to be sent.
    pub(in super::super) fn giving_up(&self, name: &LockName, owner: OwnerId) -> GivingUp<'_> {
        let id = (name.clone(), owner);
        let (sent, seen, unseen) = self.with(&id, |owner| {
            self.disbelieve(owner, name, Ending::GivenUp);
            let sent = self.now();
            let step = Step::Release;
            let seen = owner.token;
            let seen = seen.map(|token| self.begin(owner, name, step, token, 0, None));
            let unseen = owner.may_have_more;
            let unseen = unseen.then(|| self.begin(owner, name, step, 0, 0, None));
            (sent, seen, unseen)
        });
        GivingUp {
            ledger: self,
            id,
            sent,
            seen,
            unseen,
        }
    }

    /// Notes that a renewal is about to be sent.
    pub(in super::super) fn renewal<'a>(&'a self, request: &'a Renew) -> Prolonging<'a> {
        let id = (request.name.clone(), request.owner);
        let ttl_ns = nanos(request.ttl.as_duration());
        let (step, token) = (Step::Renew, request.token.get());
        let valid_until = self.valid_until(request.ttl.as_duration());
        let invocation = self.with(&id, |owner| {
            self.begin(owner, &request.name, step, token, ttl_ns, None)
        });
        Prolonging {
            ledger: self,
            request,
            valid_until,
            invocation,
        }
    }
}

impl GivingUp<'_> {
    pub(in super::super) fn answered(self, answer: &Result<Release, Error>) {
        let ledger = self.ledger;
        let outcome = match answer {
            Ok(Release::Released) => Outcome::Done,
            Ok(_) => Outcome::Refused,
            Err(error) => of_failure(error),
        };
        match (&self.seen, &self.unseen) {
            // It ended one of the two.
            (Some(seen), Some(_)) if outcome == Outcome::Done => ledger.over(seen),
            (Some(seen), _) => ledger.close(seen, outcome),
            // Nobody knew of a lease to be ended.
            (None, None) if outcome == Outcome::Done => self.ended_by_surprise(),
            (None, _) => {}
        }
        if let Some(unseen) = &self.unseen {
            ledger.close(unseen, outcome);
        }
        if matches!(outcome, Outcome::Done | Outcome::Refused) {
            // It wants the lock no more, and nothing is kept for it.
            let place = ledger.with(&self.id, |owner| {
                owner.wait = None;
                owner.place.take()
            });
            if let Some(place) = place {
                ledger.over(&place);
            }
        }
    }

    fn ended_by_surprise(&self) {
        let (ledger, name) = (self.ledger, &self.id.0);
        let step = Step::Release;
        let begin = |owner: &mut super::Owner| ledger.begin(owner, name, step, 0, 0, None);
        let invocation = ledger.with(&self.id, begin);
        ledger.close(&invocation, Outcome::Done);
        let sent = self.sent;
        ledger.recorder.amend(&invocation, |o| o.invoked = sent);
    }
}

impl Prolonging<'_> {
    pub(in super::super) fn answered(self, answer: &Result<Renewal, Error>) {
        let ledger = self.ledger;
        let id = (self.request.name.clone(), self.request.owner);
        ledger.with(&id, |owner| {
            let outcome = match answer {
                Ok(Renewal::Renewed { .. }) => {
                    owner.prolong(self.request.token.get(), ledger.now(), self.valid_until);
                    // A store may go by the owner alone.
                    if owner.may_have_more {
                        Outcome::Unknown
                    } else {
                        Outcome::Done
                    }
                }
                Ok(_) => {
                    let token = self.request.token.get();
                    ledger.disbelieve_in(owner, &self.request.name, token, Ending::Lost);
                    Outcome::Refused
                }
                Err(error) => of_failure(error),
            };
            ledger.close(&self.invocation, outcome);
        });
    }
}
