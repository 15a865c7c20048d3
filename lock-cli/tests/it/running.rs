//! `dlock run` when nothing goes wrong.

use std::io::Write;
use std::process::Stdio;

use rustix::process::Signal;

use crate::hand::{Place, Ran, lives, until_true};

#[test]
fn the_command_knows_its_lock_and_the_lock_is_free_after_it() {
    let place = Place::new();
    let script = "echo $DLOCK_NAME $DLOCK_TOKEN $DLOCK_DEADLINE_MS";
    let ran = place.run(&["run", "a lock", "--", "sh", "-c", script]);
    let words: Vec<&str> = ran.out.split_whitespace().collect();
    let [name, lock, token, deadline] = words[..] else {
        panic!("{ran:?}");
    };
    assert_eq!((name, lock), ("a", "lock"));
    let token: u64 = token.parse().unwrap();
    assert!((1..=10_000).contains(&deadline.parse::<u64>().unwrap()));
    let status = place.run(&["status", "a lock", "--json"]).expect(1, "");
    assert!(
        status.out.contains(&format!("\"last_token\": {token}")),
        "{status:?}"
    );
    assert!(
        status.out.contains("\"previous\": \"released\""),
        "{status:?}"
    );
}

#[test]
fn arguments_of_the_command_are_its_own() {
    let place = Place::new();
    let ran = place.run(&["run", "x", "echo", "-n", "--ttl", "--", "z"]);
    assert_eq!(ran.out, "--ttl -- z");
    let ran = place.run(&["run", "x", "--ttl", "5s", "--", "echo", "--ttl"]);
    assert_eq!(ran.out, "--ttl\n");
}

#[test]
fn only_one_runs_at_a_time() {
    let place = Place::new();
    let script = "echo begin >> log; sleep 0.05; echo end >> log";
    let all: Vec<_> = (0..5).map(|_| place.start(&["x"], script)).collect();
    for running in all {
        let _ended = running.end().expect(0, "");
    }
    assert_eq!(place.read("log"), "begin\nend\n".repeat(5));
}

#[test]
fn signals_are_passed_on() {
    let place = Place::new();
    let script = "trap 'echo usr1 >> log' USR1; trap 'echo winch >> log' WINCH
        trap 'echo int >> log; exit 7' INT
        echo $$ > near; while :; do sleep 0.02; done";
    let running = place.start(&["x"], script);
    let _near = place.pid("near");
    for (signal, log) in [
        (Signal::USR1, "usr1\n"),
        (Signal::WINCH, "usr1\nwinch\n"),
        (Signal::INT, "usr1\nwinch\nint\n"),
    ] {
        running.signal(signal);
        until_true(log, || place.read("log") == log);
    }
    let _ended = running.end().expect(7, "");
    assert_eq!(
        place.run(&["status", "x"]).code,
        1,
        "the lock was left behind"
    );
}

#[test]
fn a_signal_that_is_ignored_stays_ignored() {
    let place = Place::new();
    let script =
        "trap '' HUP; exec \"$0\" run x -- sh -c 'echo $$ > near; sleep 0.3; kill -HUP $$; exit 5'";
    let mut command = place.wrapped("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_dlock")]);
    let ran = Ran::of(&command.output().unwrap());
    let _ended = ran.expect(5, "");
}

#[test]
fn a_signal_ends_the_wait_for_the_lock_and_leaves_nothing_behind() {
    let place = Place::new();
    let holder = place.start(&["x"], "echo > held; while :; do sleep 0.02; done");
    let _held = place.until_written("held");
    let waiter = place.start(&["x"], "echo > ran");
    until_true("it waits", || {
        place
            .run(&["status", "x", "--json"])
            .out
            .contains("\"waiting\": 1")
    });
    waiter.signal(Signal::TERM);
    let _ended = waiter.end().expect(143, "");
    holder.signal(Signal::TERM);
    let _ended = holder.end();
    let status = place.run(&["status", "x", "--json"]);
    assert!(status.out.contains("\"waiting\": 0"), "{status:?}");
    assert_eq!(place.read("ran"), "");
}

#[test]
fn the_standard_input_reaches_the_command() {
    let place = Place::new();
    let mut command = place.dlock(&["run", "x", "--", "cat"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"through").unwrap();
    let ran = Ran::of(&child.wait_with_output().unwrap()).expect(0, "");
    assert_eq!(ran.out, "through");
}

#[test]
fn what_the_command_leaves_running_is_ended_before_the_lock_is_given_up() {
    let place = Place::new();
    let script = "setsid sh -c 'trap \"\" TERM; echo $$ > far; sleep 60 & wait; sleep 60' &
        while ! test -s far; do sleep 0.01; done; exit 4";
    let ran = place.run(&["run", "x", "--ttl", "3s", "--", "sh", "-c", script]);
    let _ended = ran.expect(4, "that the command left running");
    assert!(!lives(place.pid("far")));
}

#[test]
fn what_the_command_leaves_running_may_keep_the_lock_or_go_on_without_it() {
    let place = Place::new();
    let script = "sh -c 'echo $$ > far; sleep 0.3; echo done > done' > /dev/null 2>&1 &
        while ! test -s far; do sleep 0.01; done; exit 4";
    let words = ["run", "x", "--orphans", "wait", "--", "sh", "-c", script];
    let _ended = place.run(&words).expect(4, "");
    assert_eq!(place.read("done"), "done\n");

    let place = Place::new();
    let script = "sh -c 'echo $$ > far; read line < fifo' > /dev/null 2>&1 &
        while ! test -s far; do sleep 0.01; done; exit 4";
    assert!(
        place
            .wrapped("mkfifo")
            .arg("fifo")
            .status()
            .unwrap()
            .success()
    );
    let words = ["run", "x", "--orphans", "leave", "--", "sh", "-c", script];
    let _ended = place.run(&words).expect(4, "");
    let far = place.pid("far");
    assert!(lives(far));
    std::fs::write(place.file("fifo"), "go\n").unwrap();
    until_true("it ends by itself", || !lives(far));
}

#[test]
fn a_daemon_that_leaves_twice_is_found() {
    let place = Place::new();
    let script = "setsid sh -c 'setsid sh -c \"echo \\$\\$ > far; sleep 60\" &' &
        while ! test -s far; do sleep 0.01; done";
    let ran = place.run(&["run", "x", "--ttl", "3s", "--", "sh", "-c", script]);
    let _ended = ran.expect(0, "left running");
    assert!(!lives(place.pid("far")));
}
