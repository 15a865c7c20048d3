//! The exit codes, beside those of flock for the same cases.

use crate::hand::{Place, Ran};

/// What `flock OPTIONS FILE COMMAND…` exits with.
fn flock(place: &Place, options: &[&str], command: &[&str]) -> i32 {
    let mut flock = place.wrapped("flock");
    flock.args(options).arg("lock-file").args(command);
    Ran::of(&flock.output().unwrap()).code
}

fn dlock(place: &Place, options: &[&str], command: &[&str]) -> i32 {
    let words = [&["run"], options, &["x", "--"], command].concat();
    place.run(&words).code
}

#[test]
fn a_command_s_end_is_passed_through_as_flock_does() {
    let place = Place::new();
    for command in [
        &["true"][..],
        &["false"],
        &["sh", "-c", "exit 42"],
        &["sh", "-c", "kill -TERM $$"],
        &["sh", "-c", "kill -KILL $$"],
    ] {
        let (ours, theirs) = (dlock(&place, &[], command), flock(&place, &[], command));
        assert_eq!(ours, theirs, "{command:?}");
    }
}

#[test]
fn a_refusal_has_flock_s_codes() {
    let place = Place::new();
    let script = "echo > held; while :; do sleep 0.02; done";
    let _holder = place.start(&["x"], script);
    let _held = place.until_written("held");
    let mut other = place.wrapped("flock");
    let script = "echo > held-too; while :; do sleep 0.02; done";
    other.args(["lock-file", "sh", "-c", script]);
    let _other = crate::hand::Running(other.spawn().unwrap());
    let _held = place.until_written("held-too");
    for options in [
        &["-n"][..],
        &["-n", "-E", "9"],
        &["-w", "0.1"],
        &["-w", "0.1", "-E", "0"],
    ] {
        let (ours, theirs) = (
            dlock(&place, options, &["true"]),
            flock(&place, options, &["true"]),
        );
        assert_eq!(ours, theirs, "{options:?}");
    }
}

#[test]
fn a_wrong_command_line_has_flock_s_code() {
    let place = Place::new();
    for words in [
        &["run", "--no-such-option", "x", "--", "true"][..],
        &["run", "-w", "soon", "x", "--", "true"],
        &["run", "-E", "256", "x", "--", "true"],
        &["run", "x"],
        &["no-such-command"],
        &["run", "-n", "-w", "1", "x", "--", "true"],
    ] {
        let _ran = place.run(words).expect(64, "");
    }
    assert_eq!(flock(&place, &["--no-such-option"], &["true"]), 64);
}

#[test]
fn a_command_that_cannot_be_run_has_a_shell_s_codes_and_frees_the_lock() {
    let place = Place::new();
    std::fs::write(place.file("plain"), "no program").unwrap();
    let missing = ["run", "x", "--", "no-such-command"];
    let _ran = place
        .run(&missing)
        .expect(127, "cannot run 'no-such-command'");
    let _ran = place
        .run(&["run", "x", "--", "./plain"])
        .expect(126, "cannot run './plain'");
    let _ran = place
        .run(&["run", "x", "--", "/"])
        .expect(126, "cannot run '/'");
    assert_eq!(place.run(&["status", "x"]).code, 1);
}
