//! The depth-first search, with a memory of the points from which it failed.
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "nodes and entries were numbered at the start; this is the hot loop"
)]

use std::collections::HashSet;

use super::hash::{BuildQuick, random};
use super::{Entry, Found, Model, NEVER};

/// A search that can be halted and goes on where it was.
pub(super) struct Wgl<'a, M: Model> {
    model: &'a M,
    history: &'a [Entry<M::Op>],
    nodes: Vec<Node>,
    at: u32,
    /// How many that must take effect have not yet.
    missing: usize,
    state: M::State,
    /// A random word for each set of operations done: two sets share one with probability 2^-128.
    set: u128,
    seen: HashSet<(u128, M::State), BuildQuick>,
    trail: Vec<Frame<M::State>>,
}

/// An invocation or a return in the doubly linked list of what is not placed yet.
#[derive(Clone, Copy, Debug)]
struct Node {
    entry: usize,
    previous: u32,
    next: u32,
    /// The node of the return, for an invocation; itself for a return.
    partner: u32,
}

struct Frame<S> {
    node: u32,
    before: S,
    /// Nothing else needs to be tried in its stead.
    is_forced: bool,
}

const HEAD: u32 = 0;
const NONE: u32 = u32::MAX;

impl<'a, M: Model> Wgl<'a, M> {
    pub(super) fn new(model: &'a M, history: &'a [Entry<M::Op>], members: &[usize]) -> Self {
        let mut stamps: Vec<(u64, bool, usize)> = Vec::with_capacity(members.len() * 2);
        for index in members {
            let entry = &history[*index];
            let is_idle = entry.returned == NEVER && model.observes(&entry.op);
            if !is_idle {
                stamps.push((entry.invoked, false, *index));
            }
            if entry.returned != NEVER {
                stamps.push((entry.returned.max(entry.invoked), true, *index));
            }
        }
        stamps.sort_unstable();
        let mut nodes = Vec::with_capacity(stamps.len() + 1);
        nodes.push(Node {
            entry: usize::MAX,
            previous: NONE,
            next: NONE,
            partner: HEAD,
        });
        let mut calls = std::collections::HashMap::with_hasher(BuildQuick::default());
        for (_, is_return, entry) in stamps {
            let at = id(nodes.len());
            let previous = at - 1;
            nodes[previous as usize].next = at;
            let mut partner = if is_return { at } else { NONE };
            if is_return {
                let call: u32 = calls.remove(&entry).unwrap_or(NONE);
                nodes[call as usize].partner = at;
                partner = at;
            } else {
                calls.insert(entry, at);
            }
            nodes.push(Node {
                entry,
                previous,
                next: NONE,
                partner,
            });
        }
        let is_missing = |i: &&usize| !history[**i].optional && history[**i].returned != NEVER;
        Self {
            model,
            history,
            at: nodes[HEAD as usize].next,
            missing: members.iter().filter(is_missing).count(),
            nodes,
            state: model.initial(),
            set: 0,
            seen: HashSet::default(),
            trail: Vec::new(),
        }
    }

    /// Goes on for about so many steps of the model; says how many it took.
    pub(super) fn run(&mut self, allowance: u64) -> (u64, Option<Found>) {
        let mut steps = 0;
        while self.missing > 0 {
            if steps > allowance {
                return (steps, None);
            }
            steps += 1;
            let Some(node) = self.nodes.get(self.at as usize).copied() else {
                // The list's end was reached, so nothing that can go next is left.
                if !self.back() {
                    return (steps, Some(self.failed()));
                }
                continue;
            };
            let entry = &self.history[node.entry];
            if node.partner == self.at {
                // A return. What is optional may be given up here; what is not blocks the way.
                let gave_up = entry.optional && self.give_up(node.entry);
                if !gave_up && !self.back() {
                    return (steps, Some(self.failed()));
                }
                continue;
            }
            let next = self.model.step(&self.state, entry);
            let is_idle = |state: &M::State| entry.optional && *state == self.state;
            let Some(state) = next.filter(|state| !is_idle(state)) else {
                self.at = node.next;
                continue;
            };
            if !self.place(self.at, state) {
                if !self.model.observes(&entry.op) {
                    self.at = node.next;
                } else if !self.back() {
                    // An observer that can be placed may be: with it, this point failed before.
                    return (steps, Some(self.failed()));
                }
            }
        }
        (steps, Some(Found::Legal))
    }

    fn failed(&self) -> Found {
        let last = self.nodes.iter().rev().find(|n| n.entry != usize::MAX);
        Found::Stuck(last.map_or(0, |node| node.entry))
    }

    /// Places the operation next, unless this failed before.
    fn place(&mut self, at: u32, state: M::State) -> bool {
        let entry = self.nodes[at as usize].entry;
        let set = self.set ^ mark(entry);
        if !self.seen.insert((set, state.clone())) {
            return false;
        }
        let op = &self.history[entry];
        self.missing -= usize::from(!op.optional && op.returned != NEVER);
        self.set = set;
        self.lift(at);
        self.trail.push(Frame {
            node: at,
            before: std::mem::replace(&mut self.state, state),
            is_forced: self.model.observes(&op.op),
        });
        self.at = self.nodes[HEAD as usize].next;
        true
    }

    /// Drops an optional operation whose time is over. Its return is where the search stands.
    fn give_up(&mut self, entry: usize) -> bool {
        let mut call = HEAD;
        while call != NONE {
            let node = self.nodes[call as usize];
            if node.partner == self.at && call != self.at {
                break;
            }
            call = node.next;
        }
        let set = self.set ^ mark(entry);
        if call == NONE || !self.seen.insert((set, self.state.clone())) {
            return false;
        }
        self.set = set;
        self.lift(call);
        self.trail.push(Frame {
            node: call,
            before: self.state.clone(),
            is_forced: true,
        });
        self.at = self.nodes[HEAD as usize].next;
        true
    }

    /// Takes back what was placed last and has an alternative; `false` if nothing has.
    fn back(&mut self) -> bool {
        while let Some(frame) = self.trail.pop() {
            let node = self.nodes[frame.node as usize];
            let entry = &self.history[node.entry];
            self.missing += usize::from(!entry.optional && entry.returned != NEVER);
            self.set ^= mark(node.entry);
            self.state = frame.before;
            self.unlift(frame.node);
            if !frame.is_forced {
                self.at = self.nodes[frame.node as usize].next;
                return true;
            }
        }
        false
    }

    fn lift(&mut self, call: u32) {
        self.unlink(call);
        let partner = self.nodes[call as usize].partner;
        if partner != NONE {
            self.unlink(partner);
        }
    }

    fn unlift(&mut self, call: u32) {
        let partner = self.nodes[call as usize].partner;
        if partner != NONE {
            self.link(partner);
        }
        self.link(call);
    }

    fn unlink(&mut self, at: u32) {
        let Node { previous, next, .. } = self.nodes[at as usize];
        self.nodes[previous as usize].next = next;
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
    }

    fn link(&mut self, at: u32) {
        let Node { previous, next, .. } = self.nodes[at as usize];
        self.nodes[previous as usize].next = at;
        if next != NONE {
            self.nodes[next as usize].previous = at;
        }
    }
}

/// The random word of an operation.
fn mark(entry: usize) -> u128 {
    let index = entry as u64;
    u128::from(random(index * 2)) << 64 | u128::from(random(index * 2 + 1))
}

fn id(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(NONE)
}
