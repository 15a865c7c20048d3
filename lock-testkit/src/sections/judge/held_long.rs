//! SV-4: a lock is not held longer than the others can wait.

use super::super::Watch;
use super::super::evidence::{Evidence, seconds};
use super::super::rule::Rule;
use super::super::verdict::Finding;
use crate::history::Belief;

pub(super) fn find(evidence: &Evidence<'_>) -> Vec<Finding> {
    let held = evidence.held();
    let mut findings: Vec<Finding> = held
        .iter()
        .filter_map(|belief| over_limit(evidence, belief))
        .collect();
    for served in &evidence.inner.requests {
        let late = held.iter().filter(|belief| {
            belief.task == served.task
                && (served.from..served.until.min(served.deadline)).contains(&belief.from)
                && belief.until.min(evidence.now) > served.deadline
        });
        findings.extend(late.map(|belief| {
            let what = format!(
                "it was still held after the deadline of the request {:?}, {}",
                served.name,
                seconds(served.deadline)
            );
            finding(evidence, belief, served.deadline, what)
        }));
    }
    findings
}

fn over_limit(evidence: &Evidence<'_>, belief: &Belief) -> Option<Finding> {
    let history = evidence.history;
    let lease = evidence.lease(history.key_name(belief.key), belief.token)?;
    let by_default = lease
        .grant
        .ttl_ns
        .saturating_mul(u64::from(Watch::HOLD_LIMIT_TTLS));
    let limit = evidence.inner.hold_limit.map_or(by_default, |limit| {
        u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)
    });
    let until = belief.until.min(evidence.now);
    let length = until.saturating_sub(belief.from);
    let what = || {
        format!(
            "it was held for {}, since {}, and the limit is {}",
            seconds(length),
            seconds(belief.from),
            seconds(limit)
        )
    };
    (length > limit).then(|| finding(evidence, belief, until, what()))
}

fn finding(evidence: &Evidence<'_>, belief: &Belief, at_ns: u64, what: String) -> Finding {
    Finding {
        rule: Rule::Sv4,
        who: evidence.who(belief.client, belief.task),
        lock: evidence.history.key_name(belief.key).to_owned(),
        token: Some(belief.token),
        at_ns,
        what,
    }
}
