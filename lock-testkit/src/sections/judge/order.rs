//! SV-5: several locks are always taken in one order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::evidence::{Evidence, seconds};
use super::super::rule::Rule;
use super::super::verdict::Finding;
use crate::history::{Key, Operation, Step};

/// For each pair of locks, the first acquire of the second by somebody who held the first.
type Edges = BTreeMap<(Key, Key), Operation>;

pub(super) fn find(evidence: &Evidence<'_>) -> Vec<Finding> {
    let edges = edges(evidence);
    let mut seen: BTreeSet<Vec<Key>> = BTreeSet::new();
    let mut findings = Vec::new();
    for (from, to) in edges.keys() {
        let Some(mut round) = way(&edges, *to, *from) else {
            continue;
        };
        let first = *from;
        let mut members = round.clone();
        members.sort_unstable();
        if seen.insert(members) {
            round.push(*to);
            findings.push(finding(evidence, &edges, first, &round));
        }
    }
    findings
}

fn edges(evidence: &Evidence<'_>) -> Edges {
    let held = evidence.held();
    let mut edges = Edges::new();
    for (at, asked) in evidence.history.operations().iter().enumerate() {
        // Who does not wait cannot be part of a deadlock.
        if asked.step != Step::Acquire || evidence.tries.contains(&at) {
            continue;
        }
        for belief in &held {
            let is_within = (belief.from..belief.until).contains(&asked.invoked);
            let is_same = (belief.client, belief.task) == (asked.client, asked.task);
            if is_within && is_same && belief.key != asked.key {
                let _first = edges.entry((belief.key, asked.key)).or_insert(*asked);
            }
        }
    }
    edges
}

/// The shortest way from one lock to another, both included.
fn way(edges: &Edges, from: Key, to: Key) -> Option<Vec<Key>> {
    let mut before: BTreeMap<Key, Key> = BTreeMap::new();
    let mut next = VecDeque::from([from]);
    while let Some(key) = next.pop_front() {
        if key == to {
            let mut way = vec![to];
            let mut at = to;
            while let Some(earlier) = before.get(&at).filter(|_| at != from) {
                way.push(*earlier);
                at = *earlier;
            }
            way.reverse();
            return Some(way);
        }
        for (_, after) in edges.keys().filter(|(first, _)| *first == key) {
            if *after != from && !before.contains_key(after) {
                let _new = before.insert(*after, key);
                next.push_back(*after);
            }
        }
    }
    None
}

fn finding(evidence: &Evidence<'_>, edges: &Edges, first: Key, round: &[Key]) -> Finding {
    let name = |key: Key| evidence.history.key_name(key).to_owned();
    let mut parts = Vec::new();
    let mut at_ns = 0;
    let mut who = String::new();
    let mut from = first;
    // From the first lock to the one asked for while it was held, and on until the first again.
    let (last, rest) = round.split_last().unwrap_or((&first, &[]));
    for to in std::iter::once(last).chain(rest.iter().skip(1)) {
        if let Some(asked) = edges.get(&(from, *to)) {
            let by = evidence.who(asked.client, asked.task);
            parts.push(format!(
                "{by} held {:?} and asked for {:?} at {}",
                name(from),
                name(*to),
                seconds(asked.invoked)
            ));
            at_ns = at_ns.max(asked.invoked);
            who = by;
        }
        from = *to;
    }
    let names: Vec<String> = rest.iter().map(|key| format!("{:?}", name(*key))).collect();
    Finding {
        rule: Rule::Sv5,
        who,
        lock: names.join(", "),
        token: None,
        at_ns,
        what: parts.join("; "),
    }
}
