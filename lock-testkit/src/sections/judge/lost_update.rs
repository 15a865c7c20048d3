//! SV-1: what is written is computed from what it replaces.

use std::collections::BTreeMap;

use super::super::Check;
use super::super::evidence::{Access, Evidence, Use, seconds, task_name};
use super::super::rule::Rule;
use super::super::verdict::Finding;
use crate::history::{Operation, Outcome, Step, Value};

pub(super) fn find(evidence: &Evidence<'_>) -> Vec<Finding> {
    let mut findings = of_values(evidence);
    findings.extend(of_resources(evidence));
    findings
}

/// Commits that the service's own check does not allow.
fn of_values(evidence: &Evidence<'_>) -> Vec<Finding> {
    let history = evidence.history;
    let mut findings = Vec::new();
    for (key, members) in history.by_key() {
        let name = history.key_name(key);
        let checks = evidence.inner.checks.iter();
        let checks: Vec<&Check> = checks.filter(|c| name.starts_with(&c.prefix)).collect();
        if checks.is_empty() {
            continue;
        }
        let mut done: Vec<&Operation> = members
            .iter()
            .filter_map(|at| history.operations().get(usize::try_from(*at).ok()?))
            .filter(|operation| operation.outcome == Outcome::Done)
            .collect();
        done.sort_by_key(|operation| operation.invoked);
        // What each lease has for the present value.
        let mut present: BTreeMap<u64, &Operation> = BTreeMap::new();
        for operation in &done {
            match operation.step {
                Step::Acquire => {
                    let _first = present.insert(operation.token, operation);
                }
                Step::Commit | Step::CommitRelease => {
                    let before = present.insert(operation.token, operation);
                    let judged = |check: &&Check| judge(evidence, check, before, operation);
                    if let Some(why) = checks.iter().find_map(judged) {
                        findings.push(finding(evidence, &done, before, operation, &why));
                    }
                }
                Step::ForceRelease | Step::Peek | Step::Release | Step::Renew => {}
            }
        }
    }
    findings
}

/// Why a check does not allow a commit.
fn judge(
    evidence: &Evidence<'_>,
    check: &Check,
    before: Option<&Operation>,
    commit: &Operation,
) -> Option<String> {
    let text = |value: Value| evidence.history.value_text(value);
    let before = before.and_then(|operation| text(operation.value));
    let after = text(commit.value)?;
    (check.judge)(before, after).err()
}

fn finding(
    evidence: &Evidence<'_>,
    done: &[&Operation],
    before: Option<&Operation>,
    commit: &Operation,
    why: &str,
) -> Finding {
    let history = evidence.history;
    let text = |value: Value| history.value_text(value).unwrap_or("nothing").to_owned();
    let was = before.map_or_else(|| "nothing".to_owned(), |before| text(before.value));
    let now = text(commit.value);
    let mut what = format!("{why}: {was} was replaced by {now}");
    // A look without the lock, by the same task, at something that had changed by then.
    let peek = done.iter().rev().find(|peek| {
        peek.step == Step::Peek
            && (peek.client, peek.task) == (commit.client, commit.task)
            && peek.invoked < commit.invoked
    });
    let is_stale = |peek: &Operation| before.is_some_and(|before| before.value != peek.value);
    if let Some(peek) = peek.filter(|peek| is_stale(peek)) {
        what.push_str(&format!(
            "; the same task had peeked without the lock at {} and seen {}, which was no longer so",
            seconds(peek.returned),
            text(peek.value)
        ));
    }
    Finding {
        rule: Rule::Sv1,
        who: evidence.who(commit.client, commit.task),
        lock: history.key_name(commit.key).to_owned(),
        token: Some(commit.token),
        at_ns: commit.returned,
        what,
    }
}

/// Writes to a resource by somebody who read it before another wrote it.
fn of_resources(evidence: &Evidence<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, write) in evidence.inner.uses.iter().enumerate() {
        if write.access != Access::Write {
            continue;
        }
        let before = evidence.inner.uses.iter().take(at).rev();
        let before = before.filter(|used| used.resource == write.resource);
        let mut between = None;
        for used in before {
            match (used.access, is_same(used, write)) {
                (Access::Write, true) | (Access::Refused, _) => break,
                (Access::Write, false) => between = Some(used),
                (Access::Read, false) => {}
                (Access::Read, true) => {
                    findings.extend(between.map(|other| undone(evidence, used, other, write)));
                    break;
                }
            }
        }
    }
    findings
}

/// Whether two uses are by one actor: a task or, outside of tasks, a lease.
fn is_same(one: &Use, other: &Use) -> bool {
    match (one.task, other.task) {
        (0, 0) => one.token == other.token,
        (one, other) => one == other,
    }
}

fn undone(evidence: &Evidence<'_>, read: &Use, other: &Use, write: &Use) -> Finding {
    let what = format!(
        "{:?} was written to {:?} after it was read at {}, and in between, at {}, {} had written {:?}",
        write.what,
        write.resource,
        seconds(read.at),
        seconds(other.at),
        task_name(other.task),
        other.what,
    );
    Finding {
        rule: Rule::Sv1,
        who: evidence.holder(&write.lock, write.token, write.task),
        lock: write.lock.to_string(),
        token: write.token,
        at_ns: write.at,
        what,
    }
}
