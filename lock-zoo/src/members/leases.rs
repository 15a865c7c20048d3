//! Those whose leases are not as long as they say, or whose clients think so.

use lock_testkit::plan::{End, Mix};
use lock_testkit::spec::Property;

use super::{ending, one_task, single_tasks, slow};
use crate::client::Habit;
use crate::member::Member;
use crate::store::Defect;

pub(super) const MEMBERS: &[Member] = &[
    Member::store(
        "ttl-in-a-shorter-unit",
        Property::Ls1,
        Defect::TtlTooShort,
        "The ttl is taken for a shorter unit: the lease is over long before its time, and two work at once.",
    )
    .mix(without_renewals),
    Member::store(
        "ttl-in-whole-seconds",
        Property::Ls1,
        Defect::TtlInWholeSeconds,
        "The store grants whole seconds and rounds down: a lease of 1.5 s lasts for one.",
    )
    .mix(|mix| without_renewals(mix).ttl_ms(1_500)),
    Member::store(
        "expiry-by-the-asking-clock",
        Property::Ls1,
        Defect::ExpiryByClientClock,
        "Whether a lease is over is judged by whoever asks: a client whose clock is ahead takes a lock that is held.",
    )
    .seen("lukas-krecan/ShedLock#263")
    .mix(single_tasks),
    Member::store(
        "lease-ends-with-the-connection",
        Property::Ls1,
        Defect::LeaseEndsWithConnection,
        "The lease ends with the connection, though its ttl was promised: a short break of the network, and another gets in.",
    )
    .mix(|mix| {
        let mut mix = ending(without_renewals(mix), &[(2, End::Commit), (2, End::Release)]);
        (mix.crashes, mix.faults, mix.keys) = (true, 1, 1);
        mix
    })
    .alone(),
    Member::client(
        "grant-handed-out-too-late",
        Property::Ls2,
        Habit::HandsOutLate,
        "The grant was delayed for longer than its ttl, and is handed out all the same: the holder is none from its first moment.",
    )
    .seen("etcd-io/etcd#11456")
    .mix(slow)
    .alone(),
    Member::store(
        "renewal-does-not-prolong",
        Property::Ls3,
        Defect::RenewDoesNotProlong,
        "A renewal says that it was done and leaves the expiry as it was.",
    )
    .with(Habit::Cautious)
    .mix(|mix| {
        let mut mix = single_tasks(mix);
        mix.ends = vec![(2, End::Commit), (2, End::Release), (1, End::Abandon)];
        mix
    })
    .alone(),
    Member::client(
        "lease-counted-from-the-reply",
        Property::Me2,
        Habit::BelievesFromReply,
        "The holder counts its lease from when the reply came, not from before it asked: a slow reply, and it works on when another has the lock.",
    )
    .seen("ethanniser/effect-distributed-lock#9")
    .mix(one_task),
    Member::client(
        "believes-for-too-long",
        Property::Me2,
        Habit::BelievesTooLong,
        "The holder keeps no deadline of its own: cut off from the store, it works on when another has the lock.",
    )
    .seen("distributed-lock 0.2.0")
    .mix(one_task)
    .alone(),
    Member::client(
        "lost-renewal-taken-for-a-hiccup",
        Property::Me2,
        Habit::IgnoresLoss,
        "A renewal that says \"lost\", or fails, is logged and tried again next time: the holder never stops.",
    )
    .seen("redisson/redisson#3636")
    .mix(|mix| ending(one_task(mix), &[(1, End::Abandon), (1, End::Release)])),
    Member::client(
        "renewer-is-not-started-again",
        Property::Me2,
        Habit::RenewsNoMore,
        "After a lease was lost and the lock taken again, nobody renews, and the holder believes that somebody does.",
    )
    .seen("seaweedfs/seaweedfs#10413")
    .mix(|mix| {
        let mut mix = ending(single_tasks(mix), &[(1, End::Abandon), (1, End::Release)]);
        (mix.clients, mix.keys) = (2, 1);
        mix.ttl_ms(50)
    }),
];

/// Nobody prolongs a lease.
fn without_renewals(mix: Mix) -> Mix {
    let mut mix = single_tasks(mix);
    mix.renews = false;
    mix
}
