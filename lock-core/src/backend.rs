//! [`LockBackend`]: what a store must provide, and [`Capabilities`]: what it promises beyond that.

use std::any::Any;
use std::fmt;
use std::pin::Pin;

use async_trait::async_trait;
use futures_util::Stream;

use crate::answer::{Acquisition, ForcedRelease, LockInfo, Peeked, Release, Renewal, Stored};
use crate::error::Error;
use crate::finding::Finding;
use crate::name::LockName;
use crate::owner::OwnerId;
use crate::request::{Acquire, Commit, Renew};

/// A store that keeps locks and the values they guard.
///
/// It speaks in *steps*. Each step is one atomic action at the store and, where the store can, one
/// round trip. [`MemoryBackend`](crate::MemoryBackend) is the contract in its plainest form: read it
/// beside this page.
///
/// # What every step must keep
/// 1. Only the store's clock decides whether a lease is over (C4).
/// 2. A step by an owner who does not hold the lock changes nothing but that owner's place in line,
///    and says so (C3).
/// 3. A step may be sent twice, or arrive late, after its caller went away (C6, C7). An acquire by
///    the present owner is answered with the same token, and its ttl starts anew; an acquire by an
///    owner that has released or was forced out is answered `Ended`, whoever holds the lock now, where
///    the record still shows that it was the last to end; a commit with the token and sequence of
///    the one applied last is answered `Committed`. A commit needs the lease in force to be the very
///    grant whose token it names, or one of those reserved with it: a late acquire may have given
///    the lock to an owner that is done with it, and a late commit of that owner must not find it
///    there. Of one lease, a commit under a smaller token than the last is such a duplicate.
/// 4. Names are independent whatever bytes they hold (C13). An owner is used for one name only.
///
/// # What is left to the backend
/// - A lease may begin at any moment between the request and its answer, and may last longer than
///   its ttl: the holder counts what it asked for from before it asked. The answer tells how long
///   it really is, for those who look.
/// - A record may be kept for longer than [`Acquire::forget_after`] asks, also for ever. Of a repeated
///   acquire only the ttl counts anew.
/// - Leases of one batch of renewals may be decided at different moments.
/// - A step that takes several requests has [`Effect::Unknown`](crate::Effect::Unknown) from the
///   first one on that can change something.
/// - A call needs a bound of its own only where the driver would wait for ever; the client gives up
///   on it after its request time-out in any case, and drops it. Only `list` and `examine`, which may
///   take many round trips, are not cut off, so each of theirs needs a bound.
///
/// # Errors
/// Every step fails with `Unavailable` if the store cannot be reached or does not answer within the
/// backend's own bound, and then says by [`Error::effect`] whether the request may have been sent;
/// with `Denied`, `Invalid` or `Unsupported` if the store answered that it will not do it, in which
/// case nothing was changed. The client retries only `Unavailable`.
///
/// # Cancel safety
/// Any step's future may be dropped at any await point. The step then either happens or does not,
/// as with a lost reply; no connection may be left unusable.
#[async_trait]
pub trait LockBackend: fmt::Debug + Send + Sync + 'static {
    /// What this backend is called in spans and messages: `redis`, `memory`, ….
    fn kind(&self) -> &'static str;

    /// What this backend promises beyond the contract.
    fn capabilities(&self) -> Capabilities;

    /// The backend itself, where it has more to offer than the steps: a crate that knows its type
    /// finds it behind a guard. One that stands around another passes that one on.
    fn as_any(&self) -> Option<&dyn Any> {
        None
    }

    /// Takes the lock if it is free, if it is reserved for this owner or if this owner has it. A refusal
    /// may name the holder, if the same step knows it.
    async fn acquire(&self, request: &Acquire) -> Result<Acquisition, Error>;

    /// Prolongs many leases, each by itself; answers in the order of the requests, one for each.
    async fn renew(&self, requests: &[Renew]) -> Vec<Result<Renewal, Error>>;

    /// Writes the state, and ends the lease if the request says so, if the owner holds the lock.
    async fn commit(&self, request: &Commit) -> Result<Stored, Error>;

    /// Ends the owner's lease, and in any case its place in line. Takes no token, so that an
    /// acquire whose reply was lost can be undone.
    async fn release(&self, name: &LockName, owner: OwnerId) -> Result<Release, Error>;

    /// The value last committed, without taking the lock; `None` if there is none.
    async fn peek(&self, name: &LockName) -> Result<Option<Peeked>, Error>;

    /// Hints that an attempt on the name may now succeed, for an owner that was refused.
    ///
    /// Whatever frees the lock after this call has returned yields a hint, unless the push channel
    /// breaks; a break yields a hint once the channel stands again. False hints are fine, lost ones
    /// cost the caller its timer's delay: only an attempt decides (C8). Called only where
    /// [`Capabilities::push`] is declared; dropping the stream ends the interest.
    async fn watch(&self, name: &LockName) -> Result<Hints, Error>;

    /// Hints that a lease of this client may be gone before its time (C10), for all names at once.
    /// The stream ends when the backend is dropped. One without such hints returns a stream that
    /// never yields.
    fn alarms(&self) -> Alarms;

    /// What the store knows of the name.
    async fn inspect(&self, name: &LockName) -> Result<LockInfo, Error>;

    /// What the store knows of the names that are held and begin with the prefix, at most `limit`
    /// of them, in no order. It may take several round trips and is no snapshot.
    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<LockInfo>, Error>;

    /// Takes the lock from whoever holds it (C11): the holder's later steps change nothing.
    async fn force_release(&self, name: &LockName) -> Result<ForcedRelease, Error>;

    /// Looks at the store and its surroundings: version, persistence, replicas, clock, privileges.
    /// It changes nothing, and may take several round trips. A backend that knows nothing of its
    /// store has no findings.
    async fn examine(&self) -> Result<Vec<Finding>, Error> {
        Ok(Vec::new())
    }
}

/// A stream of hints for one name.
pub type Hints = Pin<Box<dyn Stream<Item = ()> + Send>>;

/// A stream of hints for the leases of one client.
pub type Alarms = Pin<Box<dyn Stream<Item = Alarm> + Send>>;

/// A hint that leases of this client may be gone: the client renews them at once to find out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Alarm {
    /// Something other than this client touched the lease of this name.
    Check(LockName),
    /// Hints may have been missed: the push channel was broken and stands again.
    CheckAll,
}

/// What a backend promises beyond the contract, as data. The test kit holds it to each claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Capabilities {
    /// A release is pushed to those who wait ([`LockBackend::watch`]); without it they poll.
    pub push: bool,
    /// Refused owners of different clients stand in a line at the store, and a release reserves the
    /// lock for the first of them.
    pub line: bool,
    /// A forced release is pushed to the holder ([`LockBackend::alarms`]).
    pub force_alarm: bool,
    /// A lease record that somebody deleted behind the library's back is pushed to its holder.
    pub loss_alarm: bool,
    /// What the store still knows after it went down.
    pub durability: Durability,
}

impl Capabilities {
    /// None of them: every wait polls, and nothing survives the store.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            push: false,
            line: false,
            force_alarm: false,
            loss_alarm: false,
            durability: Durability::None,
        }
    }
}

/// What a store still knows after it went down. Tokens increase all the same (C2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing is promised.
    #[default]
    None,
    /// Every acknowledged step survives a restart or crash of the store on the same disk.
    Restart,
    /// Every acknowledged step also survives the loss of the machine.
    Failover,
}
