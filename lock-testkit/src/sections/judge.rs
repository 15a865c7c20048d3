//! The rules, each a function from what was seen to what is wrong.

mod after_loss;
mod held_long;
mod lost_update;
mod order;
mod uncommitted;

use super::evidence::Evidence;
use super::verdict::Finding;

/// What breaks any rule, by rule and then by time.
pub(super) fn all(evidence: &Evidence<'_>) -> Vec<Finding> {
    let mut findings = lost_update::find(evidence);
    findings.extend(after_loss::find(evidence));
    findings.extend(uncommitted::find(evidence));
    findings.extend(held_long::find(evidence));
    findings.extend(order::find(evidence));
    findings.sort_by_key(|finding| (finding.rule, finding.at_ns));
    findings
}
