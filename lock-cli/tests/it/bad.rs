//! What people get wrong, and what the world does to them.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::hand::{Place, Ran};

#[test]
fn an_unknown_scheme_is_refused_with_those_that_there_are() {
    let place = Place::at("mysql://db/");
    let ran = place
        .run(&["run", "x", "--", "true"])
        .expect(69, "no store has the scheme");
    assert!(ran.err.contains("postgres"), "{ran:?}");
    let _ran = Place::at("nonsense")
        .run(&["list"])
        .expect(64, "not the URL of a store");
    let _ran = Place::at("memory:").run(&["list"]).expect(69, "");
}

#[test]
fn a_server_that_cannot_be_reached_is_told_and_no_password_is() {
    // Port 1 of the loopback is nobody's.
    let place = Place::at("redis://user:s3cret@127.0.0.1:1/?patience=100ms&connect_timeout=300ms");
    for words in [
        &["run", "x", "--", "true"][..],
        &["status", "x"],
        &["list"],
        &["wait", "x"],
        &["get", "x"],
        &["set", "x", "1"],
        &["break", "x", "--reason", "r", "--yes"],
        &["breaks"],
    ] {
        let ran = place.run(words).expect(69, "127.0.0.1:1");
        assert!(!ran.err.contains("s3cret"), "{ran:?}");
    }
}

#[test]
fn a_name_that_nobody_used_is_free_and_has_no_value() {
    let place = Place::new();
    let ran = place.run(&["status", "never"]).expect(1, "");
    assert!(
        ran.out.contains("free") && ran.out.contains("no lease on record"),
        "{ran:?}"
    );
    let _ran = place.run(&["get", "never"]).expect(1, "guards no value");
    let _ran = place.run(&["wait", "never"]).expect(0, "");
    let words = ["break", "never", "--reason", "r", "--yes"];
    let _ran = place.run(&words).expect(1, "is not held");
    assert_eq!(place.run(&["list"]).out, "");
    assert_eq!(place.run(&["list", "--json"]).out, "[]\n");
}

#[test]
fn a_name_that_looks_like_an_option_stands_behind_two_hyphens() {
    let place = Place::new();
    let _ran = place
        .run(&["status", "--nonesuch"])
        .expect(64, "-- --nonesuch");
    let ran = place.run(&["run", "--", "--name", "sh", "-c", "echo $DLOCK_NAME"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "--name\n"));
    let _ran = place.run(&["status", "--", "--name"]).expect(1, "");
}

#[test]
fn names_out_of_bounds_are_refused_with_the_bound() {
    let place = Place::new();
    let _ran = place
        .run(&["run", "", "--", "true"])
        .expect(64, "must not be empty");
    let long = "x".repeat(513);
    let _ran = place
        .run(&["status", &long])
        .expect(64, "at most 512 bytes");
    let _ran = place
        .run(&["run", "x", "--ttl", "1ms", "--", "true"])
        .expect(64, "50 ms");
    let words = ["run", "x", "--ttl", "1s", "--grace", "1s", "--", "true"];
    let _ran = place.run(&words).expect(64, "has no room for a grace");
}

#[test]
fn control_characters_of_others_are_shown_and_not_obeyed() {
    let place = Place::new();
    let evil = "evil\u{1b}[2J\r\u{7}\u{9b}2J";
    let script = "echo > held; while :; do sleep 0.02; done";
    let _holder = place.start(&["--label", evil, evil], script);
    let _held = place.until_written("held");
    for words in [
        &["status", evil][..],
        &["status", evil, "--json"],
        &["list"],
        &["run", "-n", evil, "--", "true"],
        &["break", evil, "--reason", evil, "--yes"],
        &["status", evil],
        &["status", evil, "--json"],
        &["breaks"],
        &["breaks", "--json"],
    ] {
        let ran = place.run(words);
        let all = format!("{}{}", ran.out, ran.err);
        assert!(
            !all.contains(['\u{1b}', '\r', '\u{7}', '\u{9b}']),
            "{ran:?}"
        );
        assert!(all.contains("evil\\u"), "{ran:?}");
    }
}

#[test]
fn a_closed_standard_input_is_an_empty_one() {
    let place = Place::new();
    let mut command = place.wrapped("sh");
    command.args([
        "-c",
        "exec \"$0\" run x -- cat <&-",
        env!("CARGO_BIN_EXE_dlock"),
    ]);
    let _ran = Ran::of(&command.output().unwrap()).expect(0, "");
    let mut command = place.wrapped("sh");
    command.args(["-c", "exec \"$0\" set x <&-", env!("CARGO_BIN_EXE_dlock")]);
    let _ran = Ran::of(&command.output().unwrap()).expect(65, "no JSON");
}

#[test]
fn a_pipe_without_a_reader_is_no_panic() {
    let place = Place::new();
    let _set = place.run(&["set", "x", "1"]).expect(0, "");
    for words in [
        "get x",
        "status x",
        "list --json",
        "breaks --json",
        "completions bash",
        "--help",
        "run x -- echo hello",
        "run --no-such-option",
    ] {
        // The reader is gone before dlock writes.
        let script = format!("(sleep 0.05; exec \"$0\" {words} 2>&1; echo $? > code) | true");
        let mut command = place.wrapped("bash");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_dlock")]);
        let ran = Ran::of(&command.output().unwrap());
        assert!(!ran.err.contains("panicked"), "{words}: {ran:?}");
        let mut command = place.wrapped("bash");
        let script = format!("\"$0\" {words} > /dev/full");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_dlock")]);
        let ran = Ran::of(&command.output().unwrap());
        assert!(!ran.err.contains("panicked"), "{words}: {ran:?}");
    }
}

#[test]
fn of_two_breaks_at_once_one_breaks() {
    let place = Place::new();
    let script = "echo > held; while :; do sleep 0.02; done";
    let _holder = place.start(&["x"], script);
    let _held = place.until_written("held");
    let spawn = || {
        let mut command = place.dlock(&["break", "x", "--reason", "both", "--yes"]);
        command.spawn().unwrap()
    };
    let (one, two) = (spawn(), spawn());
    let mut codes = [one, two].map(|child| {
        let ran = Ran::of(&child.wait_with_output().unwrap());
        assert!(!ran.err.contains("panicked"), "{ran:?}");
        ran.code
    });
    codes.sort_unstable();
    assert_eq!(codes, [0, 1]);
    let breaks = place.run(&["breaks"]).expect(0, "").out;
    assert_eq!(breaks.lines().count(), 2, "{breaks}");
}

#[test]
fn a_break_without_a_terminal_wants_to_be_told() {
    let place = Place::new();
    let script = "echo > held; while :; do sleep 0.02; done";
    let _holder = place.start(&["x"], script);
    let _held = place.until_written("held");
    let _ran = place
        .run(&["break", "x", "--reason", "r"])
        .expect(64, "add --yes");
    let _ran = place.run(&["break", "x", "--yes"]).expect(64, "--reason");
    for (reason, why) in [("", "must not be empty"), (&"x".repeat(501), "at most 500")] {
        let _ran = place
            .run(&["break", "x", "--yes", "--reason", reason])
            .expect(64, why);
    }
    assert_eq!(place.run(&["status", "x"]).code, 0);
}

#[test]
fn a_value_that_is_no_json_is_refused_and_the_old_one_stays() {
    let place = Place::new();
    let _ran = place.run(&["set", "x", "{\"left\": 3}"]).expect(0, "");
    let _ran = place
        .run(&["set", "x", "text"])
        .expect(65, "written with quotes");
    assert_eq!(place.run(&["get", "x"]).out, "{\"left\":3}\n");
    let huge = format!("\"{}\"", "x".repeat(100_000));
    let _ran = place.run(&["set", "x", &huge]).expect(0, "");
    let _ran = place.run(&["set", "x", "-1"]).expect(0, "");
    assert_eq!(place.run(&["get", "x"]).out, "-1\n");
}

#[test]
fn a_state_directory_in_which_others_may_write_is_refused() {
    let place = Place::new();
    let _ran = place.run(&["run", "x", "--", "true"]).expect(0, "");
    let folder = place.file("dlock");
    let mode = |mode| std::fs::set_permissions(&folder, PermissionsExt::from_mode(mode)).unwrap();
    assert_eq!(
        std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777,
        0o700
    );
    mode(0o777);
    let _ran = place
        .run(&["run", "x", "--", "true"])
        .expect(64, "chmod 700");
    mode(0o700);
    let mut command = place.dlock(&["list"]);
    command
        .env_remove("XDG_STATE_HOME")
        .env_remove("HOME")
        .stdin(Stdio::null());
    let _ran = Ran::of(&command.output().unwrap()).expect(64, "--url or DLOCK_URL");
}
