//! What the just-in-time search knows of a part before it begins.

use super::{Entry, Model, NEVER};

/// One step of time: an operation is invoked, or must have taken effect.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// An operation that will return opens a slot.
    Open { entry: usize, slot: u32 },
    /// One more of a class of operations that never return.
    More { class: usize },
    /// The operation in the slot must have taken effect, or is given up if it is optional.
    Close { entry: usize, slot: u32 },
}

/// Operations that are equal and never return: any number of them may have taken effect.
#[derive(Debug)]
pub(super) struct Class {
    /// In the order of their invocations.
    pub(super) members: Vec<usize>,
    pub(super) resets: bool,
}

/// An observer that must be placed before it returns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    pub(super) entry: usize,
    pub(super) slot: u32,
    pub(super) opened: usize,
    pub(super) closed: usize,
}

/// Events, slots and classes of one part.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) events: Vec<Event>,
    pub(super) classes: Vec<Class>,
    /// By the time of their return.
    pub(super) goals: Vec<Goal>,
    /// How many operations that reset were invoked before each event.
    pub(super) resets: Vec<u32>,
}

/// How many operations may be open at once, and how many classes there may be.
pub(super) const SLOTS: u32 = 64;
pub(super) const CLASSES: usize = 32;
const MEMBERS: usize = 255;

impl Plan {
    /// `None` if more is open at once than the search can keep.
    pub(super) fn new<M: Model>(
        model: &M,
        history: &[Entry<M::Op>],
        members: &[usize],
    ) -> Option<Self> {
        let mut plan = Self {
            events: Vec::new(),
            classes: Vec::new(),
            goals: Vec::new(),
            resets: Vec::new(),
        };
        let mut free: u64 = u64::MAX;
        let mut slots: Vec<(usize, u32, usize)> = Vec::new();
        let mut resets = 0_u32;
        for (_, closes, index) in stamps(history, members) {
            let entry = history.get(index)?;
            let now = plan.events.len();
            plan.resets.push(resets);
            if closes {
                let at = slots.iter().position(|(of, _, _)| *of == index)?;
                let (_, slot, opened) = slots.swap_remove(at);
                free |= 1 << slot;
                plan.events.push(Event::Close { entry: index, slot });
                if model.observes(&entry.op) && !entry.optional {
                    plan.goals.push(Goal {
                        entry: index,
                        slot,
                        opened,
                        closed: now,
                    });
                }
                continue;
            }
            let resets_here = !model.observes(&entry.op) && model.resets(&entry.op);
            resets = resets.saturating_add(u32::from(resets_here));
            if entry.returned == NEVER {
                // One that only observes and never returned says nothing.
                if model.observes(&entry.op) {
                    plan.resets.pop();
                    continue;
                }
                let class = plan.class(history, index, resets_here)?;
                plan.events.push(Event::More { class });
            } else {
                let slot = free.trailing_zeros();
                if slot >= SLOTS {
                    return None;
                }
                free &= !(1 << slot);
                slots.push((index, slot, now));
                plan.events.push(Event::Open { entry: index, slot });
            }
        }
        plan.resets.push(resets);
        Some(plan)
    }

    fn class<O: Eq>(&mut self, history: &[Entry<O>], index: usize, resets: bool) -> Option<usize> {
        let op = &history.get(index)?.op;
        let same = |class: &Class| {
            let first = class.members.first().and_then(|first| history.get(*first));
            first.is_some_and(|first| first.op == *op)
        };
        if let Some(at) = self.classes.iter().position(same) {
            let members = &mut self.classes.get_mut(at)?.members;
            members.push(index);
            return (members.len() <= MEMBERS).then_some(at);
        }
        let members = vec![index];
        self.classes.push(Class { members, resets });
        (self.classes.len() <= CLASSES).then(|| self.classes.len().saturating_sub(1))
    }
}

/// Invocations and returns in order of time, with invocations first.
fn stamps<O>(history: &[Entry<O>], members: &[usize]) -> Vec<(u64, bool, usize)> {
    let mut stamps = Vec::with_capacity(members.len().saturating_mul(2));
    for index in members {
        let Some(entry) = history.get(*index) else {
            continue;
        };
        stamps.push((entry.invoked, false, *index));
        if entry.returned != NEVER {
            stamps.push((entry.returned.max(entry.invoked), true, *index));
        }
    }
    stamps.sort_unstable();
    stamps
}
