//! Those that mistreat the value that they guard.

use lock_testkit::StepKind;
use lock_testkit::plan::End;
use lock_testkit::spec::Property;
use lock_testkit::subject::ServerFault;

use super::{alone, ending, single_tasks};
use crate::member::Member;
use crate::store::Defect;

pub(super) const MEMBERS: &[Member] = &[
    Member::store(
        "commit-is-not-fenced",
        Property::Fn1,
        Defect::CommitNotFenced,
        "A commit is written whoever holds the lock: a holder that was stopped for longer than its lease overwrites its successor.",
    )
    .mix(|mix| {
        let mut mix = ending(single_tasks(mix), &[(1, End::Commit)]);
        (mix.weather.latency_ms_max, mix.renews, mix.waits) = (0, false, false);
        mix
    })
    .alone(),
    Member::store(
        "grant-reads-a-replica",
        Property::Fn2,
        Defect::GrantReadsReplica,
        "The value that comes with the grant is read from a replica: the last commit is missing, and is overwritten.",
    )
    .mix(alone)
    .alone(),
    Member::store(
        "commit-is-applied-twice",
        Property::Fn2,
        Defect::CommitAppliesTwice,
        "A commit whose reply was lost is sent again, and the first one arrives after a later commit: it overwrites what came after it.",
    )
    .mix(|mix| {
        let mut mix = ending(mix, &[(1, End::Abandon), (1, End::Release)]);
        (mix.calls, mix.clients, mix.faults) = (vec![StepKind::Commit], 2, 8);
        (mix.freezes, mix.crashes, mix.waits) = (false, false, false);
        mix.network.clear();
        mix
    }),
    Member::store(
        "value-is-cut-off",
        Property::Fn3,
        Defect::TruncatesValues,
        "The column is too short, and the store cuts the value off without a word.",
    )
    .mix(single_tasks)
    .alone(),
    Member::store(
        "peek-names-the-holder",
        Property::Fn3,
        Defect::PeekNamesHolder,
        "A look at the value is answered with the token of the present holder, who did not write it.",
    )
    .mix(single_tasks),
    Member::store(
        "peek-shows-what-was-refused",
        Property::Fn4,
        Defect::PeekShowsRefused,
        "A refused commit leaves its value where readers find it.",
    ),
    Member::store(
        "commit-checks-then-writes",
        Property::Fn4,
        Defect::CommitChecksThenWrites,
        "A commit checks the lease, then writes: the lease ends in between, the next holder reads the old value, and one of both writes is lost.",
    )
    .mix(|mix| single_tasks(mix).ttl_ms(50))
    .alone(),
    Member::store(
        "commit-says-lost-though-applied",
        Property::Fn4,
        Defect::CommitSaysLost,
        "The write is done, the release behind it fails, and the caller is told that nothing was written.",
    )
    .mix(single_tasks),
    Member::store(
        "restart-forgets-everything",
        Property::Du1,
        Defect::ForgetsAtRestart,
        "The store declares that it survives a restart and keeps nothing on disk: locks are free, tokens begin anew, values are gone.",
    )
    .seen("redisson/redisson#3994")
    .mix(|mix| mix.server([ServerFault::Kill { down_ms: 0 }])),
    Member::store(
        "restart-forgets-the-last-value",
        Property::Du1,
        Defect::ForgetsValueAtRestart,
        "The value is acknowledged before it is on disk: after a restart the lock is as it was, and the last commit is not.",
    )
    .mix(|mix| single_tasks(mix).server([ServerFault::Kill { down_ms: 0 }]))
    .alone(),
    Member::store(
        "names-share-a-value",
        Property::In1,
        Defect::FoldsCaseOfValues,
        "The column compares without case: two locks that differ by case write the same value.",
    )
    .mix(|mix| {
        let mut mix = single_tasks(mix);
        mix.keys = 3;
        mix
    })
    .alone(),
    Member::store(
        "names-fold-case",
        Property::In1,
        Defect::FoldsCase,
        "Names that differ by case are one lock, with one value.",
    )
    .mix(|mix| {
        let mut mix = single_tasks(mix);
        mix.keys = 3;
        mix
    }),
    Member::store(
        "names-share-a-short-hash",
        Property::In1,
        Defect::HashesNames,
        "Names are hashed to few bits: two locks that have nothing to do with each other exclude each other and share a value.",
    )
    .seen("DeytaHQ/khora#738")
    .mix(|mix| {
        let mut mix = single_tasks(mix);
        mix.keys = 4;
        mix
    }),
];
