//! The broken locks on real servers.

use lock_testkit::spec::Property;
use tokio::sync::{Mutex, OnceCell};

use super::etcd::EtcdGround;
use super::keys::{BareDel, ByDigest, Fenced, GetThenDel, Owned, SetThenExpire, TokenFirst};
use super::postgres::{
    AdvisoryOnConnection, AdvisoryOnPool, LeaseRow, LeaseRowInTransaction, PostgresGround,
};
use super::redis::RedisGround;
use super::{Right, ServedMember, plans};

/// All members.
#[must_use]
pub const fn served_members() -> &'static [ServedMember] {
    MEMBERS
}

const MEMBERS: &[ServedMember] = &[
    ServedMember::new(
        "tutorial-bare-del",
        // The release of one who was late acts for whoever holds the lock now. Without tokens that
        // cannot be read from an answer, as it says only that a key was deleted; what it does can:
        // the next one is granted while the present holder rightly believes in its lease.
        Property::Me2,
        || Box::pin(RedisGround::plain(|wire| Box::new(BareDel(wire)))),
        Right::Redis,
    )
    .what("The lock of the tutorials, `SET key locked NX PX ttl` and `DEL key`: a holder that was late deletes the lock of the next one, and a third comes in beside it.")
    .seen("rdlock 1.0.3")
    .plan(plans::overrun),
    ServedMember::new(
        "setnx-then-expire",
        // The acquire never returned, so what keeps the lock taken is an abandoned one.
        Property::Lv3,
        || Box::pin(RedisGround::plain(|wire| Box::new(SetThenExpire(wire)))),
        Right::Redis,
    )
    .what("The key is set by one request and its expiry by the next: a process that dies in between leaves a lock that nobody ever gets.")
    .seen("redis/redis-py#2604")
    .plan(plans::crash_between),
    ServedMember::new(
        "get-then-del-release",
        Property::Me2,
        || Box::pin(RedisGround::plain(|wire| Box::new(GetThenDel(wire)))),
        Right::Redis,
    )
    .what("A release reads the owner and then deletes the key: the lease ends in between, and the next one's lock is deleted.")
    .seen("distributed-lock 0.2.0")
    .plan(plans::release_in_two_steps),
    ServedMember::new(
        "token-by-incr-then-set",
        Property::Tk1,
        || {
            Box::pin(RedisGround::plain(|wire| {
                Box::new(TokenFirst {
                    wire,
                    drawn: Mutex::default(),
                })
            }))
        },
        Right::Redis,
    )
    .what("The token is drawn by one request and the lock taken by another: others come in between, and the lock is granted with a token that they have overtaken.")
    .plan(plans::refused_first)
    .fenced(),
    ServedMember::new(
        "timeout-is-refused",
        Property::Er1,
        || {
            Box::pin(RedisGround::plain(|wire| {
                Box::new(Fenced {
                    wire,
                    takes_silence_for_refusal: true,
                })
            }))
        },
        Right::Redis,
    )
    .what("An acquire that had no reply in time is told as \"held by another\", though nobody else held the lock: it is the caller's own, and refuses all until it runs out.")
    .seen("simstudioai/sim#6864")
    .plan(plans::no_reply)
    .fenced(),
    ServedMember::new(
        "noscript-is-lost",
        Property::Ow2,
        || {
            Box::pin(RedisGround::plain(|wire| {
                Box::new(ByDigest {
                    inner: Fenced::new(wire),
                    digest: OnceCell::new(),
                })
            }))
        },
        Right::Redis,
    )
    .what("The server forgot its scripts, and a renewal that is answered with NOSCRIPT is told as lost: a sound holder throws its work away.")
    .plan(plans::scripts_lost)
    .fenced(),
    ServedMember::new(
        "redis-no-persistence",
        Property::Du1,
        || Box::pin(RedisGround::plain(|wire| Box::new(Fenced::new(wire)))),
        Right::Same(|| Box::pin(RedisGround::persistent(|wire| Box::new(Fenced::new(wire))))),
    )
    .what("A lock that is said to survive a restart is kept by a server without persistence: after a crash it is free and its tokens begin anew.")
    .plan(plans::killed)
    .fenced()
    .durable(),
    ServedMember::new(
        "redis-lagging-failover",
        Property::Du1,
        || Box::pin(RedisGround::pair(|wire| Box::new(Fenced::new(wire)), false)),
        Right::Same(|| Box::pin(RedisGround::pair(|wire| Box::new(Fenced::new(wire)), true))),
    )
    .what("A replica takes over that has not heard of the last grant: another gets the lock at once, under the same token.")
    .plan(plans::failed_over)
    .fenced()
    .durable()
    .alone(),
    ServedMember::new(
        "redis-eviction",
        Property::Me2,
        || Box::pin(RedisGround::cache(|wire| Box::new(Owned(wire)), "4mb")),
        Right::Same(|| Box::pin(RedisGround::cache(|wire| Box::new(Owned(wire)), "200mb"))),
    )
    .what("The server of the locks is also a cache and evicts what it likes when it is full: a lock vanishes under its holder.")
    .seen("samcook/RedLock.net#101")
    .plan(plans::long_hold),
    ServedMember::new(
        "advisory-through-pooler",
        Property::Me1,
        || Box::pin(PostgresGround::pooled(AdvisoryOnPool::make)),
        Right::Same(|| Box::pin(PostgresGround::direct(AdvisoryOnConnection::make, &[]))),
    )
    .what("A session's advisory lock goes through a pooler that lends sessions by the transaction: two processes lock in one session, which lets both in.")
    .seen("goauthentik/authentik#23876")
    .plan(plans::meet),
    ServedMember::new(
        "advisory-on-pooled-connection",
        Property::Ow3,
        || Box::pin(PostgresGround::direct(AdvisoryOnPool::make, &[])),
        Right::Same(|| Box::pin(PostgresGround::direct(AdvisoryOnConnection::make, &[]))),
    )
    .what("The connection that holds an advisory lock goes back to the pool at once: the next task gets the same session and the lock with it.")
    .seen("ClosureTree/with_advisory_lock#45")
    .plan(plans::meet_at_home),
    ServedMember::new(
        "postgres-now",
        Property::Ls1,
        || Box::pin(PostgresGround::direct(LeaseRowInTransaction::by_now, &[])),
        Right::Same(|| Box::pin(PostgresGround::direct(LeaseRowInTransaction::by_clock, &[]))),
    )
    .what("A lease is counted from `now()`, which is when the transaction began: in a long one it ends long before its holder thinks.")
    .plan(plans::long_transaction)
    .fenced(),
    ServedMember::new(
        "postgres-async-commit",
        Property::Du1,
        || {
            let lines = &["synchronous_commit = off", "wal_writer_delay = 10s"];
            Box::pin(PostgresGround::direct(LeaseRow::make, lines))
        },
        Right::Same(|| Box::pin(PostgresGround::direct(LeaseRow::make, &[]))),
    )
    .what("The server acknowledges commits that are not on its disk: a crash forgets a grant, and its token is granted again.")
    .plan(plans::killed)
    .fenced()
    .durable(),
    ServedMember::new(
        "etcd-whole-seconds",
        Property::Ls1,
        || Box::pin(EtcdGround::start(false)),
        Right::Same(|| Box::pin(EtcdGround::start(true))),
    )
    .what("The store grants whole seconds and the client rounds down: a lease of 1.9 s is over after one, and its holder does not know.")
    .plan(plans::odd_ttl)
    .fenced(),
];
