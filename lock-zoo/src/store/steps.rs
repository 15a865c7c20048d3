//! The steps of the contract, with their defects.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream;
use lock_core::{
    Acquire, Acquisition, Alarms, Capabilities, Commit, Error, ErrorKind, ForcedRelease, Hints,
    LockBackend, LockInfo, LockName, LossCause, OwnerId, Peeked, Refusal, Release, Renew, Renewal,
    Stored, Then,
};
use tokio::sync::mpsc;

use super::{Defect, Handle, LAG, ZooStore};

#[async_trait]
impl LockBackend for Handle {
    fn kind(&self) -> &'static str {
        "zoo"
    }

    fn capabilities(&self) -> Capabilities {
        ZooStore::capabilities(self.shared.has_line)
    }

    async fn acquire(&self, request: &Acquire) -> Result<Acquisition, Error> {
        let mut inner = self.shared.lock();
        let key = self.key(&request.name);
        let owner = self.owner(request.owner);
        let now = self.now();
        let defect = self.shared.defect;
        let client = self.client;
        let has_line = self.shared.has_line;
        let record = self.look(&mut inner, &key);
        let is_mine = record.lease.as_ref().is_some_and(|l| l.owner == owner);
        let is_over = !is_mine && record.ended == Some(owner);
        if is_over && defect != Defect::OwnerIsClient {
            return Ok(Acquisition::Ended);
        }
        let is_kept = record.reserved.is_some_and(|(for_whom, until)| {
            for_whom != request.owner && now < until && defect != Defect::IgnoresReservation
        });
        let heard = record.freed.map(|freed| freed.after(LAG));
        let heard = heard.filter(|at| defect == Defect::AsksReplicaWhetherFree && now < *at);
        if is_mine || (record.lease.is_none() && !is_kept && heard.is_none()) {
            return Ok(self.grant(request, &mut inner, &key));
        }
        let expires_in = match (&record.lease, record.reserved) {
            (Some(lease), _) => Some(lease.expires.since(now)),
            (None, Some((_, until))) => Some(until.since(now)),
            (None, None) => heard.map(|at| at.since(now)),
        };
        if request.stand_in_line && has_line {
            let until = now.after(expires_in.unwrap_or_default()).after(LAPSE);
            record.line.stand(request.owner, client, until, now);
        }
        Ok(Acquisition::Refused(Refusal::new(expires_in)))
    }

    async fn renew(&self, requests: &[Renew]) -> Vec<Result<Renewal, Error>> {
        let answers = requests.iter().map(|request| Ok(self.renew_one(request)));
        answers.collect()
    }

    async fn commit(&self, request: &Commit) -> Result<Stored, Error> {
        let key = self.key(&request.name);
        let owner = self.owner(request.owner);
        let committed = Stored::Committed { others_wait: false };
        let lost = Stored::Lost {
            cause: LossCause::Expired,
            last_commit: None,
        };
        let defect = self.shared.defect;
        {
            let mut inner = self.shared.lock();
            let value_key = self.value_key(&request.name);
            let written = inner.records.get(&value_key);
            let is_told = !matches!(
                defect,
                Defect::CommitAppliesTwice | Defect::FoldsCaseOfValues
            );
            if is_told && written.is_some_and(|record| record.has_applied(request)) {
                return Ok(committed);
            }
            let is_overtaken = written.is_some_and(|record| record.is_overtaken(request));
            let record = self.look(&mut inner, &key);
            let is_mine = record
                .lease
                .as_ref()
                .is_some_and(|l| l.is(owner, request.token) && !(l.last > l.token && is_overtaken));
            if !is_mine && defect == Defect::PeekShowsRefused {
                record.draft = Some(request.state.clone());
            }
            if !is_mine && defect != Defect::CommitNotFenced {
                return Ok(lost);
            }
            if defect != Defect::CommitChecksThenWrites {
                self.write(&mut inner, request);
                if request.then == Then::Release && is_mine {
                    self.end(&mut inner, &key);
                    if defect == Defect::CommitSaysLost {
                        return Ok(lost);
                    }
                }
                return Ok(committed);
            }
        }
        self.shared.pause(BETWEEN).await;
        let mut inner = self.shared.lock();
        self.write(&mut inner, request);
        let record = self.look(&mut inner, &key);
        let is_mine = record
            .lease
            .as_ref()
            .is_some_and(|l| l.is(owner, request.token));
        if request.then == Then::Release && is_mine {
            self.end(&mut inner, &key);
        }
        Ok(committed)
    }

    async fn release(&self, name: &LockName, owner: OwnerId) -> Result<Release, Error> {
        let key = self.key(name);
        let holder = self.owner(owner);
        let defect = self.shared.defect;
        {
            let mut inner = self.shared.lock();
            let record = self.look(&mut inner, &key);
            record.line.retain(|(waiting, _)| *waiting != owner);
            let is_held = record.lease.is_some();
            let is_mine = record.lease.as_ref().is_some_and(|l| l.owner == holder);
            let is_reserved = record
                .reserved
                .is_some_and(|(for_whom, _)| for_whom == owner);
            if is_reserved && !is_held {
                self.hand_on(&mut inner, &key);
                return Ok(Release::NotHeld);
            }
            let is_taken_for_mine = is_held && defect == Defect::ReleaseWithoutOwnerCheck;
            if !is_mine && !is_taken_for_mine {
                return Ok(match defect {
                    Defect::ReleaseAlwaysSaysDone => Release::Released,
                    _ => Release::NotHeld,
                });
            }
            if defect != Defect::ReleaseChecksThenDeletes {
                self.end(&mut inner, &key);
                return Ok(Release::Released);
            }
        }
        self.shared.pause(BETWEEN).await;
        self.end(&mut self.shared.lock(), &key);
        Ok(Release::Released)
    }

    async fn peek(&self, name: &LockName) -> Result<Option<Peeked>, Error> {
        let mut inner = self.shared.lock();
        let key = self.value_key(name);
        let now = self.now();
        let defect = self.shared.defect;
        Ok(self.look(&mut inner, &key).peek(defect, now))
    }

    async fn watch(&self, name: &LockName) -> Result<Hints, Error> {
        let (sender, receiver) = mpsc::channel(1);
        let mut inner = self.shared.lock();
        let watchers = inner.watchers.entry(self.key(name)).or_default();
        watchers.retain(|(_, watcher)| !watcher.is_closed());
        watchers.push((self.client, sender));
        Ok(stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|()| ((), receiver))
        })
        .boxed())
    }

    fn alarms(&self) -> Alarms {
        Box::pin(stream::pending())
    }

    async fn inspect(&self, name: &LockName) -> Result<LockInfo, Error> {
        Err(unsupported(name))
    }

    async fn list(&self, _prefix: &str, _limit: usize) -> Result<Vec<LockInfo>, Error> {
        Ok(Vec::new())
    }

    async fn force_release(&self, name: &LockName) -> Result<ForcedRelease, Error> {
        Err(unsupported(name))
    }
}

fn unsupported(name: &LockName) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("nobody asks this of {name:?} here"),
    )
}

/// How long a step that was taken apart takes between its parts.
const BETWEEN: Duration = Duration::from_millis(15);

/// A place in line lapses so long after its owner should have asked again.
const LAPSE: Duration = Duration::from_millis(30);
