//! Sentences of owners and values: FN, OW.

use super::Culprits;
use crate::history::{Operation, Outcome, Step, Value};
use crate::report::lease::{is_end, is_grant};
use crate::report::words::{noun, reads, who};

/// Whether it was to write a value.
const fn is_commit(of: &Operation) -> bool {
    matches!(of.step, Step::Commit | Step::CommitRelease)
}

impl Culprits<'_> {
    pub(super) fn commit_outside_its_lease(&self) -> Option<String> {
        let words = self.words;
        let commit = self.find(is_commit)?;
        let first = self.all.first()?;
        let is_same = first.value == commit.value && commit.value != Value::UNSEEN;
        if reads(first) && is_same {
            return Some(format!(
                "{} read {}, which no earlier lease committed: only {} did",
                words.full(first),
                words.value(commit.value),
                words.full(commit)
            ));
        }
        self.done_too_late(commit, "took effect")
    }

    /// A step that was done after its own lease, or under a token of nobody.
    fn done_too_late(&self, step: &Operation, took_effect: &str) -> Option<String> {
        let words = self.words;
        if let Some(over) = self.over_before(step) {
            let (step, over) = (words.full(step), words.had(over));
            return Some(format!("{step} {took_effect} after {over}"));
        }
        let is_strange = step.outcome == Outcome::Done && !self.was_granted(step);
        is_strange.then(|| {
            let step_text = words.full(step);
            format!(
                "{step_text} {took_effect} though token {} was never granted",
                step.token
            )
        })
    }

    pub(super) fn lost_value(&self) -> Option<String> {
        let words = self.words;
        let commit = self.find(is_commit)?;
        let Some(read) = self.find(reads) else {
            let other = self.find(|of| is_commit(of) && !std::ptr::eq(of, commit))?;
            return Some(format!(
                "{} returned before {}, although the values say that it came after it",
                words.full(commit),
                words.full(other)
            ));
        };
        if read.value == Value::UNSEEN || commit.value == Value::UNSEEN {
            return None;
        }
        if read.value == commit.value {
            return Some(format!(
                "{} read {} before {} can have written it",
                words.full(read),
                words.value(read.value),
                words.full(commit)
            ));
        }
        Some(format!(
            "{} read {} instead of {}, which {} had written",
            words.full(read),
            words.value(read.value),
            words.value(commit.value),
            words.full(commit)
        ))
    }

    pub(super) fn value_never_committed(&self) -> Option<String> {
        let words = self.words;
        let read = self.find(reads)?;
        let commit = self.find(is_commit);
        if let Some(commit) = commit.filter(|commit| commit.value == read.value) {
            return Some(format!(
                "{} read {} as written under token {}, but it was written by {}",
                words.full(read),
                words.value(read.value),
                read.token,
                words.full(commit)
            ));
        }
        let mut text = format!(
            "{} read {}, which nobody had committed",
            words.full(read),
            words.value(read.value)
        );
        if let Some(commit) = commit {
            text.push_str(&format!(
                "; what it had to read is {}, of {}",
                words.value(commit.value),
                words.full(commit)
            ));
        }
        Some(text)
    }

    pub(super) fn not_one_step(&self) -> Option<String> {
        let words = self.words;
        let read = self.find(reads)?;
        let is_its = |of: &Operation| is_commit(of) && of.value == read.value;
        if let Some(wrote) = self.find(|of| is_its(of) && of.outcome != Outcome::Done) {
            return Some(format!(
                "{} read {}, which {} wrote all the same",
                words.full(read),
                words.value(read.value),
                words.full(wrote)
            ));
        }
        let missed = self.find(|of| is_commit(of) && of.value != read.value)?;
        Some(format!(
            "{} was done, but {} read {}: the lease was judged at one moment and the value written \
             at another",
            words.full(missed),
            words.full(read),
            words.value(read.value)
        ))
    }

    pub(super) fn acted_for_another(&self) -> Option<String> {
        let words = self.words;
        let enders = || {
            self.all
                .iter()
                .copied()
                .filter(|of| is_end(of) && of.outcome == Outcome::Done && of.token != 0)
        };
        for one in enders() {
            let again = enders().find(|of| of.token == one.token && !std::ptr::eq(*of, one));
            if let Some(again) = again {
                return Some(format!(
                    "the lease of token {} was ended twice: by {} and by {}",
                    one.token,
                    words.full(one),
                    words.full(again)
                ));
            }
        }
        let acts = |of: &Operation| !is_grant(of) && of.outcome == Outcome::Done && of.token != 0;
        let mut steps = self.all.iter().copied().filter(|of| acts(of));
        if let Some(text) = steps.find_map(|step| self.done_too_late(step, "was done")) {
            return Some(text);
        }
        // Somebody's release ended the lease of another, who was told so.
        let refused = self.find(|of| of.outcome == Outcome::Refused && of.token != 0)?;
        let suspect = self.find(|of| is_end(of) && of.token < refused.token)?;
        Some(format!(
            "{}, under another token, is what can have ended the lease of token {}: {} was refused \
             a {} under it ({})",
            words.full(suspect),
            refused.token,
            who(refused),
            noun(refused.step),
            words.span(refused)
        ))
    }

    pub(super) fn told_otherwise(&self) -> Option<String> {
        let words = self.words;
        let refused = self.find(|of| of.outcome == Outcome::Refused && of.step != Step::Acquire)?;
        if refused.step == Step::ForceRelease {
            let holder = self.find(is_grant)?;
            return Some(format!(
                "{} found nobody though {}",
                words.full(refused),
                words.had(holder)
            ));
        }
        let is_holder = |of: &Operation| {
            of.outcome == Outcome::Done && of.token == refused.token && !is_grant(of)
        };
        let later = self.find(|of| is_holder(of) && of.returned > refused.invoked);
        let grant = self.find(|of| is_grant(of) && of.token == refused.token);
        let (refused, token) = (words.full(refused), refused.token);
        match (later, grant) {
            (Some(later), _) => Some(format!(
                "{refused} says that token {token} is over, but {} was done under it",
                words.full(later)
            )),
            (None, Some(grant)) => Some(format!(
                "{refused} came while the lease was in force that {} began",
                words.full(grant)
            )),
            (None, None) => None,
        }
    }

    pub(super) fn tasks_shared(&self) -> Option<String> {
        let words = self.words;
        let one = self.all.first()?;
        let other = self.find(|of| of.client == one.client && of.task != one.task)?;
        Some(format!(
            "task {} and task {} of client {} shared a lease: {} and {}",
            one.task,
            other.task,
            one.client,
            words.full(one),
            words.full(other)
        ))
    }
}
