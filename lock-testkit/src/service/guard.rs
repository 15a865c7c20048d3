//! [`Guard`]: clears up after a test process that was killed before it could.

use std::process::{Child, Command, Stdio};

/// A shell that waits for the end of this process and then runs a script. Dropped in time, it does
/// nothing.
///
/// Rejected: a signal to the child when its parent dies. Linux sends it when the *thread* that
/// started the child ends, and tests start servers from threads that come and go.
#[derive(Debug)]
pub(super) struct Guard(Option<Child>);

impl Guard {
    /// Runs the script with these arguments if this process ends first.
    pub(super) fn new(script: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            // The pipe's other end is ours alone: the read ends when we do.
            .arg(format!("read -r _; {script}"))
            .arg("guard")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // Away from the group that a terminal or a test runner signals.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        // Without a shell there is no guard, and all is well unless we are killed.
        Self(command.spawn().ok())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // First the shell, then the pipe. Fails only if the shell has ended already.
            drop((child.kill(), child.wait()));
        }
    }
}
