//! Attempts: which acquire they belong to, and what they may have left behind.

use std::sync::PoisonError;

use lock_core::{Acquire, Acquisition, Error, Grant};

use super::super::nanos;
use super::super::outcome::{of_failure, text_of};
use super::{Ending, Id, Ledger, Owner};
use crate::history::{Invocation, NEVER, Outcome, Step, Value};

/// The attempts of an owner that led to no grant yet.
#[derive(Debug)]
pub(super) struct Wait {
    invocation: Invocation,
    /// When the first attempt was sent whose reply is missing.
    lost: Option<u64>,
}

/// An attempt that is under way. Dropped, its reply is missing.
#[must_use]
pub(in super::super) struct Attempt<'a> {
    ledger: &'a Ledger,
    id: Id,
    request: &'a Acquire,
    sent: u64,
    /// Until when a grant in answer to it is believed in.
    valid_until: u64,
    is_settled: bool,
}

impl Ledger {
    /// Notes that an attempt is about to be sent.
    pub(in super::super) fn attempt<'a>(&'a self, request: &'a Acquire) -> Attempt<'a> {
        let id = (request.name.clone(), request.owner);
        let valid_until = self.valid_until(request.ttl.as_duration());
        let sent = self.with(&id, |owner| {
            let sent = self.now();
            match &owner.wait {
                // It may have its effect from now on, whatever was known before.
                Some(wait) => self.open(&wait.invocation),
                None => owner.wait = Some(self.new_wait(owner, request)),
            }
            sent
        });
        Attempt {
            ledger: self,
            id,
            request,
            sent,
            valid_until,
            is_settled: false,
        }
    }

    fn new_wait(&self, owner: &Owner, request: &Acquire) -> Wait {
        let ttl_ns = nanos(request.ttl.as_duration());
        let invocation = self.begin(owner, &request.name, Step::Acquire, 0, ttl_ns, None);
        if self.has_line && !request.stand_in_line {
            let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
            tries.push(invocation.place());
        }
        Wait {
            invocation,
            lost: None,
        }
    }
}

impl Attempt<'_> {
    pub(in super::super) fn answered(mut self, answer: &Result<Acquisition, Error>) {
        self.is_settled = true;
        self.ledger.with(&self.id, |owner| {
            let wait = owner.wait.take();
            let wait = wait.unwrap_or_else(|| self.ledger.new_wait(owner, self.request));
            match answer {
                Ok(Acquisition::Granted(grant)) => self.granted(owner, &wait, grant),
                Ok(Acquisition::Refused(_)) => self.refused(owner, wait),
                Ok(_) => {
                    self.settle(&wait);
                    self.leave_line(owner);
                    self.ledger
                        .disbelieve(owner, &self.request.name, Ending::Lost);
                }
                Err(error) if of_failure(error) == Outcome::NotApplied => {
                    self.settle(&wait);
                    owner.wait = Some(wait);
                }
                Err(_) => self.lost(owner, wait),
            }
        });
    }

    fn granted(&self, owner: &mut Owner, wait: &Wait, grant: &Grant) {
        let (ledger, token) = (self.ledger, grant.token.get());
        let is_again = owner.token == Some(token);
        let outcome = Outcome::Done;
        ledger
            .recorder
            .answer(&wait.invocation, outcome, |operation, history| {
                operation.token = token;
                operation.ttl_ns = nanos(self.request.ttl.as_duration());
                if is_again {
                    // The grant that it has, with its ttl anew.
                    (operation.step, operation.invoked) = (Step::Renew, self.sent);
                } else {
                    let text = grant.state.as_ref().map(text_of);
                    operation.value = text.map_or(Value::NONE, |text| history.value(&text));
                }
            });
        if let Some(sent) = wait.lost {
            self.may_have_taken(owner, sent);
        }
        self.leave_line(owner);
        owner.token = Some(token);
        ledger.believe(owner, &self.request.name, token, self.valid_until);
    }

    fn refused(&self, owner: &mut Owner, wait: Wait) {
        let ledger = self.ledger;
        let stamps = (self.sent, ledger.now());
        let outcome = Outcome::Refused;
        let ttl_ns = nanos(self.request.ttl.as_duration());
        let _told: Invocation =
            ledger.note_acquire(owner, &self.request.name, stamps, ttl_ns, outcome);
        ledger.disbelieve(owner, &self.request.name, Ending::Lost);
        self.settle(&wait);
        owner.wait = Some(wait);
        self.leave_line(owner);
        self.stand_in_line(owner);
    }

    /// No reply came: it may have taken the lock, or stand in line, or do so later.
    fn lost(&self, owner: &mut Owner, mut wait: Wait) {
        let (ledger, ttl_ns) = (self.ledger, self.unseen_ttl());
        owner.may_have_more = true;
        ledger.open(&wait.invocation);
        match wait.lost {
            // The operation of the whole wait stands for the first of them.
            None => {
                wait.lost = Some(self.sent);
                ledger
                    .recorder
                    .amend(&wait.invocation, |o| o.ttl_ns = ttl_ns);
            }
            Some(_) => self.may_have_taken(owner, self.sent),
        }
        owner.wait = Some(wait);
    }

    /// How long the lock is another's at least if an attempt took it unseen. Who stood in line and
    /// misses its turn had it for as long as the store likes.
    fn unseen_ttl(&self) -> u64 {
        if self.stands_in_line() {
            0
        } else {
            nanos(self.request.ttl.as_duration())
        }
    }

    fn stands_in_line(&self) -> bool {
        self.ledger.has_line && self.request.stand_in_line
    }

    /// Nothing but attempts whose replies are missing can have taken the lock so far.
    fn settle(&self, wait: &Wait) {
        if wait.lost.is_none() {
            self.ledger.close(&wait.invocation, Outcome::NotApplied);
        }
    }

    /// An attempt that was sent at `sent` may have had an effect of its own, or may have it yet.
    fn may_have_taken(&self, owner: &Owner, sent: u64) {
        let ttl_ns = self.unseen_ttl();
        let (name, stamps) = (&self.request.name, (sent, NEVER));
        let _open: Invocation =
            self.ledger
                .note_acquire(owner, name, stamps, ttl_ns, Outcome::Unknown);
    }

    /// From now on the lock may be kept for the owner, for a time that is the store's business.
    fn stand_in_line(&self, owner: &mut Owner) {
        if self.stands_in_line() {
            let (name, stamps) = (&self.request.name, (self.sent, NEVER));
            let place = self
                .ledger
                .note_acquire(owner, name, stamps, 0, Outcome::Unknown);
            owner.place = Some(place);
        }
    }

    fn leave_line(&self, owner: &mut Owner) {
        if let Some(place) = owner.place.take() {
            self.ledger.over(&place);
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            self.ledger.with(&self.id, |owner| {
                let wait = owner.wait.take();
                let wait = wait.unwrap_or_else(|| self.ledger.new_wait(owner, self.request));
                self.lost(owner, wait);
            });
        }
    }
}
