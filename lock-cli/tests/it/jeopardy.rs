//! The command is gone before its lock can pass to another, whatever happens to whom.

use lock_testkit::proxy::Proxy;
use lock_testkit::service::RedisServer;
use rustix::process::Signal;

use crate::hand::{Place, child_of, lives, send, until_true};

/// A command that writes a line into the log as often as it can, that does not listen to SIGTERM,
/// and that has a child in a session of its own which does the same.
const STUBBORN: &str = "trap '' TERM HUP INT
    setsid sh -c 'trap \"\" TERM; echo $$ > far; while :; do echo held >> log; done' &
    echo $$ > near
    while :; do echo held >> log; done";

/// What the next holder writes, and what it sees of the one before.
const NEXT: &str = "echo next >> log; cat near far";

/// Runs the next holder and looks whether any of the holder before lived on beside it.
#[track_caller]
fn passes_without_overlap(place: &Place, near: i32, far: i32) {
    let next = place.run(&["run", "--ttl", "1s", "x", "--", "sh", "-c", NEXT]);
    assert!(!lives(near) && !lives(far), "the command lives on");
    assert_eq!(next.code, 0, "{next:?}");
    let log = place.read("log");
    let (before, after) = log.split_once("next\n").unwrap();
    assert!(before.contains("held"), "the first holder never wrote");
    assert_eq!(after, "", "the first holder wrote beside the next");
}

/// One round: the store is cut off in mid-run, and another waits for the lock.
async fn black_holed(server: &RedisServer, round: u32) {
    let proxy = Proxy::start(server.addr()).await.unwrap();
    let url = |base: &str| format!("{base}/?namespace=round-{round}:");
    let holder = Place::at(&url(&proxy.url()));
    let running = holder.start(&["--ttl", "2s", "x"], STUBBORN);
    let (near, far) = (holder.pid("near"), holder.pid("far"));
    proxy.partition();
    // The next one comes by another way, and shares the log.
    let mut next = holder.dlock(&["run", "--ttl", "2s", "x", "--", "sh", "-c", NEXT]);
    next.env("DLOCK_URL", url(server.url()));
    let next = tokio::task::spawn_blocking(move || next.output()).await;
    let next = next.unwrap().unwrap();
    assert!(next.status.success(), "{next:?}");
    assert!(
        !lives(near) && !lives(far),
        "round {round}: the command lives on"
    );
    let log = holder.read("log");
    let (before, after) = log.split_once("next\n").unwrap();
    assert!(before.contains("held"), "the first holder never wrote");
    assert_eq!(
        after, "",
        "round {round}: the first holder wrote beside the next"
    );
    let ended = tokio::task::spawn_blocking(move || running.end())
        .await
        .unwrap();
    let _ended = ended.expect(75, "the command was ended");
}

/// `DLOCK_BLACK_HOLES` asks for more rounds: `cargo xtask measure dlock` for a hundred.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_gone_before_the_lock_passes_when_the_store_is_cut_off() {
    let rounds = std::env::var("DLOCK_BLACK_HOLES").ok();
    let rounds: u32 = rounds.map_or(2, |text| text.parse().unwrap());
    let server = RedisServer::start().await.unwrap();
    for round in 0..rounds {
        black_holed(&server, round).await;
    }
}

#[test]
fn a_command_is_gone_before_the_lock_passes_when_dlock_is_killed() {
    let place = Place::new();
    let running = place.start(&["--ttl", "1s", "x"], STUBBORN);
    let (near, far) = (place.pid("near"), place.pid("far"));
    running.signal(Signal::KILL);
    passes_without_overlap(&place, near, far);
}

#[test]
fn a_command_is_gone_before_the_lock_passes_when_dlock_is_stopped() {
    let place = Place::new();
    let running = place.start(&["--ttl", "1s", "x"], STUBBORN);
    let (near, far) = (place.pid("near"), place.pid("far"));
    running.signal(Signal::STOP);
    passes_without_overlap(&place, near, far);
    running.signal(Signal::CONT);
    let _ended = running.end().expect(75, "the command was ended");
}

#[test]
fn a_command_is_gone_before_the_lock_passes_when_its_warden_is_killed() {
    let place = Place::new();
    let running = place.start(&["--ttl", "3s", "x"], STUBBORN);
    let (near, far) = (place.pid("near"), place.pid("far"));
    send(warden_of(near), Signal::KILL);
    passes_without_overlap(&place, near, far);
    let _ended = running
        .end()
        .expect(70, "the warden of the command was killed");
}

#[test]
fn a_command_is_ended_by_the_keeper_when_its_warden_is_stopped() {
    let place = Place::new();
    let running = place.start(&["--ttl", "3s", "x"], STUBBORN);
    let (near, far) = (place.pid("near"), place.pid("far"));
    send(warden_of(near), Signal::STOP);
    // The lease is taken, so that only the keeper is left to end the command.
    let broken = place.run(&["break", "x", "--reason", "test", "--yes"]);
    assert_eq!(broken.code, 0, "{broken:?}");
    until_true("the command is gone", || !lives(near) && !lives(far));
    let _ended = running.end();
}

#[test]
fn a_command_that_listens_is_told_before_it_is_killed() {
    let place = Place::new();
    let script =
        "trap 'echo told > told; exit 0' TERM; echo $$ > near; while :; do sleep 0.05; done";
    let running = place.start(&["--ttl", "2s", "x"], script);
    let near = place.pid("near");
    let keeper = running.pid();
    assert_eq!(warden_of(near), child_of(keeper));
    running.signal(Signal::KILL);
    assert_eq!(place.until_written("told"), "told\n");
    until_true("the command is gone", || !lives(near));
}

fn warden_of(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().nth(1).unwrap().parse().unwrap()
}
