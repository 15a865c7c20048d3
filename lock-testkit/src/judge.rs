//! All rules at once: which property a history breaks, told by the one that tells most.
//!
//! [`judge`] runs the checkers that fit the lock and gives one verdict, [`violations`] gives all.
//! The checkers see one key and no marks; here a violation is renamed where more than that shows
//! whose fault it is: locks of different names that disturb each other, a restart that lost what it
//! had acknowledged, two tasks taken for one.
//!
//! # What exactly triggers each property
//! Culprits are the operations that a violation names; a key's lease is over *at the latest* as
//! [`liveness`] says. DU-1, IN-1 and OW-3 rename violations of others, in the order IN-1, DU-1, OW-3.
//!
//! | property | trigger |
//! |---|---|
//! | TK-2 | two grants of a key under one token |
//! | TK-1 | a grant under token 0, or one that was invoked after a larger token was granted, or its lease must have begun |
//! | FN-3 | a read of a value that nobody asked to commit on the key, or of one with another writer's token |
//! | FN-4 | a grant that misses a commit under a smaller token which was invoked before that grant returned and returned after its invocation; or a read of a value whose commit was refused |
//! | FN-1 | a commit that was done under a token never granted, or was not invoked before a larger token's grant had returned; a grant that reads a commit of its own or a larger token |
//! | FN-2 | a grant or peek that misses a commit which had returned before |
//! | ME-1 | a grant within a lease of another token, where a release under a smaller token may have ended it whose own lease can have run out before; without tokens, any two holds at once |
//! | OW-1 | a renew or release that was done under a token never granted, or invoked after a larger token's lease must have begun; a second end of one lease; a lease found over where a release under a smaller token may have ended it |
//! | OW-2 | a renew, commit or release refused to the holder while a later step shows that it still held |
//! | LS-1 | a grant, or a refusal to the holder, sooner after its grant than [`Bound::at_least`](crate::spec::Bound::at_least) of its ttl |
//! | LS-3 | the same, sooner after a renewal |
//! | ER-1 | an acquire refused while nobody can have held the key, nor the store kept it for another ([`Rules::line`]); a read of a value whose commit was reported as not applied |
//! | ME-2 | two tasks believe at once that they hold a key ([`belief`]) |
//! | LS-2 | a belief that ends before it begins ([`belief`]) |
//! | LV-1 to LV-5 | see [`liveness`] |
//! | IN-1 | any of the above, where a value that was read was committed on another key alone, or a step's token was granted on another key alone; ER-1 where another key was held throughout the refused acquire |
//! | DU-1 | TK-1, TK-2, FN-1 to FN-4, ME-1 or LS-1 with a restart mark between the culprits, of a store that declares to survive restarts |
//! | OW-3 | TK-2, ME-1, ME-2 or OW-1 where the culprits are two tasks of one client: the step that acted and the grant that it acted on, else the two grants |

mod line;
mod rename;
mod rules;

pub use rules::Rules;

use crate::checker::{belief, liveness, mutex, token};
use crate::history::{History, Operation};
use crate::spec::{Property, Verdict, Violation};
use rename::Renamer;

/// Judges a history by all rules. Invalid is the violation that tells most; undecided, that the
/// budget was spent on some key and nothing was found on the others.
///
/// ```
/// use lock_testkit::history::{Belief, History};
/// use lock_testkit::judge::{Rules, judge};
/// use lock_testkit::spec::{Bound, Property, Verdict};
///
/// let mut history = History::new();
/// let key = history.key("stock");
/// for client in [1, 2] {
///     let (token, from) = (u64::from(client), 10);
///     history.believe(Belief { key, client, task: 0, token, from, until: 50 });
/// }
/// let rules = Rules::new(Bound::DEFAULT);
/// let Verdict::Invalid(violation) = judge(&history, &rules) else { panic!("both believe") };
/// assert_eq!(violation.property, Property::Me2);
/// assert_eq!(judge(&history, &rules.without(Property::Me2)), Verdict::Valid);
/// ```
#[must_use]
pub fn judge(history: &History, rules: &Rules) -> Verdict {
    let (violations, undecided) = all(history, rules);
    let first = violations.into_iter().min_by_key(rank);
    match (first, undecided) {
        (Some(violation), _) => Verdict::Invalid(violation),
        (None, Some(steps)) => Verdict::Undecided { steps },
        (None, None) => Verdict::Valid,
    }
}

/// All violations of a history, those that tell most first: of each key at most one by the check of
/// its tokens, and the first of each other property.
#[must_use]
pub fn violations(history: &History, rules: &Rules) -> Vec<Violation> {
    let (mut violations, _) = all(history, rules);
    violations.sort_by_key(rank);
    violations
}

fn all(history: &History, rules: &Rules) -> (Vec<Violation>, Option<u64>) {
    let (mut found, mut undecided) = answers(history, history.operations(), rules);
    if rules.has_line && !found.is_empty() {
        (found, undecided) = answers(history, &line::without_kept(history), rules);
    }
    if rules.is_clock_trusted {
        found.extend(belief::check(history));
    }
    if let Some(limits) = &rules.limits {
        found.extend(liveness::check(history, limits));
    }
    if !found.is_empty() {
        let renamer = Renamer::new(history, rules);
        for violation in &mut found {
            violation.property = renamer.rename(violation);
        }
        found.retain(|violation| rules.is_on(violation.property));
    }
    (found, undecided)
}

/// What the answers of each key show; `operations` are those of the history.
fn answers(
    history: &History,
    operations: &[Operation],
    rules: &Rules,
) -> (Vec<Violation>, Option<u64>) {
    let mut found = Vec::new();
    let mut undecided = None;
    let mut take = |verdict| {
        match verdict {
            Verdict::Valid => {}
            Verdict::Undecided { steps } => undecided = Some(steps),
            Verdict::Invalid(violation) => found.push(violation),
        }
        None::<()>
    };
    if rules.has_tokens {
        token::each_key(history, operations, rules.bound, rules.budget, take);
    } else {
        for verdict in mutex::verdicts(history, operations) {
            take(verdict);
        }
    }
    (found, undecided)
}

/// What tells most comes first: causes that were found out, then the store's answers, then what
/// clients made of them, then what did not happen.
const fn rank(violation: &Violation) -> u8 {
    match violation.property {
        Property::In1 => 0,
        Property::Du1 => 1,
        Property::Ow3 => 2,
        Property::Tk2 => 3,
        Property::Tk1 => 4,
        Property::Fn4 => 5,
        Property::Fn1 => 6,
        Property::Fn3 => 7,
        Property::Fn2 => 8,
        Property::Me1 => 9,
        Property::Ow1 => 10,
        Property::Ow2 => 11,
        Property::Ls3 => 12,
        Property::Ls1 => 13,
        Property::Er1 => 14,
        Property::Ls2 => 15,
        Property::Me2 => 16,
        Property::Lv3 => 17,
        Property::Lv2 => 18,
        Property::Lv1 => 19,
        Property::Lv4 => 20,
        Property::Lv5 => 21,
    }
}

#[cfg(test)]
mod tests;
