//! The store: one atomic step a request.

use super::*;

impl World {
    pub(super) fn serve(&mut self, task: usize, request: Request) -> Answer {
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

    pub(super) fn expire(&mut self, key: usize) {
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

    pub(super) fn grant(&mut self, task: usize, key: usize, owner: u64) -> Answer {
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
    pub(super) fn tell(&mut self, key: usize) {
        if self.style.has_line {
            return self.pass_on(key);
        }
        for (owner, task) in std::mem::take(&mut self.stores[key].line) {
            self.wake(task, owner);
        }
    }

    /// Keeps the lock for the next in line.
    pub(super) fn pass_on(&mut self, key: usize) {
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

    pub(super) fn wake(&mut self, task: usize, owner: u64) {
        let way = 1 + self.dice.below(WAY);
        if self.style.push && self.style.bug != Bug::Silent && !self.fault(8) {
            self.later(way, Event::Wake { task, owner });
        }
    }

    pub(super) fn leave(&mut self, key: usize, owner: u64) {
        self.stores[key].line.retain(|(other, _)| *other != owner);
        if self.stores[key].kept_for == Some(owner) && self.stores[key].holder.is_none() {
            self.pass_on(key);
        }
    }
}
