//! [`Process`]: a server that runs as a child of the test, in a folder of its own.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::guard::Guard;
use super::provider::{Data, Launch, fill_file};
use super::tree;
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
        process
            .write_files()
            .map_err(|e| SetupError::new("cannot write a server's files").with_source(e))?;
        process.start(Data::Discard)?;
        Ok(process)
    }

    fn fill(&self) -> impl Fn(&str) -> String + use<> {
        let files = self.folder.path().to_string_lossy().into_owned();
        let data = self.data().to_string_lossy().into_owned();
        move |text| text.replace("{files}", &files).replace("{data}", &data)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn write_files(&self) -> std::io::Result<()> {
        let fill = self.fill();
        for (name, content) in &self.launch.files {
            fs::write(self.folder.path().join(name), fill_file(content, &fill))?;
        }
        Ok(())
    }

    pub(super) fn rewrite(&mut self, name: &str, content: &[u8]) -> Result<(), SetupError> {
        self.launch.rewrite(name, content);
        let file = File::options()
            .write(true)
            .open(self.folder.path().join(name));
        file.and_then(|file| file.write_all_at(content, 0))
            .map_err(|e| SetupError::new("cannot change a server's file").with_source(e))
    }

    pub(super) fn start(&mut self, data: Data) -> Result<(), SetupError> {
        self.spawn(data).map_err(|e| {
            SetupError::new(format!("cannot run {}", self.program.display())).with_source(e)
        })
    }

    fn spawn(&mut self, data: Data) -> std::io::Result<()> {
        let files = self.folder.path();
        let own = self.data();
        if data == Data::Discard && own.exists() {
            fs::remove_dir_all(&own)?;
        }
        fs::create_dir_all(&own)?;
        let fill = self.fill();
        let words = self.launch.words(&self.program.to_string_lossy(), &fill);
        let (program, arguments) = words
            .split_first()
            .ok_or(std::io::ErrorKind::InvalidInput)?;
        let environment = self.launch.environment.iter();
        let log = File::options()
            .create(true)
            .append(true)
            .open(files.join(LOG))?;
        let child = Command::new(program)
            .args(arguments)
            .envs(environment.map(|(name, value)| (name, fill(value))))
            .current_dir(&own)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let sweep = fill(self.launch.sweep);
        let guard = Guard::new(
            &format!("{}\n{sweep}\n{REMOVE}", tree::KILL),
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
        tree::signal(Pid::from_child(child), signal)
            .map_err(|e| SetupError::new("cannot signal the server's process").with_source(e))
    }

    pub(super) fn kill(&mut self) -> Result<(), SetupError> {
        let Some((guard, mut child)) = self.running.take() else {
            return Ok(());
        };
        drop(guard);
        let outcome = self.end(&mut child);
        outcome.map_err(|e| SetupError::new("cannot end the server's process").with_source(e))
    }

    /// Ends the server and what it started, and waits until all are gone.
    fn end(&self, child: &mut Child) -> std::io::Result<()> {
        let mut others = Vec::new();
        if child.try_wait()?.is_none() {
            let id = Pid::from_child(child);
            // Stopped, it starts nothing more.
            kill_process(id, Signal::STOP)?;
            others = tree::below(id);
            for other in &others {
                // Fails only for one that is gone.
                let _ = kill_process(*other, Signal::KILL);
            }
            child.kill()?;
            child.wait()?;
        }
        for _ in 0..END_POLLS_MAX {
            if !others.iter().any(|other| tree::is_alive(*other)) {
                break;
            }
            std::thread::sleep(END_POLL);
        }
        if !self.launch.sweep.is_empty() {
            let fill = self.fill();
            Command::new("sh")
                .args(["-c", &fill(self.launch.sweep)])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()?;
        }
        Ok(())
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

/// What is about to die may still write.
const REMOVE: &str = r#"for _ in 1 2 3 4 5 6 7 8 9; do rm -rf "$2" && break; sleep 1; done"#;
const LOG: &str = "server.log";
const END_POLL: Duration = Duration::from_millis(2);
const END_POLLS_MAX: u32 = 2500;
