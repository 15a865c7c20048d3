//! [`core()`]: the few operations to look at.

use super::lease::is_grant;
use crate::history::{History, Operation, Step};
use crate::spec::Violation;

/// How many operations a reader is shown at most.
const MOST: usize = 6;

/// The operations that a reader needs to see a violation, by index into the history and in the
/// order of their invocations: the culprits, and the grants of the tokens that they name. Without
/// tokens, what the culprits did meanwhile with what they were granted. At most six of them.
///
/// This is for display. The rest of the history is not gone for that: no history of the core alone is
/// ever judged, which could make a fault where there was none.
///
/// ```
/// use lock_testkit::checker::token;
/// use lock_testkit::history::{History, Operation, Outcome, Step, Value};
/// use lock_testkit::report::core;
/// use lock_testkit::spec::{Bound, Verdict};
///
/// let mut history = History::new();
/// let key = history.key("stock");
/// let grant = Operation {
///     invoked: 10,
///     returned: 20,
///     token: 1,
///     ttl_ns: 100,
///     key,
///     client: 0,
///     task: 0,
///     value: Value::UNSEEN,
///     step: Step::Acquire,
///     outcome: Outcome::Done,
/// };
/// history.push(grant);
/// history.push(Operation { invoked: 30, returned: 40, step: Step::Renew, ..grant });
/// history.push(Operation { invoked: 50, returned: 60, token: 2, ..grant });
/// let found = token::check(&history, Bound::timed(0, 0), 100_000);
/// let Verdict::Invalid(violation) = found else { panic!("the leases overlap") };
/// assert_eq!(core(&history, &violation), [0, 1, 2]);
/// ```
#[must_use]
pub fn core(history: &History, violation: &Violation) -> Vec<usize> {
    let operations = history.operations();
    let mut kept: Vec<usize> = Vec::new();
    for culprit in &violation.culprits {
        if *culprit < operations.len() && !kept.contains(culprit) && kept.len() < MOST {
            kept.push(*culprit);
        }
    }
    let named = kept.iter().filter_map(|at| operations.get(*at));
    let tokens: Vec<_> = named
        .map(|o| (o.key, o.token))
        .filter(|(_, token)| *token != 0)
        .collect();
    let is_named = |at: usize| {
        let operation = operations.get(at);
        operation.is_some_and(|o| is_grant(o) && tokens.contains(&(o.key, o.token)))
    };
    let mut seen: Vec<_> = kept
        .iter()
        .filter(|at| is_named(**at))
        .filter_map(|at| operations.get(*at))
        .map(|grant| (grant.key, grant.token))
        .collect();
    for (at, operation) in operations.iter().enumerate() {
        let token = (operation.key, operation.token);
        // The first grant of a token will do.
        if kept.len() < MOST && is_named(at) && !seen.contains(&token) {
            seen.push(token);
            kept.push(at);
        }
    }
    for at in meanwhile(history, &kept) {
        if kept.len() < MOST && !kept.contains(&at) {
            kept.push(at);
        }
    }
    kept.sort_by_key(|at| operations.get(*at).map(|o| (o.invoked, o.returned, *at)));
    kept
}

/// What holders without tokens did before the last of these grants.
fn meanwhile(history: &History, culprits: &[usize]) -> Vec<usize> {
    let operations = history.operations();
    let named = culprits.iter().filter_map(|at| operations.get(*at));
    let grants: Vec<_> = named.filter(|o| is_grant(o) && o.token == 0).collect();
    let until = grants.iter().map(|grant| grant.returned).max();
    let is_of = |o: &Operation, grant: &Operation| {
        (o.key, o.client, o.task) == (grant.key, grant.client, grant.task)
            && o.invoked >= grant.returned
    };
    let is_meant = |o: &Operation| {
        o.step != Step::Acquire
            && until.is_some_and(|until| o.invoked < until)
            && grants.iter().any(|grant| is_of(o, grant))
    };
    let all = operations.iter().enumerate();
    all.filter(|(_, o)| is_meant(o)).map(|(at, _)| at).collect()
}
