//! The clients: each task acquires, uses and gives back, one thing after another.

use super::*;

impl World {
    pub(super) fn go(&mut self, task: usize) {
        match self.tasks[task].phase {
            Phase::Idle => self.acquire(task),
            Phase::Asleep => self.attempt(task),
            Phase::Holding => self.use_it(task),
            _ => {}
        }
    }

    pub(super) fn push(&mut self, task: usize, step: Step, token: u64, value: Value) -> usize {
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

    pub(super) fn end(&mut self, task: usize, outcome: Outcome, returned: u64) {
        let at = self.tasks[task].at;
        if let Some(operation) = self.history.operation_mut(at) {
            (operation.outcome, operation.returned) = (outcome, returned);
        }
    }

    pub(super) fn rest(&mut self, task: usize) {
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

    pub(super) fn acquire(&mut self, task: usize) {
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

    pub(super) fn attempt(&mut self, task: usize) {
        self.tasks[task].phase = Phase::Attempting;
        self.tasks[task].is_woken = false;
        self.send(task, Kind::Acquire);
    }

    /// Sends a request, which may get lost, or be late, or its reply be lost.
    pub(super) fn send(&mut self, task: usize, step: Kind) {
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

    pub(super) fn answered(&mut self, task: usize, answer: Answer) {
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

    pub(super) fn sleep(&mut self, task: usize) {
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

    pub(super) fn give_up(&mut self, task: usize) {
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

    pub(super) fn unanswered(&mut self, task: usize) {
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

    pub(super) fn hold(&mut self, task: usize, token: u64, value: u64) {
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

    pub(super) fn wait_to_use(&mut self, task: usize) {
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

    pub(super) fn use_it(&mut self, task: usize) {
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

    pub(super) fn stepped(&mut self, task: usize, kind: Kind, answer: Answer) {
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
    pub(super) fn disbelieve(&mut self, task: usize, until: u64) {
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
