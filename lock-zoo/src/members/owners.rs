//! Those that let act who may not, or do not let who may.

use lock_testkit::StepKind;
use lock_testkit::judge::Rules;
use lock_testkit::plan::End;
use lock_testkit::spec::{Bound, Property};

use super::{alone, ending, one_task, single_tasks, slow};
use crate::client::Habit;
use crate::member::{Member, limits};
use crate::store::Defect;

pub(super) const MEMBERS: &[Member] = &[
    Member::store(
        "release-without-owner-check",
        Property::Ow1,
        Defect::ReleaseWithoutOwnerCheck,
        "A release deletes the lock of whoever has it now: a holder that was late lets a third one in beside the second.",
    )
    .seen("rdlock 1.0.3")
    .mix(one_task),
    Member::store(
        "renew-without-owner-check",
        Property::Ow1,
        Defect::RenewWithoutOwnerCheck,
        "A renewal prolongs the lease of whoever has the lock now, and tells the old holder that all is well.",
    )
    .seen("distkit 0.7.1")
    .mix(|mix| {
        let mut mix = ending(one_task(mix), &[(1, End::Abandon)]);
        mix.state = false;
        mix
    }),
    Member::store(
        "renew-revives-the-dead",
        Property::Ow1,
        Defect::RenewRevives,
        "A renewal that comes too late brings an expired lease back, under a token that others have overtaken.",
    )
    .seen("redisson/redisson#7272")
    .mix(|mix| {
        let mut mix = ending(single_tasks(mix), &[(1, End::Release), (1, End::Abandon)]).ttl_ms(50);
        (mix.state, mix.keys) = (false, 1);
        mix
    }),
    Member::store(
        "second-release-is-done-too",
        Property::Ow1,
        Defect::ReleaseAlwaysSaysDone,
        "Releasing what is not held reports success, so nobody learns that the work ran without the lock.",
    )
    .seen("distributed-lock 0.2.0")
    .mix(|mix| {
        let mut mix = ending(alone(mix), &[(1, End::Release), (1, End::ReleaseTwice)]);
        (mix.renews, mix.state) = (false, false);
        mix
    })
    .alone(),
    Member::store(
        "renewal-asks-a-replica",
        Property::Ow2,
        Defect::RenewAsksReplica,
        "The first renewal is answered by a replica that has not heard of the lease: a sound holder is told that it lost the lock and throws its work away.",
    )
    .mix(|mix| ending(alone(mix), &[(1, End::Commit), (1, End::Release)]))
    .rules(|_| Rules::new(Bound::Untimed).durable().limits(limits()))
    .alone(),
    Member::store(
        "owner-is-the-connection",
        Property::Ow3,
        Defect::OwnerIsClient,
        "The lock belongs to the pooled connection: two tasks of one process both get it, and one's release ends the other's.",
    )
    .seen("ClosureTree/with_advisory_lock#45")
    .mix(|mix| {
        let mut mix = ending(mix.calm(), &[(2, End::Commit), (2, End::Release)]);
        mix.clients = 1;
        mix
    })
    .alone(),
    Member::store(
        "release-checks-then-deletes",
        Property::Me1,
        Defect::ReleaseChecksThenDeletes,
        "A release reads the owner, then deletes: the lease ends in between, another gets the lock and loses it to that delete, and a third comes in.",
    )
    .seen("distributed-lock 0.2.0")
    .mix(|mix| {
        let mut mix = ending(single_tasks(mix), &[(1, End::Release)]).ttl_ms(50);
        (mix.renews, mix.state, mix.keys) = (false, false, 1);
        mix
    }),
    Member::client(
        "lost-lease-released-as-if-held",
        Property::Me1,
        Habit::ReportsLostAsReleased,
        "A lock without tokens ran out under its holder, another worked at the same time, and the release said that all was well.",
    )
    .seen("distributed-lock 0.2.0")
    .mix(|mix| ending(single_tasks(mix), &[(1, End::Release)]))
    .rules(|_| Rules::tokenless().limits(limits()))
    .alone(),
    Member::client(
        "timeout-reported-as-refused",
        Property::Er1,
        Habit::ReportsTimeoutAsRefused,
        "An acquire whose reply is missing is reported as \"held by another\": the caller skips its turn though the lock is free, or its own.",
    )
    .seen("simstudioai/sim#6864")
    .mix(|mix| {
        let mut mix = one_task(mix).calm().ttl_ms(50);
        (mix.weather.loss_ppm, mix.waits) = (200_000, false);
        mix
    }),
    Member::client(
        "late-grant-dropped-as-refused",
        Property::Er1,
        Habit::DropsLate,
        "A grant that came too late is dropped and not given back: everybody is refused for a whole ttl by a holder that does not exist.",
    )
    .mix(slow),
    Member::store(
        "refuses-by-a-stale-read",
        Property::Er1,
        Defect::AsksReplicaWhetherFree,
        "Whether the lock is free is read from a replica: right after a release it refuses everybody by a holder that is gone.",
    )
    .mix(|mix| {
        let mut mix = mix.calm();
        mix.keys = 1;
        mix
    })
    .alone(),
    Member::client(
        "applied-commit-reported-as-failed",
        Property::Er1,
        Habit::ReportsCommitNotApplied,
        "A commit whose reply is missing is reported as certainly failed: the caller does it again elsewhere, and it is there twice.",
    )
    .mix(|mix| {
        let mut mix = one_task(mix).calm();
        (mix.calls, mix.faults) = (vec![StepKind::Commit], 12);
        mix.weather.loss_ppm = 200_000;
        mix
    }),
];
