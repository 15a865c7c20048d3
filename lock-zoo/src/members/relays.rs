//! Those that pass a lease from task to task inside a client, and do it wrong.
//!
//! Who is passed a lease has waited while the holder before it wrote, so the judge names what is lost
//! between the two FN-4: write and release were not one step.

use lock_testkit::StepKind;
use lock_testkit::judge::Rules;
use lock_testkit::plan::{End, Mix};
use lock_testkit::spec::{Bound, Property};

use super::ending;
use crate::client::Habit;
use crate::member::{Member, limits};
use crate::relay::BLOCK;

pub(super) const MEMBERS: &[Member] = &[
    passing(
        "passed-on-under-the-same-token",
        Property::Ow3,
        Habit::PassesTheSameToken,
        "A lease passes to the next task of the process under the token that it had: what the first one sent late is taken for the second one's.",
    ),
    passing(
        "passed-on-with-a-stale-value",
        Property::Fn4,
        Habit::PassesAStaleValue,
        "A lease passes to the next task with the value that came with the grant: what was committed since is overwritten.",
    )
    .mix(saving),
    passing(
        "passed-on-while-a-write-is-under-way",
        Property::Fn4,
        Habit::PassesUnsettled,
        "A save had no answer, and the lease passes on with the value before it: the save is there all the same, or comes later.",
    )
    .mix(|mix| failing_commits(saving(mix))),
    passing(
        "shared-commit-told-before-it-is-done",
        Property::Fn4,
        Habit::TellsBeforeAcknowledged,
        "Those who share a commit are told that it is done when it is sent: it fails, and nobody knows.",
    )
    .mix(|mix| failing_commits(saving(mix))),
    passing(
        "shared-commit-has-what-was-aborted",
        Property::Fn3,
        Habit::WritesWhatWasAborted,
        "One of those who share a commit gave up, and its change is in what is written.",
    ),
    passing(
        "shared-commit-is-sent-as-another",
        Property::Fn2,
        Habit::SendsAgainAsAnother,
        "A commit is sent again under another number: it is applied twice, over what was written in between.",
    ),
    passing(
        "passed-on-for-ever",
        Property::Lv5,
        Habit::PassesForEver,
        "A lease passes from task to task for as long as somebody waits: a busy process never gives it back, and all others starve.",
    )
    .in_line()
    .rules(|_| untimed().line().limits(limits().overtaken(BLOCK)))
    .alone(),
];

/// A lock that is wrong only when it passes a lease from task to task. A lease that was passed on is
/// over before a ttl has gone since, and says so: how long leases last is not asked.
const fn passing(id: &'static str, property: Property, habit: Habit, what: &'static str) -> Member {
    Member::client(id, property, habit, what)
        .mix(tasks)
        .rules(|_| untimed().limits(limits()))
}

const fn untimed() -> Rules {
    Rules::new(Bound::Untimed).durable()
}

/// Two clients of several tasks that want one lock, whose leases are long.
fn tasks(mix: Mix) -> Mix {
    let ends = [(3, End::Commit), (2, End::Release)];
    let mut mix = ending(mix.calm(), &ends).ttl_ms(400);
    (mix.clients, mix.tasks, mix.keys, mix.renews) = (2, 3, 1, false);
    mix
}

/// The same, where a commit is one step and the release that follows it another.
fn saving(mix: Mix) -> Mix {
    ending(tasks(mix), &[(1, End::Release)])
}

/// Single commits fail.
fn failing_commits(mut mix: Mix) -> Mix {
    (mix.calls, mix.faults) = (vec![StepKind::Commit], 4);
    mix
}
