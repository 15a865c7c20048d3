//! The steps: what each of them does to a record, within one transaction.

use lock_core::{
    Acquire, Acquisition, Commit, Error, FencingToken, ForcedRelease, Grant, LockInfo, LockName,
    LossCause, OwnerId, Peeked, Refusal, Release, Renew, Renewal, Stored, Then,
};

use crate::error::Failure;
use crate::record::{How, Record, Written};
use crate::rows::Found;
use crate::store::{Step, Tx};

pub(crate) struct AcquireStep {
    pub(crate) request: Acquire,
    /// Whether idle names are to be forgotten on the way.
    pub(crate) sweeps: bool,
}

impl Step for AcquireStep {
    type Answer = Acquisition;
    const WRITES: bool = true;

    async fn run(self, tx: &mut Tx<'_>) -> Result<Acquisition, Failure> {
        let request = &self.request;
        if self.sweeps {
            tx.forget_idle().await?;
        }
        let (id, mut record) = tx.find_or_new(&request.name).await?;
        // A duplicate that arrives after its owner has ended must not take the lock again.
        if record.has_ended(request.owner) {
            return Ok(Acquisition::Ended);
        }
        if let (Some(id), Some(lease)) = (id, &record.lease)
            && lease.owner != request.owner
        {
            if request.stand_in_line && tx.store.ears.listen() {
                tx.stand(id, request.owner).await?;
            }
            let refusal = Refusal::new(Some(lease.left(&tx.now)));
            return Ok(Acquisition::Refused(match lease.tokens {
                Some(_) => refusal.by(lease.info(&tx.now)),
                None => refusal,
            }));
        }
        let tokens = record.grant(request, tx.store.client, &tx.now);
        let id = tx.write(&request.name, id, &record).await?;
        tx.leave(id, request.owner).await?;
        let mut grant = Grant::new(FencingToken::new(tokens.first), request.ttl);
        grant.reserved = tokens.count;
        grant.state = tx.state(id).await?;
        grant.previous = record.previous();
        grant.others_wait = tx.waiting(id).await? > 0;
        Ok(Acquisition::Granted(grant))
    }
}

pub(crate) struct RenewStep(pub(crate) Vec<Renew>);

impl Step for RenewStep {
    type Answer = Vec<Result<Renewal, Error>>;
    const WRITES: bool = true;
    // A lease ends with the boot anyway, and a process that dies takes nothing with it.
    const SYNCS: bool = false;
    const URGENT: bool = true;

    async fn run(self, tx: &mut Tx<'_>) -> Result<Self::Answer, Failure> {
        let mut answers = Vec::with_capacity(self.0.len());
        for request in &self.0 {
            answers.push(match renew(tx, request).await {
                Ok(renewal) => Ok(renewal),
                // A row that somebody spoilt costs no other lease its renewal.
                Err(failure) if failure.of_one_row => Err(failure.into()),
                Err(failure) => return Err(failure),
            });
        }
        Ok(answers)
    }
}

async fn renew(tx: &mut Tx<'_>, request: &Renew) -> Result<Renewal, Failure> {
    let Some(Found { id, mut record }) = tx.find(&request.name).await? else {
        return Ok(Renewal::Lost {
            cause: LossCause::Expired,
        });
    };
    if !record.owns_as(request.owner, request.token) {
        return Ok(Renewal::Lost {
            cause: record.cause(request.token),
        });
    }
    record.prolong(request.ttl, &tx.now);
    record.keep(
        request.forget_after,
        request.spare_state,
        request.ttl,
        &tx.now,
    );
    tx.write(&request.name, Some(id), &record).await?;
    Ok(Renewal::Renewed {
        others_wait: tx.waiting(id).await? > 0,
    })
}

pub(crate) struct CommitStep(pub(crate) Commit);

impl Step for CommitStep {
    type Answer = Stored;
    const WRITES: bool = true;

    async fn run(self, tx: &mut Tx<'_>) -> Result<Stored, Failure> {
        let request = &self.0;
        let Some(Found { id, mut record }) = tx.find(&request.name).await? else {
            return Ok(Stored::Lost {
                cause: LossCause::Expired,
                last_commit: None,
            });
        };
        let others_wait = tx.waiting(id).await? > 0;
        let (token, last) = (request.token, record.written);
        // The commit that is applied already, or one that is older than it (C6).
        if last.is_some_and(|w| w.token == token && w.sequence >= request.sequence) {
            return Ok(Stored::Committed { others_wait });
        }
        let last_commit = last.map(|w| w.token);
        if !record.owns_as(request.owner, token) {
            return Ok(Stored::Lost {
                cause: record.cause(token),
                last_commit,
            });
        }
        if last.is_some_and(|w| w.token > token) {
            // A later holder of the same lease has committed: this is a late duplicate.
            return Ok(Stored::Lost {
                cause: LossCause::Displaced,
                last_commit,
            });
        }
        record.written = Some(Written {
            token,
            sequence: request.sequence,
        });
        tx.write_state(id, &request.state).await?;
        if request.then == Then::Release {
            end(tx, &request.name, id, &mut record, How::Released).await?;
        } else {
            tx.write(&request.name, Some(id), &record).await?;
        }
        Ok(Stored::Committed { others_wait })
    }
}

/// Ends the lease and hands the lock on.
async fn end(
    tx: &mut Tx<'_>,
    name: &LockName,
    id: i64,
    record: &mut Record,
    how: How,
) -> Result<(), Failure> {
    record.end(how);
    tx.hand_on(name, id, record).await?;
    tx.write(name, Some(id), record).await?;
    Ok(())
}

pub(crate) struct ReleaseStep {
    pub(crate) name: LockName,
    pub(crate) owner: OwnerId,
}

impl Step for ReleaseStep {
    type Answer = Release;
    const WRITES: bool = true;

    async fn run(self, tx: &mut Tx<'_>) -> Result<Release, Failure> {
        let Some(Found { id, mut record }) = tx.find(&self.name).await? else {
            return Ok(Release::NotHeld);
        };
        tx.leave(id, self.owner).await?;
        let held = record.owns(self.owner);
        if record.is_for(self.owner) {
            end(tx, &self.name, id, &mut record, How::Released).await?;
        }
        Ok(if held {
            Release::Released
        } else {
            Release::NotHeld
        })
    }
}

pub(crate) struct ForceStep(pub(crate) LockName);

impl Step for ForceStep {
    type Answer = ForcedRelease;
    const WRITES: bool = true;

    async fn run(self, tx: &mut Tx<'_>) -> Result<ForcedRelease, Failure> {
        let Some(Found { id, mut record }) = tx.find(&self.0).await? else {
            return Ok(ForcedRelease::NotHeld);
        };
        let Some(lease) = record.holder() else {
            return Ok(ForcedRelease::NotHeld);
        };
        let (info, client) = (lease.info(&tx.now), lease.client);
        tx.tell_forced(&self.0, client);
        end(tx, &self.0, id, &mut record, How::Forced).await?;
        Ok(ForcedRelease::Released(info))
    }
}

pub(crate) struct PeekStep(pub(crate) LockName);

impl Step for PeekStep {
    type Answer = Option<Peeked>;
    const WRITES: bool = false;

    async fn run(self, tx: &mut Tx<'_>) -> Result<Option<Peeked>, Failure> {
        match tx.find(&self.0).await? {
            Some(found) => tx.peeked(&found).await,
            None => Ok(None),
        }
    }
}

pub(crate) struct InspectStep(pub(crate) LockName);

impl Step for InspectStep {
    type Answer = LockInfo;
    const WRITES: bool = false;

    async fn run(self, tx: &mut Tx<'_>) -> Result<LockInfo, Failure> {
        match tx.find(&self.0).await? {
            Some(found) => info(tx, self.0, &found).await,
            None => Ok(LockInfo::free(self.0)),
        }
    }
}

pub(crate) struct ListStep {
    pub(crate) prefix: String,
    pub(crate) limit: usize,
}

impl Step for ListStep {
    type Answer = Vec<LockInfo>;
    const WRITES: bool = false;

    async fn run(self, tx: &mut Tx<'_>) -> Result<Vec<LockInfo>, Failure> {
        let mut infos = Vec::new();
        for (name, found) in tx.held(&self.prefix, self.limit).await? {
            infos.push(info(tx, name, &found).await?);
        }
        Ok(infos)
    }
}

async fn info(tx: &mut Tx<'_>, name: LockName, found: &Found) -> Result<LockInfo, Failure> {
    let record = &found.record;
    let mut info = LockInfo::free(name);
    info.holder = record.holder().map(|lease| lease.info(&tx.now));
    info.last_token = (record.last_token > 0).then(|| FencingToken::new(record.last_token));
    info.waiting = tx.waiting(found.id).await?;
    info.previous = record.previous();
    Ok(info)
}
