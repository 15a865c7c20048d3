//! [`Defect`]: what a store does wrong.

/// What a store does wrong. One each, and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Defect {
    /// Nothing.
    #[default]
    None,
    /// Whether a released lock is free is asked of a replica that lags behind.
    AsksReplicaWhetherFree,
    /// A commit that arrives twice is applied twice.
    CommitAppliesTwice,
    /// A commit checks the lease, then writes.
    CommitChecksThenWrites,
    /// A commit is not held against the lease.
    CommitNotFenced,
    /// A commit that releases is done and says that the lease was lost.
    CommitSaysLost,
    /// Whether a lease is over is judged by the clock of whoever asks.
    ExpiryByClientClock,
    /// Names that differ by case share a record.
    FoldsCase,
    /// Names that differ by case share a value.
    FoldsCaseOfValues,
    /// A restart forgets everything.
    ForgetsAtRestart,
    /// Records that nobody used for a while are forgotten, with their tokens and values.
    ForgetsIdleRecords,
    /// A restart keeps leases and tokens and forgets the value written last.
    ForgetsValueAtRestart,
    /// The value read with a grant is that of a replica that lags behind.
    GrantReadsReplica,
    /// Names share a record if their short hashes are alike.
    HashesNames,
    /// A lock that is reserved for the first in line is granted to whoever asks.
    IgnoresReservation,
    /// The line is served from its end.
    LastComeFirstServed,
    /// A lease ends as soon as its client's connection does.
    LeaseEndsWithConnection,
    /// A lease whose time is over goes on.
    NeverExpires,
    /// All tasks of a client are one owner.
    OwnerIsClient,
    /// A peek answers with the token of the present holder in place of the writer's.
    PeekNamesHolder,
    /// A peek shows what a refused commit wanted to write.
    PeekShowsRefused,
    /// A release deletes the lease of whoever holds the lock.
    ReleaseWithoutOwnerCheck,
    /// A release checks the owner, then deletes.
    ReleaseChecksThenDeletes,
    /// A release of what is not held says that it was.
    ReleaseAlwaysSaysDone,
    /// A renewal is answered by a replica that does not know the lease yet.
    RenewAsksReplica,
    /// A renewal says that it prolonged the lease and does not.
    RenewDoesNotProlong,
    /// A renewal revives a lease that was over.
    RenewRevives,
    /// A renewal prolongs the lease of whoever holds the lock.
    RenewWithoutOwnerCheck,
    /// A replica that lags behind takes over.
    ReplicaLags,
    /// Tokens are the time of the client's clock.
    TokenFromClientClock,
    /// Tokens are the time of a clock that is set back now and then.
    TokenFromSteppedClock,
    /// The token is kept with the lock, and begins anew after a release.
    TokenResetByRelease,
    /// Values are cut off at a length.
    TruncatesValues,
    /// Ttls are rounded down to whole seconds.
    TtlInWholeSeconds,
    /// Ttls are taken for a longer unit.
    TtlTooLong,
    /// Ttls are taken for a shorter unit.
    TtlTooShort,
    /// A release is told to nobody who waits.
    WakesNobody,
}
