//! [`Process`]: a server that runs as a child of the test, in a folder of its own.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::guard::Guard;
use super::provider::{Data, Launch};
use crate::SetupError;

#[derive(Debug)]
pub(super) struct Process {
    program: PathBuf,
    launch: Launch,
    /// `None` while the server is killed. The guard goes first.
    running: Option<(Guard, Child)>,
    /// Goes last.
    folder: TempDir,
}

impl Process {
    pub(super) fn launch(program: PathBuf, launch: Launch) -> Result<Self, SetupError> {
        let folder = tempfile::Builder::new()
            .prefix("lock-testkit-")
            .tempdir()
            .map_err(|e| SetupError::new("no folder for a server's files").with_source(e))?;
        let mut process = Self {
            program,
            launch,
            running: None,
            folder,
        };
        process.start(Data::Discard)?;
        Ok(process)
    }

    pub(super) fn start(&mut self, data: Data) -> Result<(), SetupError> {
        self.spawn(data).map_err(|e| {
            SetupError::new(format!("cannot run {}", self.program.display())).with_source(e)
        })
    }

    fn spawn(&mut self, data: Data) -> std::io::Result<()> {
        let files = self.folder.path();
        let own = files.join("data");
        if data == Data::Discard && own.exists() {
            fs::remove_dir_all(&own)?;
        }
        fs::create_dir_all(&own)?;
        let fill = |text: &str| {
            text.replace("{files}", &files.to_string_lossy())
                .replace("{data}", &own.to_string_lossy())
        };
        for (name, content) in &self.launch.files {
            fs::write(files.join(name), fill(content))?;
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(files.join(LOG))?;
        let child = Command::new(&self.program)
            .args(self.launch.arguments.iter().map(|a| fill(a)))
            .current_dir(&own)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let guard = Guard::new(
            r#"kill -9 "$1"; rm -rf "$2""#,
            &[&child.id().to_string(), &files.to_string_lossy()],
        );
        self.running = Some((guard, child));
        Ok(())
    }

    pub(super) fn pause(&self) -> Result<(), SetupError> {
        self.signal(Signal::STOP)
    }

    pub(super) fn unpause(&self) -> Result<(), SetupError> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), SetupError> {
        let (_, child) = self
            .running
            .as_ref()
            .ok_or_else(|| SetupError::new("the server is killed: restart it first"))?;
        kill_process(Pid::from_child(child), signal)
            .map_err(|e| SetupError::new("cannot signal the server's process").with_source(e))
    }

    pub(super) fn kill(&mut self) -> Result<(), SetupError> {
        let Some((guard, mut child)) = self.running.take() else {
            return Ok(());
        };
        drop(guard);
        child
            .kill()
            .and_then(|()| child.wait())
            .map(drop)
            .map_err(|e| SetupError::new("cannot end the server's process").with_source(e))
    }

    pub(super) fn has_exited(&mut self) -> bool {
        self.running
            .as_mut()
            .is_none_or(|(_, child)| !matches!(child.try_wait(), Ok(None)))
    }

    pub(super) fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join(LOG)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A drop cannot fail aloud; the process is gone if it cannot be ended.
        drop(self.kill());
    }
}

const LOG: &str = "server.log";
