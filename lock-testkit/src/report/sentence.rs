//! One sentence for each property: what contradicts what.
//!
//! A sentence is made from what the culprits are, not from where they stand, and only if it is true
//! of them; else the rule and the culprits are all that is said.

mod fencing;
mod lease;
mod live;

use super::lease::{is_end, is_grant};
use super::words::{Words, who};
use crate::history::{Key, Operation, Outcome, Step};
use crate::spec::{Property, Violation};

/// The sentence, without its full stop.
pub(super) fn sentence(words: &Words<'_>, violation: &Violation) -> String {
    let id = violation.property.id();
    let text = body(words, violation);
    match lock(words, violation) {
        Some(key) => format!("{id} on {}: {text}", words.key(key)),
        None => format!("{id}: {text}"),
    }
}

/// The lock that a violation is about, where there are others that it may be about.
pub(super) fn lock(words: &Words<'_>, violation: &Violation) -> Option<Key> {
    let mut keys: Vec<Key> = culprits(words, violation).iter().map(|of| of.key).collect();
    keys.dedup();
    match keys.as_slice() {
        [key] if words.history.keys() > 1 => Some(*key),
        _ => None,
    }
}

/// The sentence after its colon.
pub(super) fn body(words: &Words<'_>, violation: &Violation) -> String {
    let all = culprits(words, violation);
    let told = Culprits { words, all: &all }.told(violation.property);
    told.unwrap_or_else(|| {
        let rule = violation.property.rule();
        let named: Vec<String> = all.iter().map(|of| words.full(of)).collect();
        match named.split_last() {
            None => rule.to_owned(),
            Some((last, [])) => format!("{rule}, as {last} shows"),
            Some((last, others)) => format!("{rule}, as {} and {last} show", others.join(", ")),
        }
    })
}

fn culprits<'a>(words: &Words<'a>, violation: &Violation) -> Vec<&'a Operation> {
    let operations = words.history.operations();
    let culprits = violation.culprits.iter();
    culprits.filter_map(|at| operations.get(*at)).collect()
}

/// The operations that contradict each other.
struct Culprits<'a> {
    words: &'a Words<'a>,
    all: &'a [&'a Operation],
}

impl Culprits<'_> {
    fn told(&self, property: Property) -> Option<String> {
        match property {
            Property::Du1 => self.forgotten(),
            Property::Er1 => self.refused_while_free(),
            Property::Fn1 => self.commit_outside_its_lease(),
            Property::Fn2 => self.lost_value(),
            Property::Fn3 => self.value_never_committed(),
            Property::Fn4 => self.not_one_step(),
            Property::In1 => self.other_name(),
            Property::Ls1 => self.too_short(),
            Property::Ls2 => self.handed_out_late(),
            Property::Ls3 => self.not_prolonged(),
            Property::Lv1 => self.nobody_granted(),
            Property::Lv2 => self.not_woken(),
            Property::Lv3 => self.kept_out(),
            Property::Lv4 => self.out_of_turn(),
            Property::Lv5 => self.overtaken(),
            Property::Me1 => self.leases_overlap(),
            Property::Me2 => self.beliefs_overlap(),
            Property::Ow1 => self.acted_for_another(),
            Property::Ow2 => self.told_otherwise(),
            Property::Ow3 => self.tasks_shared(),
            Property::Tk1 => self.tokens_decrease(),
            Property::Tk2 => self.granted_twice(),
        }
    }

    fn find(&self, is_it: impl Fn(&Operation) -> bool) -> Option<&Operation> {
        self.all.iter().copied().find(|of| is_it(of))
    }

    /// Whether the history has a grant of the token that this names.
    fn was_granted(&self, of: &Operation) -> bool {
        let mut all = self.words.history.operations().iter();
        all.any(|o| is_grant(o) && (o.key, o.token) == (of.key, of.token))
    }

    /// What shows that the lease of a step was over before the step: another lease, or its own end.
    fn over_before(&self, step: &Operation) -> Option<&Operation> {
        let is_before = |of: &Operation| of.returned < step.invoked && of.key == step.key;
        let is_later = |of: &Operation| is_before(of) && of.token > step.token;
        let is_own_end = |of: &Operation| {
            let is_answered = matches!(
                (of.outcome, is_end(of)),
                (Outcome::Done, true) | (Outcome::Refused, _)
            );
            is_before(of) && of.token == step.token && is_answered
        };
        self.find(is_later).or_else(|| self.find(is_own_end))
    }

    fn granted_twice(&self) -> Option<String> {
        let first = self.find(is_grant)?;
        let again =
            self.find(|of| is_grant(of) && of.token == first.token && !std::ptr::eq(of, first))?;
        let words = self.words;
        Some(format!(
            "token {} was granted to {} ({}) and once more to {} ({})",
            first.token,
            who(first),
            words.span(first),
            who(again),
            words.span(again)
        ))
    }

    fn tokens_decrease(&self) -> Option<String> {
        let words = self.words;
        if let Some(none) = self.find(|of| is_grant(of) && of.token == 0) {
            return Some(format!(
                "{} was granted the lock without a token ({})",
                who(none),
                words.span(none)
            ));
        }
        let grants = self.all.iter().copied().filter(|of| is_grant(of));
        let late = grants.max_by_key(|of| of.invoked)?;
        let before = self.find(|of| of.token > late.token && of.returned < late.invoked)?;
        Some(format!(
            "token {} was granted to {} ({}) after {}",
            late.token,
            who(late),
            words.span(late),
            words.had(before)
        ))
    }

    fn refused_while_free(&self) -> Option<String> {
        let words = self.words;
        let refused = self.find(|of| (of.step, of.outcome) == (Step::Acquire, Outcome::Refused))?;
        let over = self.find(|of| {
            let is_told = of.outcome == Outcome::Refused && of.token != 0;
            let is_ended = is_end(of) && of.outcome == Outcome::Done;
            of.returned < refused.invoked && (is_told || is_ended)
        });
        let next = self.find(|of| is_grant(of) && of.invoked > refused.returned);
        let mut text = format!(
            "{} was refused the lock ({}) though nobody held it",
            who(refused),
            words.span(refused)
        );
        if let Some(over) = over {
            text.push_str(&format!(": {}", words.had(over)));
        }
        if let Some(next) = next {
            let link = if over.is_some() { ", and" } else { ":" };
            text.push_str(&format!(
                "{link} the next grant, of token {} to {}, was asked for only at {}",
                next.token,
                who(next),
                words.at(next.invoked)
            ));
        }
        Some(text)
    }
}
