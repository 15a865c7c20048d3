//! Those that grant the wrong tokens.

use lock_testkit::judge::Rules;
use lock_testkit::plan::End;
use lock_testkit::spec::{Bound, Property};
use lock_testkit::subject::ServerFault;

use super::{alone, ending, single_tasks};
use crate::member::{Member, limits};
use crate::store::Defect;

pub(super) const MEMBERS: &[Member] = &[
    Member::store(
        "token-from-client-clock",
        Property::Tk1,
        Defect::TokenFromClientClock,
        "The fencing token is the caller's wall clock: the next holder's machine is behind, and the store takes the old holder's writes for the newer ones.",
    )
    .mix(|mix| {
        let mut mix = single_tasks(mix);
        mix.waits = false;
        mix
    }),
    Member::store(
        "token-from-stepped-clock",
        Property::Tk1,
        Defect::TokenFromSteppedClock,
        "The fencing token is the server's wall clock: NTP sets it back, and every token is refused until it has caught up.",
    )
    .mix(alone)
    .alone(),
    Member::store(
        "token-reset-by-release",
        Property::Tk2,
        Defect::TokenResetByRelease,
        "The token is kept in the item that a release deletes: it begins anew, and a stale holder outranks the rightful one.",
    )
    .seen("dlock 0.2.0")
    .mix(alone)
    .alone(),
    Member::store(
        "token-forgotten-when-idle",
        Property::Tk2,
        Defect::ForgetsIdleRecords,
        "The record of an idle lock is evicted with its counter: tokens begin anew.",
    )
    .seen("samcook/RedLock.net#101")
    .mix(single_tasks),
    Member::store(
        "failover-to-lagging-replica",
        Property::Tk2,
        Defect::ReplicaLags,
        "A replica takes over that has not seen the last grant: it grants the same token to the next one, and both hold the lock.",
    )
    .seen("redisson/redisson#5256")
    .mix(|mix| {
        let mut mix = ending(single_tasks(mix), &[(1, End::Abandon)]);
        mix.state = false;
        mix.server([ServerFault::FailOver])
    })
    .rules(|_| Rules::new(Bound::DEFAULT).limits(limits())),
    Member::store(
        "reentrant-by-owner",
        Property::Tk2,
        Defect::OwnerIsClient,
        "Whoever asks again under the same identity is let in as re-entrant: the retry of a job joins the run that it believes dead, under the same token.",
    )
    .seen("redisson/redisson#1824")
    .mix(|mix| ending(single_tasks(mix), &[(1, End::Abandon)])),
];
