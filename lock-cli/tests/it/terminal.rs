//! `dlock run` as a job of a shell, on a terminal of its own that `script` makes.

use std::io::Write;
use std::process::{Child, Stdio};

use crate::hand::{Place, Running, until_true};

/// An interactive shell on a terminal.
struct Shell(Running);

impl Shell {
    fn start(place: &Place) -> Self {
        let mut command = place.wrapped("script");
        command
            .args(["-qfec", "bash --norc --noprofile -i", "screen"])
            .env("DLOCK", env!("CARGO_BIN_EXE_dlock"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let shell = Self(Running(command.spawn().unwrap()));
        until_true("a prompt", || place.read("screen").contains("bash-"));
        shell
    }

    fn child(&mut self) -> &mut Child {
        &mut self.0.0
    }

    fn types(&mut self, keys: &str) {
        let stdin = self.child().stdin.as_mut().unwrap();
        stdin.write_all(keys.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }
}

#[test]
fn a_command_reads_the_terminal_and_gets_its_keys() {
    let place = Place::new();
    let mut shell = Shell::start(&place);
    shell.types("$DLOCK run x -- sh -c 'echo > ready; read line; echo \"got $line\" > got'; echo $? > code\n");
    let _ready = place.until_written("ready");
    shell.types("hello\n");
    assert_eq!(place.until_written("got"), "got hello\n");
    assert_eq!(place.until_written("code"), "0\n");
    shell.types("$DLOCK run x -- sh -c 'echo > ready2; exec sleep 60'; echo $? > code2\n");
    let _ready = place.until_written("ready2");
    shell.types("\u{3}");
    shell.types("\necho $? > after\n");
    let _after = place.until_written("after");
    assert_eq!(
        place.run(&["status", "x"]).code,
        1,
        "{}",
        place.read("screen")
    );
    shell.types("exit\n");
}

#[test]
fn a_stopped_job_keeps_its_lock_and_goes_on_with_the_terminal() {
    let place = Place::new();
    let mut shell = Shell::start(&place);
    let script = "echo $$ > ready; read line; echo \"$line\" > got";
    shell.types(&format!("$DLOCK run --ttl 3s x -- sh -c '{script}'\n"));
    let command = place.pid("ready");
    shell.types("\u{1a}");
    until_true("it is stopped", || state(command) == Some('T'));
    // The shell has the terminal again.
    shell.types("jobs > jobs; echo > stopped\n");
    let _stopped = place.until_written("stopped");
    assert!(
        place.read("jobs").contains("Stopped"),
        "{}",
        place.read("jobs")
    );
    // Well over the ttl.
    for _ in 0..4 {
        let _ran = place
            .run(&["wait", "x", "-w", "1s"])
            .expect(1, "still held");
    }
    shell.types("fg\n");
    until_true("it goes on", || state(command) != Some('T'));
    shell.types("hello\n");
    assert_eq!(place.until_written("got"), "hello\n");
    shell.types("exit\n");
    let _ran = place.run(&["wait", "x", "-w", "10s"]).expect(0, "");
}

#[test]
fn a_job_whose_front_is_killed_is_ended() {
    let place = Place::new();
    let mut shell = Shell::start(&place);
    shell.types("$DLOCK run x -- sh -c 'echo > ready; sleep 60' & echo $! > front\n");
    let _ready = place.until_written("ready");
    let front = place.pid("front");
    crate::hand::send(front, rustix::process::Signal::KILL);
    let _ran = place.run(&["wait", "x", "-w", "10s"]).expect(0, "");
    shell.types("exit\n");
}

/// The state of a process: `S`leeping, s`T`opped, ….
fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}
