//! Sentences of progress, survival and independence: LV, DU, IN.

use super::Culprits;
use crate::history::{NEVER, Operation, Outcome, Step};
use crate::report::lease::{is_end, is_grant};
use crate::report::words::who;

impl Culprits<'_> {
    /// An acquire that nobody granted, or else the one that was granted last.
    fn waiter(&self) -> Option<&Operation> {
        let is_waiting = |of: &Operation| of.step == Step::Acquire && of.outcome != Outcome::Done;
        let granted = self.all.iter().copied().filter(|of| is_grant(of));
        self.find(is_waiting)
            .or_else(|| granted.max_by_key(|of| of.returned))
    }

    /// What became of an acquire that waited.
    fn fate(&self, of: &Operation) -> String {
        match (of.outcome, of.returned) {
            (Outcome::Done, at) => format!("was granted only at {}", self.words.at(at)),
            (Outcome::Refused, at) => format!("was still refused at {}", self.words.at(at)),
            (_, NEVER) => "was never granted".to_owned(),
            (_, at) => format!(
                "was not granted until {}, when it gave up",
                self.words.at(at)
            ),
        }
    }

    fn freed(&self) -> Option<&Operation> {
        self.find(|of| is_end(of) && of.outcome == Outcome::Done)
    }

    pub(super) fn nobody_granted(&self) -> Option<String> {
        let words = self.words;
        let waiter = self.waiter()?;
        let mut text = format!(
            "{}, which asked for the lock at {}, {}",
            who(waiter),
            words.at(waiter.invoked),
            self.fate(waiter)
        );
        let held = self.find(|of| is_grant(of) && !std::ptr::eq(of, waiter));
        match (self.freed(), held) {
            (Some(freed), _) => {
                text.push_str(&format!(", though {} and nobody holds it since", words.had(freed)));
            }
            (None, Some(held)) => text.push_str(&format!(
                ", though nothing says that anybody holds it after the lease of token {}, granted to {} \
                 ({}) for {}",
                held.token,
                who(held),
                words.span(held),
                words.times.length(held.ttl_ns)
            )),
            (None, None) => text.push_str(", though nobody held it"),
        }
        Some(text)
    }

    pub(super) fn not_woken(&self) -> Option<String> {
        let words = self.words;
        let (freed, waiter) = (self.freed()?, self.waiter()?);
        Some(format!(
            "{} did not wake {}, which waited since {} and {}",
            words.full(freed),
            who(waiter),
            words.at(waiter.invoked),
            self.fate(waiter)
        ))
    }

    pub(super) fn kept_out(&self) -> Option<String> {
        let words = self.words;
        let left = self.find(|of| of.step == Step::Acquire && of.outcome == Outcome::Unknown)?;
        let others = self
            .all
            .iter()
            .copied()
            .filter(|of| !std::ptr::eq(*of, left));
        let mut waiting =
            others.filter(|of| of.step == Step::Acquire && of.returned > left.invoked);
        let waiter = waiting.next()?;
        Some(format!(
            "the acquire that {} abandoned (asked at {}, for {}) kept out {}, which asked at {} and {}",
            who(left),
            words.at(left.invoked),
            words.times.length(left.ttl_ns),
            who(waiter),
            words.at(waiter.invoked),
            self.fate(waiter)
        ))
    }

    pub(super) fn out_of_turn(&self) -> Option<String> {
        let words = self.words;
        let mut asked: Vec<&Operation> = self.all.to_vec();
        asked.retain(|of| of.step == Step::Acquire);
        asked.sort_by_key(|of| of.invoked);
        let [first, .., last] = asked.as_slice() else {
            return None;
        };
        if !is_grant(last) || last.returned >= first.returned {
            return None;
        }
        Some(format!(
            "token {} was granted to {} ({}) before {}, which had waited since {} and {}",
            last.token,
            who(last),
            words.span(last),
            who(first),
            words.at(first.invoked),
            self.fate(first)
        ))
    }

    pub(super) fn overtaken(&self) -> Option<String> {
        let words = self.words;
        let [first, last, waiter] = self.all else {
            return None;
        };
        let is_other = |of: &Operation| is_grant(of) && of.client != waiter.client;
        if !is_other(first) || !is_other(last) || first.client != last.client {
            return None;
        }
        let tokens = match (first.token, last.token) {
            (0, _) | (_, 0) => "from one grant".to_owned(),
            (first, last) => format!("with tokens {first} to {last}"),
        };
        Some(format!(
            "client {} was granted again and again, {tokens} ({} to {}), while {}, which waited \
             since {}, {}",
            first.client,
            words.at(first.returned),
            words.at(last.returned),
            who(waiter),
            words.at(waiter.invoked),
            self.fate(waiter)
        ))
    }

    pub(super) fn other_name(&self) -> Option<String> {
        let words = self.words;
        let one = self.all.first()?;
        let other = self.find(|of| of.key != one.key)?;
        Some(format!(
            "{} on the lock {} and {} on the lock {} disturbed each other",
            words.full(one),
            words.key(one.key),
            words.full(other),
            words.key(other.key)
        ))
    }

    pub(super) fn forgotten(&self) -> Option<String> {
        let words = self.words;
        let [one, other, ..] = self.all else {
            return None;
        };
        let (kept, later) = match one.invoked <= other.invoked {
            true => (one, other),
            false => (other, one),
        };
        if kept.outcome != Outcome::Done {
            return None;
        }
        Some(format!(
            "{} was acknowledged, but did not survive: {} knows nothing of it",
            words.full(kept),
            words.full(later)
        ))
    }
}
