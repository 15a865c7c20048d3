//! What the tests share: a `dlock` with a state directory of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A place of its own for one test.
pub(crate) struct Place {
    folder: TempDir,
    url: Option<String>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            url: None,
        }
    }

    pub(crate) fn at(url: &str) -> Self {
        Self {
            url: Some(url.to_owned()),
            ..Self::new()
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    pub(crate) fn dlock(&self, words: &[&str]) -> Command {
        let mut command = self.wrapped(env!("CARGO_BIN_EXE_dlock"));
        command.args(words);
        command
    }

    /// Another program in the same place.
    pub(crate) fn wrapped(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .env("XDG_STATE_HOME", self.folder.path())
            .env_remove("DLOCK_URL")
            .env_remove("TRACEPARENT")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(url) = &self.url {
            command.env("DLOCK_URL", url);
        }
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        Ran::of(&self.dlock(words).output().unwrap())
    }

    /// `dlock run` of a shell's script, in the background.
    pub(crate) fn start(&self, options: &[&str], script: &str) -> Running {
        let words = [&["run"], options, &["--", "sh", "-c", script]].concat();
        Running(self.dlock(&words).spawn().unwrap())
    }

    /// Waits until a file holds something.
    #[track_caller]
    pub(crate) fn until_written(&self, name: &str) -> String {
        let path = self.file(name);
        until(&format!("{name} is written"), || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            text.ends_with('\n').then_some(text)
        })
    }

    /// Waits until a process has written its number into a file.
    #[track_caller]
    pub(crate) fn pid(&self, name: &str) -> i32 {
        self.until_written(name).trim().parse().unwrap()
    }
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32, err: &str) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.err.contains(err), "{err:?} is not in {self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
        self
    }
}

/// A command in the background; killed when the test is over.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    pub(crate) fn end(mut self) -> Ran {
        let mut output = Output {
            status: self.0.wait().unwrap(),
            stdout: Vec::new(),
            stderr: Vec::new(),
        };
        use std::io::Read;
        let _read = self
            .0
            .stdout
            .take()
            .map(|mut o| o.read_to_end(&mut output.stdout));
        let _read = self
            .0
            .stderr
            .take()
            .map(|mut o| o.read_to_end(&mut output.stderr));
        Ran::of(&output)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _ended = self.0.wait();
    }
}

pub(crate) fn send(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Whether a process is there and is no zombie.
pub(crate) fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
    state.is_some_and(|rest| !rest.starts_with(['Z', 'X']))
}

/// The only child of a process, once it has one.
#[track_caller]
pub(crate) fn child_of(pid: i32) -> i32 {
    until("a child", || {
        let path = format!("/proc/{pid}/task/{pid}/children");
        let list = std::fs::read_to_string(path).unwrap_or_default();
        list.split_whitespace().next()?.parse().ok()
    })
}

/// Waits for a condition, within a bound that only a defect reaches.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + BOUND;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "not within {BOUND:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[track_caller]
pub(crate) fn until_true(what: &str, mut condition: impl FnMut() -> bool) {
    until(what, || condition().then_some(()));
}

const BOUND: Duration = Duration::from_secs(60);
