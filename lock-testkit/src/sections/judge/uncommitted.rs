//! SV-3: a change is committed, and the commit awaited.

use super::super::evidence::{Evidence, seconds};
use super::super::rule::Rule;
use super::super::verdict::Finding;

pub(super) fn find(evidence: &Evidence<'_>) -> Vec<Finding> {
    let discards = evidence.inner.discards.iter().map(|discard| Finding {
        rule: Rule::Sv3,
        who: evidence.holder(&discard.lock, Some(discard.token), discard.task),
        lock: discard.lock.clone(),
        token: Some(discard.token),
        at_ns: discard.at,
        what: "a guard went out of use with a change that was not committed".to_owned(),
    });
    let broken = evidence.broken.iter().map(|broken| {
        let commit = broken.operation;
        let what = format!(
            "the commit that began at {} was dropped before its answer came: nobody knows whether \
             the value was written",
            seconds(commit.invoked)
        );
        Finding {
            rule: Rule::Sv3,
            who: evidence.who(commit.client, commit.task),
            lock: evidence.history.key_name(commit.key).to_owned(),
            token: Some(commit.token),
            at_ns: broken.at,
            what,
        }
    });
    discards.chain(broken).collect()
}
