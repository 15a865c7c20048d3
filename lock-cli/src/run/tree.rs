//! The processes below one of ours, wherever they went: other groups, other sessions.
//!
//! A process that orphaned itself comes back to the nearest subreaper above it, which is ours. What
//! another daemon starts on somebody's behalf is not below us, and cannot be found.

use std::collections::HashSet;
use std::fs;

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, getpgid, kill_process, pidfd_open, pidfd_send_signal,
};

/// The children of a process, those that ended and were not waited for included. One that ends in
/// this moment can make another be missed: whoever must know repeats it until `wait` says so.
pub(super) fn children(of: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{}/task", of.as_raw_nonzero()));
    let mut found = Vec::new();
    for task in tasks.into_iter().flatten().flatten() {
        let Ok(list) = fs::read_to_string(task.path().join("children")) else {
            return children_by_parent(of);
        };
        let pids = list.split_ascii_whitespace().map(str::parse);
        found.extend(pids.flatten().filter_map(Pid::from_raw));
    }
    found
}

/// The same where the kernel keeps no lists of children, or the process is ending.
fn children_by_parent(of: Pid) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    pids.filter(|pid| parent(*pid) == Some(of)).collect()
}

/// All processes below one, but not those to be spared nor what is below them.
pub(super) fn descendants(of: Pid, spared: &HashSet<Pid>) -> Vec<Pid> {
    let mut found = Vec::new();
    let mut known: HashSet<Pid> = spared.clone();
    let mut open = vec![of];
    while let Some(parent) = open.pop() {
        for child in children(parent) {
            if known.insert(child) {
                found.push(child);
                open.push(child);
            }
        }
    }
    found
}

/// Sends a signal to every process below one that is not in this group. A number that was given to another process meanwhile
/// is not signalled: the descriptor names the process, and its parent is looked at after that.
pub(super) fn signal_all(of: Pid, spared: &HashSet<Pid>, group: Option<Pid>, signal: Signal) {
    let pids = descendants(of, spared);
    let family: HashSet<Pid> = pids.iter().copied().chain([of]).collect();
    for pid in pids {
        if group.is_some() && getpgid(Some(pid)).ok() == group {
            continue;
        }
        let fd = pidfd_open(pid, PidfdFlags::empty());
        if parent(pid).is_none_or(|parent| !family.contains(&parent)) {
            continue;
        }
        // One that has just ended needs no signal.
        let _sent = match fd {
            Ok(fd) => pidfd_send_signal(&fd, signal),
            // A kernel before 5.3, or a sandbox that forbids it.
            Err(Errno::NOSYS | Errno::PERM) => kill_process(pid, signal),
            Err(e) => Err(e),
        };
    }
}

fn parent(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name in parentheses may hold anything: the fields begin after the last of them.
    let (_, fields) = stat.rsplit_once(')')?;
    let parent = fields.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Pid::from_raw(parent)
}

#[cfg(test)]
mod tests {
    use rustix::process::getpid;

    use super::{children, children_by_parent};

    #[test]
    fn both_ways_to_find_children_find_the_same() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let (listed, searched) = (children(getpid()), children_by_parent(getpid()));
        drop(child.stdin.take());
        let _ended = child.wait().unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed, searched);
    }
}
