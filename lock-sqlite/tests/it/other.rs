//! Other processes: this test binary again, running the same test with the path of a file, which then
//! plays its other part.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::in_time;

const FILE: &str = "LOCK_SQLITE_TEST_FILE";
const NUMBER: &str = "LOCK_SQLITE_TEST_NUMBER";

/// The file, if this process was started by a test to play the other part in it.
pub(crate) fn asked_for() -> Option<PathBuf> {
    std::env::var_os(FILE).map(PathBuf::from)
}

/// Which of several it is.
pub(crate) fn number() -> usize {
    std::env::var(NUMBER).unwrap().parse().unwrap()
}

/// A process that plays the other part of a test; it is killed when this is dropped.
pub(crate) struct Other(Child);

impl Other {
    pub(crate) fn start(test: &str, file: &Path) -> Self {
        Self::start_number(test, file, 0)
    }

    pub(crate) fn start_number(test: &str, file: &Path, number: usize) -> Self {
        Self::spawn(Self::command(test, file).env(NUMBER, number.to_string()))
    }

    /// The test is `module::name`.
    pub(crate) fn command(test: &str, file: &Path) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([test, "--exact"])
            .env(FILE, file)
            .stdout(Stdio::null());
        command
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// As `kill -9`; comes back when it is gone.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Its end, once it has come.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        let waiting = async {
            loop {
                if let Some(status) = self.0.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        in_time(waiting).await
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It has ended already if all went well.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
