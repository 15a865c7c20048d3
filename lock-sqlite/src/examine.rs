//! What there is to say about a file: who may write it, and whether there is room.

use std::path::Path;

use lock_core::Finding;

/// Looks at the file and its folder.
pub(crate) fn examine(path: &Path, shown: &str, pushes: bool) -> Vec<Finding> {
    let mut findings = vec![
        Finding::note(
            "store",
            format!("the file {shown}, for the processes of this machine alone"),
        ),
        Finding::note(
            "persistence",
            "every step but a renewal is synced to disk; leases end with the boot of the machine",
        ),
        Finding::note("clock", "this machine's own, that nobody can set"),
    ];
    findings.push(match pushes {
        true => Finding::note("wake-ups", "pushed between processes"),
        false => Finding::warning(
            "wake-ups",
            "this client has none",
            "waiters ask again and again, and stand in no line",
            "use Linux, and a folder in which this user may make files",
        ),
    });
    findings.extend(writers(path));
    findings.extend(room(path));
    findings
}

/// Others who may write the file can free any lock in it.
#[cfg(unix)]
fn writers(path: &Path) -> Option<Finding> {
    use std::os::unix::fs::PermissionsExt;

    let folder = path.parent()?;
    let mode = |path: &Path| Some(std::fs::metadata(path).ok()?.permissions().mode());
    let (file, folder) = (mode(path)?, mode(folder)?);
    // In a folder with the sticky bit others cannot replace a file.
    let by_folder = folder & 0o002 != 0 && folder & 0o1000 == 0;
    if file & 0o002 != 0 || by_folder {
        return Some(Finding::warning(
            "privileges",
            "every user of this machine may write the file or its folder",
            "any of them can free a lock, or write its value past its holder",
            "take write access from others (chmod o-w), or give it to a group",
        ));
    }
    Some(Finding::note("privileges", "no other user may write it"))
}

#[cfg(not(unix))]
fn writers(_: &Path) -> Option<Finding> {
    None
}

fn room(path: &Path) -> Option<Finding> {
    let status = rustix::fs::statvfs(path).ok()?;
    let free = status.f_bavail.saturating_mul(status.f_frsize);
    let fact = format!("{} MiB are free on its disk", free / (1024 * 1024));
    if free >= FREE_MIN {
        return Some(Finding::note("disk", fact));
    }
    Some(Finding::warning(
        "disk",
        fact,
        "on a full disk no lock is taken or given up, and leases end",
        "make room, or move the file",
    ))
}

const FREE_MIN: u64 = 64 * 1024 * 1024;
