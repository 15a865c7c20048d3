//! A small correct lease lock among clients with latency, lost messages, crashes and pauses, event
//! by event; and ways to break it.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "numbers are small, and what is not named does nothing"
)]

mod client;
mod store;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};

use crate::checker::cases::Dice;
use crate::history::{
    Belief, History, Key, Mark, MarkKind, NEVER, Operation, Outcome, Step, Value,
};

pub(super) const TTL: u64 = 1_000;
/// The longest way of a message in one direction.
const WAY: u64 = 20;
/// When a client stops waiting for a reply.
const PATIENCE: u64 = 50;
/// The longest sleep of a waiter that nobody wakes.
pub(super) const POLL: u64 = 150;
/// How long the lock is kept for the first in line.
const CLAIM: u64 = 60;
/// How much later a late request arrives.
const LATE: u64 = 1_500;
/// What a client gives up of its lease for its clock.
const MARGIN: u64 = 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    /// A lease is believed for the ttl from the answer on.
    BelievesTooLong,
    /// An acquire that nobody heard of is never over.
    KeepsOrphans,
    /// A lease is never over.
    KeepsLeases,
    /// The last in line is served first.
    LastFirst,
    None,
    /// No release is told.
    Silent,
}

#[derive(Clone, Copy)]
pub(super) struct Style {
    pub(super) bug: Bug,
    pub(super) has_line: bool,
    pub(super) has_tokens: bool,
    pub(super) push: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive {
        task: usize,
        call: u64,
        request: Request,
        is_heard: bool,
    },
    Claimed {
        key: usize,
        owner: u64,
    },
    Heal,
    Reply {
        task: usize,
        call: u64,
        answer: Answer,
    },
    Timeout {
        task: usize,
        call: u64,
    },
    /// The task goes on by itself.
    Go {
        task: usize,
        call: u64,
    },
    Wake {
        task: usize,
        owner: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    step: Kind,
    key: usize,
    owner: u64,
    token: u64,
    value: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Acquire,
    Commit,
    CommitRelease,
    Release,
    Renew,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Done { token: u64, value: u64 },
    Refused,
}

#[derive(Default)]
struct Store {
    holder: Option<(u64, u64, u64)>,
    last: u64,
    /// The number of the value; 0 if none was ever written.
    value: u64,
    ended: HashSet<u64>,
    line: VecDeque<(u64, usize)>,
    kept_for: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Asleep,
    Attempting,
    Holding,
    Idle,
    Over,
    Stepping(Kind),
}

struct Task {
    phase: Phase,
    /// The number of its last call: what concerns an earlier one is stale.
    call: u64,
    sent: u64,
    rounds: u64,
    key: usize,
    owner: u64,
    /// The operation under way.
    at: usize,
    gives_up: u64,
    is_woken: bool,
    /// When the last request that it heard no reply to arrives; 0 if there is none.
    unheard: u64,
    /// Whether it may have been granted without hearing of it.
    has_missed: bool,
    token: u64,
    believed: (u64, u64),
    /// The number of the value that it writes.
    value: u64,
    /// Whether a commit of it may still arrive.
    must_release: bool,
}

pub(super) struct World {
    dice: Dice,
    style: Style,
    now: u64,
    count: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    history: History,
    keys: Vec<Key>,
    stores: Vec<Store>,
    tasks: Vec<Task>,
    /// Tokens of all grants that were handed out.
    heard: HashSet<u64>,
    faults_until: u64,
}

/// One run: faults first, then a healed phase.
pub(super) fn run(seed: u64, style: Style) -> History {
    let mut history = History::new();
    let keys = vec![history.key("a"), history.key("b")];
    let mut dice = Dice(seed);
    let faults_until = dice.below(8_000);
    let mut world = World {
        style,
        now: 0,
        count: 0,
        events: BinaryHeap::new(),
        history,
        keys,
        stores: vec![Store::default(), Store::default()],
        tasks: Vec::new(),
        heard: HashSet::new(),
        faults_until,
        dice,
    };
    for task in 0..4 {
        world.tasks.push(Task {
            phase: Phase::Idle,
            call: 0,
            sent: 0,
            rounds: 4 + world.dice.below(6),
            key: 0,
            owner: 0,
            at: 0,
            gives_up: 0,
            is_woken: false,
            unheard: 0,
            has_missed: false,
            token: 0,
            believed: (0, 0),
            value: 0,
            must_release: false,
        });
        let start = world.dice.below(300);
        world.later(start, Event::Go { task, call: 0 });
    }
    // By then all that was late has arrived.
    world.later(faults_until + LATE + WAY, Event::Heal);
    while let Some(Reverse((now, _, event))) = world.events.pop() {
        world.now = now;
        world.happen(event);
    }
    world.history
}

impl World {
    fn later(&mut self, delay: u64, event: Event) {
        self.count += 1;
        self.events
            .push(Reverse((self.now + delay, self.count, event)));
    }

    fn is_faulty(&self) -> bool {
        self.now < self.faults_until
    }

    fn fault(&mut self, one_in: u64) -> bool {
        self.is_faulty() && self.dice.one_in(one_in)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive {
                task,
                call,
                request,
                is_heard,
            } => {
                let answer = self.serve(task, request);
                if is_heard {
                    let way = 1 + self.dice.below(WAY);
                    self.later(way, Event::Reply { task, call, answer });
                }
            }
            Event::Claimed { key, owner }
                if self.stores[key].kept_for == Some(owner)
                    && self.stores[key].holder.is_none() =>
            {
                self.pass_on(key);
            }
            Event::Heal => self.heal(),
            Event::Reply { task, call, answer } if self.tasks[task].call == call => {
                self.tasks[task].call += 1;
                self.answered(task, answer);
            }
            Event::Timeout { task, call } if self.tasks[task].call == call => {
                self.tasks[task].call += 1;
                self.unanswered(task);
            }
            Event::Go { task, call } if self.tasks[task].call == call => self.go(task),
            Event::Wake { task, owner } if self.tasks[task].owner == owner => {
                match self.tasks[task].phase {
                    Phase::Asleep => self.attempt(task),
                    Phase::Attempting => self.tasks[task].is_woken = true,
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn heal(&mut self) {
        self.history.heal_at(self.now);
        // Places in line end with the lives of those who had them.
        for key in 0..self.stores.len() {
            let line = std::mem::take(&mut self.stores[key].line);
            let lives = |(owner, task): &(u64, usize)| {
                let task = &self.tasks[*task];
                task.owner == *owner && matches!(task.phase, Phase::Asleep | Phase::Attempting)
            };
            self.stores[key].line = line.into_iter().filter(lives).collect();
        }
    }
}

/// Marks that a durable store was restarted now and then, which nobody may notice.
pub(super) fn restarts(history: &mut History) {
    for from in [500, 1_500, 4_000] {
        history.mark(Mark {
            from,
            until: from + 10,
            client: None,
            kind: MarkKind::Restart,
            text: "restart".to_owned(),
        });
    }
}
