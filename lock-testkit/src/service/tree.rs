//! A process and those that it started: some servers are many processes, and those are not in one
//! process group.

use std::fs;
use std::process::Command;

use rustix::process::{Pid, RawPid, Signal, kill_process};

/// Shell commands that kill the process `$1` and all below it. Stopped, it starts nothing more.
pub(super) const KILL: &str = r#"end() {
  kill -STOP "$1"
  for child in $(cat /proc/"$1"/task/*/children 2>/dev/null || pgrep -P "$1"); do
    end "$child"
  done
  kill -9 "$1"
}
end "$1""#;

/// Sends a signal to a process and then to all below it. One that is stopped by it starts no more
/// meanwhile.
pub(super) fn signal(root: Pid, signal: Signal) -> rustix::io::Result<()> {
    kill_process(root, signal)?;
    for child in below(root) {
        // Fails only for one that is gone.
        let _ = kill_process(child, signal);
    }
    Ok(())
}

/// All that a process started, and what those started.
pub(super) fn below(root: Pid) -> Vec<Pid> {
    let mut found = Vec::new();
    let mut unseen = vec![root];
    while let Some(parent) = unseen.pop() {
        let children = children(parent);
        unseen.extend(&children);
        found.extend(children);
    }
    found
}

fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero();
    let text = match fs::read_dir(format!("/proc/{parent}/task")) {
        Ok(threads) => threads
            .flatten()
            .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
            .collect(),
        Err(_) if cfg!(target_os = "linux") => String::new(),
        Err(_) => {
            let output = Command::new("pgrep")
                .args(["-P", &parent.to_string()])
                .output();
            output.map_or_else(
                |_| String::new(),
                |o| String::from_utf8_lossy(&o.stdout).into_owned(),
            )
        }
    };
    let ids = text.split_whitespace().filter_map(|id| id.parse().ok());
    ids.filter_map(|id: RawPid| Pid::from_raw(id)).collect()
}

/// Whether a process holds anything yet: one that has ended but was not waited for does not.
pub(super) fn is_alive(id: Pid) -> bool {
    if !cfg!(target_os = "linux") {
        return rustix::process::test_kill_process(id).is_ok();
    }
    let stat = fs::read_to_string(format!("/proc/{}/stat", id.as_raw_nonzero()));
    let state = stat.ok().and_then(|text| {
        // The name stands in parentheses and may hold any character.
        let (_, rest) = text.rsplit_once(')')?;
        rest.trim_start().chars().next()
    });
    !matches!(state, None | Some('X' | 'Z'))
}
