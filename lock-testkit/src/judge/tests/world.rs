//! A small correct lease lock among clients with latency, lost messages, crashes and pauses, event
//! by event; and ways to break it.
#![expect(clippy::arithmetic_side_effects, reason = "numbers are small")]

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
            Event::Claimed { key, owner } => {
                if self.stores[key].kept_for == Some(owner) && self.stores[key].holder.is_none() {
                    self.pass_on(key);
                }
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

    // The store.

    fn serve(&mut self, task: usize, request: Request) -> Answer {
        let Request {
            step,
            key,
            owner,
            token,
            value,
        } = request;
        self.expire(key);
        if step == Kind::Acquire {
            return self.grant(task, key, owner);
        }
        let store = &mut self.stores[key];
        let Some((holder, present, expires)) = store.holder else {
            return Answer::Refused;
        };
        if present != token {
            return Answer::Refused;
        }
        if matches!(step, Kind::Commit | Kind::CommitRelease) {
            store.value = value;
        }
        match step {
            Kind::Renew => {
                let until = self.now + TTL + self.dice.below(2);
                self.stores[key].holder = Some((holder, present, expires.max(until)));
            }
            Kind::CommitRelease | Kind::Release => {
                store.holder = None;
                store.ended.insert(holder);
                self.tell(key);
            }
            _ => {}
        }
        Answer::Done { token, value }
    }

    fn expire(&mut self, key: usize) {
        let bug = self.style.bug;
        let store = &mut self.stores[key];
        let Some((owner, token, expires)) = store.holder else {
            return;
        };
        let is_unheard = !self.heard.contains(&token);
        let is_kept = bug == Bug::KeepsLeases || (bug == Bug::KeepsOrphans && is_unheard);
        if self.now >= expires && !is_kept {
            store.holder = None;
            store.ended.insert(owner);
        }
    }

    fn grant(&mut self, task: usize, key: usize, owner: u64) -> Answer {
        let until = self.now + TTL + self.dice.below(2);
        let skip = self.dice.below(3);
        let store = &mut self.stores[key];
        let value = store.value;
        if store.ended.contains(&owner) {
            return Answer::Refused;
        }
        if let Some((holder, token, expires)) = store.holder
            && holder == owner
        {
            store.holder = Some((holder, token, expires.max(until)));
            return Answer::Done { token, value };
        }
        let is_kept = store.kept_for.is_some_and(|first| first != owner);
        if store.holder.is_some() || is_kept {
            if !store.line.iter().any(|(other, _)| *other == owner) && store.kept_for != Some(owner)
            {
                store.line.push_back((owner, task));
            }
            return Answer::Refused;
        }
        store.kept_for = None;
        store.line.retain(|(other, _)| *other != owner);
        store.last += 1 + skip;
        let token = store.last;
        store.holder = Some((owner, token, until));
        Answer::Done { token, value }
    }

    /// Tells a release to who waits.
    fn tell(&mut self, key: usize) {
        if self.style.has_line {
            return self.pass_on(key);
        }
        for (owner, task) in std::mem::take(&mut self.stores[key].line) {
            self.wake(task, owner);
        }
    }

    /// Keeps the lock for the next in line.
    fn pass_on(&mut self, key: usize) {
        let line = &mut self.stores[key].line;
        let next = match self.style.bug {
            Bug::LastFirst => line.pop_back(),
            _ => line.pop_front(),
        };
        self.stores[key].kept_for = next.map(|(owner, _)| owner);
        if let Some((owner, task)) = next {
            self.later(CLAIM, Event::Claimed { key, owner });
            self.wake(task, owner);
        }
    }

    fn wake(&mut self, task: usize, owner: u64) {
        let way = 1 + self.dice.below(WAY);
        if self.style.push && self.style.bug != Bug::Silent && !self.fault(8) {
            self.later(way, Event::Wake { task, owner });
        }
    }

    fn leave(&mut self, key: usize, owner: u64) {
        self.stores[key].line.retain(|(other, _)| *other != owner);
        if self.stores[key].kept_for == Some(owner) && self.stores[key].holder.is_none() {
            self.pass_on(key);
        }
    }

    // The clients.

    fn go(&mut self, task: usize) {
        match self.tasks[task].phase {
            Phase::Idle => self.acquire(task),
            Phase::Asleep => self.attempt(task),
            Phase::Holding => self.use_it(task),
            _ => {}
        }
    }

    fn push(&mut self, task: usize, step: Step, token: u64, value: Value) -> usize {
        let of = &self.tasks[task];
        self.history.push(Operation {
            invoked: self.now,
            returned: NEVER,
            token: if self.style.has_tokens { token } else { 0 },
            ttl_ns: TTL,
            key: self.keys[of.key],
            client: u32::try_from(task / 2).unwrap(),
            task: u16::try_from(task % 2).unwrap(),
            value,
            step,
            outcome: Outcome::Unknown,
        })
    }

    fn end(&mut self, task: usize, outcome: Outcome, returned: u64) {
        let at = self.tasks[task].at;
        if let Some(operation) = self.history.operation_mut(at) {
            (operation.outcome, operation.returned) = (outcome, returned);
        }
    }

    fn rest(&mut self, task: usize) {
        let of = &mut self.tasks[task];
        of.phase = if of.rounds == 0 {
            Phase::Over
        } else {
            Phase::Idle
        };
        of.call += 1;
        let call = of.call;
        let pause = self.dice.below(400);
        self.later(pause, Event::Go { task, call });
    }

    fn acquire(&mut self, task: usize) {
        let key = usize::from(self.dice.one_in(3));
        let gives_up = self.now + self.dice.below(3_500);
        self.count += 1;
        let of = &mut self.tasks[task];
        of.rounds -= 1;
        (of.key, of.owner, of.gives_up) = (key, self.count, gives_up);
        (of.unheard, of.is_woken, of.token) = (0, false, 0);
        (of.has_missed, of.must_release) = (false, false);
        self.tasks[task].at = self.push(task, Step::Acquire, 0, Value::UNSEEN);
        self.attempt(task);
    }

    fn attempt(&mut self, task: usize) {
        self.tasks[task].phase = Phase::Attempting;
        self.tasks[task].is_woken = false;
        self.send(task, Kind::Acquire);
    }

    /// Sends a request, which may get lost, or be late, or its reply be lost.
    fn send(&mut self, task: usize, step: Kind) {
        let of = &mut self.tasks[task];
        of.call += 1;
        of.sent = self.now;
        let (call, request) = (
            of.call,
            Request {
                step,
                key: of.key,
                owner: of.owner,
                token: of.token,
                value: of.value,
            },
        );
        let mut way = 1 + self.dice.below(WAY);
        if self.fault(20) {
            way += self.dice.below(LATE);
        }
        let is_lost = self.fault(20);
        let is_heard = !self.fault(20);
        if !is_lost {
            self.later(
                way,
                Event::Arrive {
                    task,
                    call,
                    request,
                    is_heard,
                },
            );
            self.tasks[task].unheard = self.tasks[task].unheard.max(self.now + way);
        }
        self.later(PATIENCE, Event::Timeout { task, call });
    }

    fn answered(&mut self, task: usize, answer: Answer) {
        match (self.tasks[task].phase, answer) {
            (Phase::Attempting, Answer::Done { token, value }) => {
                let deadline = self.tasks[task].sent + TTL - MARGIN;
                if self.now >= deadline {
                    self.tasks[task].has_missed = true;
                    return self.attempt(task);
                }
                self.hold(task, token, value);
            }
            (Phase::Attempting, Answer::Refused) => {
                if self.now >= self.tasks[task].gives_up {
                    return self.give_up(task);
                }
                self.sleep(task);
            }
            (Phase::Stepping(kind), answer) => self.stepped(task, kind, answer),
            _ => {}
        }
    }

    fn sleep(&mut self, task: usize) {
        if self.tasks[task].is_woken {
            return self.attempt(task);
        }
        let of = &mut self.tasks[task];
        of.phase = Phase::Asleep;
        of.call += 1;
        let call = of.call;
        let pause = 1 + self.dice.below(POLL);
        self.later(pause, Event::Go { task, call });
    }

    fn give_up(&mut self, task: usize) {
        let of = &self.tasks[task];
        let (outcome, returned) = match of.has_missed {
            true => (Outcome::Unknown, self.now.max(of.unheard)),
            false => (Outcome::Refused, self.now),
        };
        self.end(task, outcome, returned);
        let (key, owner) = (self.tasks[task].key, self.tasks[task].owner);
        self.leave(key, owner);
        self.tasks[task].owner = 0;
        self.rest(task);
    }

    fn unanswered(&mut self, task: usize) {
        let unheard = self.tasks[task].unheard;
        self.tasks[task].has_missed = true;
        let phase = self.tasks[task].phase;
        match phase {
            Phase::Attempting if self.fault(6) => {
                // It crashes, or is cancelled; nobody notes when that can no longer matter.
                self.tasks[task].owner = 0;
                self.rest(task);
            }
            Phase::Attempting if self.now >= self.tasks[task].gives_up => {
                self.give_up(task);
            }
            Phase::Attempting => self.attempt(task),
            Phase::Stepping(kind) => {
                self.end(task, Outcome::Unknown, self.now.max(unheard));
                self.tasks[task].must_release |= kind == Kind::Commit;
                match kind {
                    Kind::Commit | Kind::Renew => self.wait_to_use(task),
                    _ => self.rest(task),
                }
            }
            _ => {}
        }
    }

    fn hold(&mut self, task: usize, token: u64, value: u64) {
        let value = match value {
            0 => Value::NONE,
            value => self.history.value(&format!("v{value}")),
        };
        let shown = if self.style.has_tokens { token } else { 0 };
        let deadline = match self.style.bug {
            Bug::BelievesTooLong => self.now + TTL,
            _ => self.tasks[task].sent + TTL - MARGIN,
        };
        let of = &mut self.tasks[task];
        self.heard.insert(token);
        of.token = token;
        of.believed = (self.now, deadline);
        if let Some(operation) = self.history.operation_mut(of.at) {
            (operation.token, operation.value) = (shown, value);
        }
        self.end(task, Outcome::Done, self.now);
        self.wait_to_use(task);
    }

    fn wait_to_use(&mut self, task: usize) {
        let of = &mut self.tasks[task];
        of.phase = Phase::Holding;
        of.call += 1;
        let call = of.call;
        let mut pause = self.dice.below(400);
        if self.fault(10) {
            pause += TTL;
        }
        self.later(pause, Event::Go { task, call });
    }

    fn use_it(&mut self, task: usize) {
        if self.fault(10) {
            // It crashes.
            self.disbelieve(task, NEVER);
            return self.rest(task);
        }
        let kind = match self.dice.below(5) {
            _ if self.tasks[task].must_release => Kind::Release,
            0 => Kind::Commit,
            1 => Kind::Renew,
            2 => Kind::Release,
            _ => Kind::CommitRelease,
        };
        let (step, writes) = match kind {
            Kind::Commit => (Step::Commit, true),
            Kind::CommitRelease => (Step::CommitRelease, true),
            Kind::Renew => (Step::Renew, false),
            _ => (Step::Release, false),
        };
        let token = self.tasks[task].token;
        let mut value = Value::UNSEEN;
        if writes {
            self.count += 1;
            self.tasks[task].value = self.count;
            value = self.history.value(&format!("v{}", self.count));
        }
        if matches!(kind, Kind::CommitRelease | Kind::Release) {
            self.disbelieve(task, self.now);
        }
        self.tasks[task].unheard = 0;
        self.tasks[task].at = self.push(task, step, token, value);
        self.tasks[task].phase = Phase::Stepping(kind);
        self.send(task, kind);
    }

    fn stepped(&mut self, task: usize, kind: Kind, answer: Answer) {
        let is_done = matches!(answer, Answer::Done { .. });
        let outcome = if is_done {
            Outcome::Done
        } else {
            Outcome::Refused
        };
        self.end(task, outcome, self.now);
        let sent = self.tasks[task].sent;
        match (kind, is_done) {
            (Kind::Renew, true) => {
                let until = &mut self.tasks[task].believed.1;
                // A belief that was over is not taken up again.
                if *until > self.now {
                    *until = (*until).max(sent + TTL - MARGIN);
                }
                self.wait_to_use(task);
            }
            (Kind::Commit, true) => self.wait_to_use(task),
            (Kind::Commit | Kind::Renew, false) => {
                self.disbelieve(task, self.now);
                self.rest(task);
            }
            _ => self.rest(task),
        }
    }

    /// Notes until when a task believed.
    fn disbelieve(&mut self, task: usize, until: u64) {
        let of = &self.tasks[task];
        let (from, deadline) = of.believed;
        self.history.believe(Belief {
            key: self.keys[of.key],
            client: u32::try_from(task / 2).unwrap(),
            task: u16::try_from(task % 2).unwrap(),
            token: if self.style.has_tokens { of.token } else { 0 },
            from,
            until: deadline.min(until),
        });
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
