//! Those that stand still.

use lock_testkit::StepKind;
use lock_testkit::plan::{End, Mix};
use lock_testkit::spec::Property;

use super::{ending, single_tasks};
use crate::client::Habit;
use crate::member::Member;
use crate::store::Defect;

pub(super) const MEMBERS: &[Member] = &[
    Member::store(
        "ttl-in-a-longer-unit",
        Property::Lv1,
        Defect::TtlTooLong,
        "The ttl is taken for a longer unit: a holder crashes, and its lock is taken for hours.",
    )
    .seen("redis-lock 0.5.1")
    .mix(single_tasks)
    .alone(),
    Member::store(
        "expiry-is-never-noticed",
        Property::Lv1,
        Defect::NeverExpires,
        "Expired leases are removed by a job that died: whoever crashes keeps its lock.",
    )
    .seen("elock 0.1.1")
    .mix(single_tasks),
    Member::client(
        "lock-then-expire",
        Property::Lv1,
        Habit::LocksThenExpires,
        "The lock is taken by one request and its expiry set by the next, which is lost: the holder goes away, and nobody ever gets the lock again.",
    )
    .mix(|mix| {
        let mut mix = ending(mix.calm(), &[(1, End::Release), (1, End::Abandon)]);
        (mix.calls, mix.faults) = (vec![StepKind::Renew], 8);
        mix
    }),
    Member::store(
        "release-wakes-nobody",
        Property::Lv2,
        Defect::WakesNobody,
        "A release is told to nobody: who waits sleeps until the lease would have ended.",
    )
    .seen("redisson/redisson#4216")
    .mix(patient)
    .alone(),
    Member::client(
        "wake-up-between-look-and-wait",
        Property::Lv2,
        Habit::WaitsForWakeUpAlone,
        "The lock is released between the look at it and the subscription, and who waits has no timer: it sleeps for ever on a free lock.",
    )
    .seen("rdlock 1.0.3")
    .mix(patient),
    Member::client(
        "cancelled-acquire-leaves-an-orphan",
        Property::Lv3,
        Habit::LocksThenExpires,
        "The acquire is dropped between taking the lock and setting its expiry: nobody holds it, and nobody ever gets it again.",
    )
    .seen("badboy/redlock-rs#11")
    .mix(|mix| {
        let mut mix = single_tasks(mix);
        mix.cancels = true;
        mix
    })
    .alone(),
    Member::store(
        "last-come-first-served",
        Property::Lv4,
        Defect::LastComeFirstServed,
        "The line is a stack: under load, who came first waits for ever.",
    )
    .in_line()
    .mix(Mix::calm)
    .alone(),
    Member::store(
        "reservation-is-not-kept",
        Property::Lv4,
        Defect::IgnoresReservation,
        "The lock is kept for the first in line, and granted to whoever asks in the moment before it does.",
    )
    .in_line()
    .mix(|mix| {
        let mut mix = mix.calm();
        (mix.keys, mix.acts, mix.weather.latency_ms_max) = (1, 2, 5);
        mix
    }),
];

/// Leases are long, and holders give them back: who waits is woken, or waits for long.
fn patient(mix: Mix) -> Mix {
    ending(mix.calm(), &[(3, End::Commit), (1, End::Release)]).ttl_ms(400)
}
