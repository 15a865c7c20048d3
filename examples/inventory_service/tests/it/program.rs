//! The service's program, built with some of its features, and its processes.
#![expect(
    clippy::disallowed_methods,
    reason = "a process that does not end is given up in real time"
)]

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::http::{self, Answer};

/// The program, built with these features and no other.
pub(crate) struct Program(PathBuf);

impl Program {
    /// Builds it as whoever runs it would, with features of the service besides the store's.
    pub(crate) fn built_for(features: &str) -> Self {
        let test = std::env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).unwrap();
        let folder = profile.join("inventory");
        std::fs::create_dir_all(&folder).unwrap();
        // Each store's program is built in the same place: who builds keeps the others from it until
        // the program is put aside.
        let lock = File::create(folder.join("lock")).unwrap();
        lock.lock().unwrap();
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "-p",
            "inventory_service",
            "--bin",
            "inventory_service",
        ]);
        build.args(["--no-default-features", "--features", features]);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success());
        // One that runs is not written over: it is replaced.
        let program = folder.join(features);
        let fresh = folder.join(format!("{features}.{}", std::process::id()));
        let _bytes = std::fs::copy(profile.join("inventory_service"), &fresh).unwrap();
        std::fs::rename(fresh, &program).unwrap();
        Self(program)
    }

    /// What it says when it does not take this store.
    pub(crate) fn refuses(&self, url: &str) -> String {
        let output = Command::new(&self.0)
            .args([url, "127.0.0.1:0"])
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

/// A process that serves; killed when dropped.
pub(crate) struct Service {
    child: Child,
    addr: SocketAddr,
}

impl Service {
    /// Starts it and waits until it listens.
    pub(crate) async fn start(program: &Program, store: &str) -> Self {
        let mut child = tokio::process::Command::new(&program.0)
            .args([store, "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let out = child.stdout.take().unwrap();
        let line = BufReader::new(out).lines().next_line().await.unwrap();
        let line = line.expect("it says where it listens before it ends");
        let addr = line.strip_prefix("listening on http://").unwrap();
        let addr = addr.parse().unwrap();
        Self { child, addr }
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> std::io::Result<Answer> {
        http::ask(self.addr, method, path, body).await
    }

    /// SIGKILL, whatever it is doing.
    pub(crate) fn kill(&self) {
        kill_process(self.pid(), Signal::KILL).unwrap();
    }

    /// SIGTERM, and it ends by itself without a complaint.
    pub(crate) async fn ends_well(mut self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
        let ended = tokio::time::timeout(ENDING, self.child.wait()).await;
        assert!(ended.expect("it ends when asked").unwrap().success());
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap()
    }
}

/// Far more than it takes to answer what is under way and to give leases up.
const ENDING: Duration = Duration::from_secs(30);
