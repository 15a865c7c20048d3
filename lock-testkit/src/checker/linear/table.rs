//! Configurations of the just-in-time search, without those that another one dominates.

use std::collections::HashMap;
use std::hash::Hash;

use super::hash::{BuildQuick, hash_of};
use super::plan::CLASSES;

/// How many of each class of never-returning operations took effect.
pub(super) type Used = [u8; CLASSES];

/// A point that a search can be at.
#[derive(Clone, Debug)]
pub(super) struct Config<S> {
    pub(super) state: S,
    /// The open operations that took effect, by slot.
    pub(super) done: u64,
    pub(super) used: Used,
}

#[derive(Debug)]
struct Node<S> {
    config: Config<S>,
    /// The next with the same hash.
    next: u32,
    dominated: bool,
}

/// A set that is also a queue: what is added can be read in turn.
#[derive(Debug)]
pub(super) struct Table<S> {
    heads: HashMap<u64, u32, BuildQuick>,
    nodes: Vec<Node<S>>,
    read: usize,
}

const NONE: u32 = u32::MAX;

impl<S: Clone + Eq + Hash> Table<S> {
    pub(super) fn new() -> Self {
        Self {
            heads: HashMap::default(),
            nodes: Vec::new(),
            read: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        self.heads.clear();
        self.nodes.clear();
        self.read = 0;
    }

    /// Adds a configuration unless one is there that can do all that it can: the same state, the
    /// same mutators done, no fewer observers done and no more spent.
    pub(super) fn insert(&mut self, config: Config<S>, observers: u64) {
        let mutators = config.done & !observers;
        let hash = hash_of(&(&config.state, mutators));
        let head = self.heads.get(&hash).copied().unwrap_or(NONE);
        let mut at = head;
        while let Some(node) = usize::try_from(at).ok().and_then(|i| self.nodes.get_mut(i)) {
            let other = &node.config;
            at = node.next;
            if node.dominated || other.done & !observers != mutators || other.state != config.state
            {
                continue;
            }
            if other.done & config.done == config.done && no_more(&other.used, &config.used) {
                return;
            }
            if other.done & config.done == other.done && no_more(&config.used, &other.used) {
                node.dominated = true;
            }
        }
        let Ok(index) = u32::try_from(self.nodes.len()) else {
            return;
        };
        self.nodes.push(Node {
            config,
            next: head,
            dominated: false,
        });
        self.heads.insert(hash, index);
    }

    /// The next configuration that was not read yet.
    pub(super) fn pop(&mut self) -> Option<Config<S>> {
        while let Some(node) = self.nodes.get(self.read) {
            self.read = self.read.saturating_add(1);
            if !node.dominated {
                return Some(node.config.clone());
            }
        }
        None
    }

    /// Moves out all that none dominates.
    pub(super) fn drain_into(&mut self, frontier: &mut Vec<Config<S>>) {
        frontier.clear();
        let nodes = self.nodes.drain(..).filter(|node| !node.dominated);
        frontier.extend(nodes.map(|node| node.config));
        self.clear();
    }
}

fn no_more(some: &Used, others: &Used) -> bool {
    some.iter().zip(others).all(|(a, b)| a <= b)
}
