//! Names a violation after what more than one key's answers show.

use super::Rules;
use crate::history::{History, Key, MarkKind, NEVER, Operation, Outcome, Step, Value};
use crate::spec::{Property, Violation};

pub(super) struct Renamer<'a> {
    history: &'a History,
    rules: &'a Rules,
}

impl<'a> Renamer<'a> {
    pub(super) const fn new(history: &'a History, rules: &'a Rules) -> Self {
        Self { history, rules }
    }

    /// The property that tells most of what the culprits did.
    pub(super) fn rename(&self, violation: &Violation) -> Property {
        let operations = self.history.operations();
        let culprits = violation.culprits.iter();
        let culprits: Vec<&Operation> = culprits.filter_map(|at| operations.get(*at)).collect();
        let property = violation.property;
        if self.is_of_another_key(property, &culprits) {
            return Property::In1;
        }
        if self.rules.is_durable && is_of_data(property) && self.spans_restart(&culprits) {
            return Property::Du1;
        }
        let is_shared = matches!(
            property,
            Property::Me1 | Property::Me2 | Property::Ow1 | Property::Tk2
        );
        if is_shared && is_of_siblings(&culprits) {
            return Property::Ow3;
        }
        property
    }

    fn is_of_another_key(&self, property: Property, culprits: &[&Operation]) -> bool {
        match property {
            Property::Er1 => culprits.first().is_some_and(|refused| {
                let operations = self.history.operations().iter();
                let mut others = operations.filter(|o| o.key != refused.key && is_grant(o));
                others.any(|grant| self.is_held_throughout(grant, refused))
            }),
            Property::Fn1
            | Property::Fn2
            | Property::Fn3
            | Property::Fn4
            | Property::Ls1
            | Property::Ls3
            | Property::Me1
            | Property::Ow1
            | Property::Ow2
            | Property::Tk1
            | Property::Tk2 => culprits
                .iter()
                .any(|o| self.has_foreign_value(o) || self.has_foreign_token(o)),
            Property::Du1
            | Property::In1
            | Property::Ls2
            | Property::Lv1
            | Property::Lv2
            | Property::Lv3
            | Property::Lv4
            | Property::Lv5
            | Property::Me2
            | Property::Ow3 => false,
        }
    }

    /// Whether it read a value that was committed on other keys alone.
    fn has_foreign_value(&self, reader: &Operation) -> bool {
        let is_read = matches!(reader.step, Step::Acquire | Step::Peek)
            && reader.outcome == Outcome::Done
            && ![Value::NONE, Value::UNSEEN].contains(&reader.value);
        is_read
            && self.is_elsewhere_alone(reader.key, |o| {
                matches!(o.step, Step::Commit | Step::CommitRelease) && o.value == reader.value
            })
    }

    /// Whether it named a token that was granted on other keys alone.
    fn has_foreign_token(&self, o: &Operation) -> bool {
        let is_named = o.step != Step::Acquire && o.outcome == Outcome::Done && o.token != 0;
        is_named
            && self.is_elsewhere_alone(o.key, |grant| is_grant(grant) && grant.token == o.token)
    }

    fn is_elsewhere_alone(&self, key: Key, is_it: impl Fn(&Operation) -> bool) -> bool {
        let mut elsewhere = false;
        for operation in self.history.operations().iter().filter(|o| is_it(o)) {
            if operation.key == key {
                return false;
            }
            elsewhere = true;
        }
        elsewhere
    }

    /// Whether a grant of another key was certainly in force from the invocation of a refused
    /// acquire to its return.
    fn is_held_throughout(&self, grant: &Operation, refused: &Operation) -> bool {
        if grant.returned > refused.invoked {
            return false;
        }
        let is_under = |o: &&Operation| {
            o.key == grant.key
                && o.token == grant.token
                && (o.token != 0 || (o.client, o.task) == (grant.client, grant.task))
                && o.step != Step::Acquire
                && o.invoked >= grant.invoked
        };
        let mut until = grant
            .invoked
            .saturating_add(self.rules.bound.at_least(grant.ttl_ns));
        for operation in self.history.operations().iter().filter(is_under) {
            let ends = matches!(
                operation.step,
                Step::CommitRelease | Step::ForceRelease | Step::Release
            );
            match operation.outcome {
                Outcome::Done | Outcome::Unknown
                    if ends && operation.invoked < refused.returned =>
                {
                    return false;
                }
                // It shows that the lease was still there.
                Outcome::Done if operation.step != Step::Peek => {
                    until = until.max(operation.invoked)
                }
                Outcome::Done | Outcome::NotApplied | Outcome::Refused | Outcome::Unknown => {}
            }
        }
        until >= refused.returned
    }

    fn spans_restart(&self, culprits: &[&Operation]) -> bool {
        let first = culprits.iter().map(|o| o.invoked).min();
        let last = culprits.iter().map(|o| match o.returned {
            NEVER => o.invoked,
            returned => returned,
        });
        let (Some(first), Some(last)) = (first, last.max()) else {
            return false;
        };
        let mut marks = self.history.marks().iter();
        marks.any(|mark| mark.kind == MarkKind::Restart && mark.until >= first && mark.from <= last)
    }
}

fn is_grant(operation: &Operation) -> bool {
    (operation.step, operation.outcome) == (Step::Acquire, Outcome::Done)
}

/// What a store breaks that forgot something.
const fn is_of_data(property: Property) -> bool {
    matches!(
        property,
        Property::Fn1
            | Property::Fn2
            | Property::Fn3
            | Property::Fn4
            | Property::Ls1
            | Property::Me1
            | Property::Tk1
            | Property::Tk2
    )
}

/// Whether two tasks of one client are to blame: the step that acted under an old token and the
/// holder of the lease that it acted on, or if there is no such step, the two who were granted.
fn is_of_siblings(culprits: &[&Operation]) -> bool {
    let acts = culprits.iter().filter(|o| o.step != Step::Acquire);
    let actor = acts.min_by_key(|o| o.token);
    let on = actor.and_then(|actor| {
        let later = culprits.iter().filter(|o| o.token > actor.token);
        later.min_by_key(|o| (o.token, o.step != Step::Acquire))
    });
    let is_pair =
        |one: &Operation, other: &Operation| one.client == other.client && one.task != other.task;
    if let (Some(actor), Some(on)) = (actor, on) {
        return is_pair(actor, on);
    }
    let mut grants = culprits.iter().filter(|o| o.step == Step::Acquire);
    match (grants.next(), grants.next()) {
        (Some(one), Some(other)) => is_pair(one, other),
        _ => false,
    }
}
