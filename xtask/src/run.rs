//! Runs other programs and says so.
#![expect(
    clippy::disallowed_methods,
    reason = "a command at the terminal is timed by the terminal's clock"
)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Outcome;

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Announces what comes now.
pub(crate) fn say(what: &str) {
    println!("==> {what}");
}

/// Adds to what was announced.
pub(crate) fn note(what: &str) {
    println!("    {what}");
}

/// Does one step and says how long it took.
pub(crate) fn step(what: &str, work: impl FnOnce() -> Outcome) -> Outcome {
    say(what);
    let start = Instant::now();
    let outcome = work();
    let word = if outcome.is_ok() { "done" } else { "FAILED" };
    note(&format!(
        "{word}: {what} ({:.1} s)",
        start.elapsed().as_secs_f64()
    ));
    outcome
}

/// The program that runs us, with these words.
pub(crate) fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words);
    command
}

/// Runs a program whose output goes to the terminal.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let status = command
        .status()
        .map_err(|e| format!("cannot run {command:?}: {e}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{command:?} failed: {status}"))
    }
}

/// Whether a program can be run and succeeds; its output is not shown.
pub(crate) fn succeeds(program: &str, words: &[&str]) -> bool {
    output(program, words).is_some()
}

/// What a program that succeeds prints.
pub(crate) fn output(program: &str, words: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// Whether a program is on the path.
pub(crate) fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Runs a program that takes long: says now and then that it still does, keeps its output in a file
/// and shows the end of it if it fails.
pub(crate) fn run_long(what: &str, command: &mut Command, log: &Path, bound: Duration) -> Outcome {
    let file = File::create(log).map_err(|e| format!("cannot write {}: {e}", log.display()))?;
    let errors = file.try_clone().map_err(|e| e.to_string())?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors)
        .spawn()
        .map_err(|e| format!("cannot run {command:?}: {e}"))?;
    let start = Instant::now();
    let mut said = 0;
    loop {
        let seconds = start.elapsed().as_secs();
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) if status.success() => {
                note(&format!("{what}: {seconds} s"));
                return Ok(());
            }
            Some(status) => {
                let text = std::fs::read_to_string(log).unwrap_or_default();
                let lines: Vec<_> = text.lines().collect();
                let from = lines.len().saturating_sub(15);
                let tail = lines.get(from..).unwrap_or_default().join("\n    ");
                return Err(format!("{what} failed: {status}\n    {tail}"));
            }
            None if start.elapsed() > bound => {
                // Ended by its own id; fails only if it has just ended by itself.
                drop((child.kill(), child.wait()));
                return Err(format!("{what} took longer than {} s", bound.as_secs()));
            }
            None => {}
        }
        if seconds >= said + SAY_EVERY_SECONDS {
            said = seconds;
            note(&format!("{what}: {seconds} s ..."));
        }
        sleep(Duration::from_millis(100));
    }
}

/// Whether we may install packages and make root file systems.
pub(crate) fn is_root() -> bool {
    output("id", &["-u"]).as_deref() == Some("0")
}

/// Installs a Debian package, if that can be done here; else says how somebody can.
pub(crate) fn apt_install(package: &str) -> Outcome {
    let by_hand = format!("install it: `sudo apt-get install {package}`");
    if !on_path("apt-get") {
        return Err(format!("{package} is missing: install it"));
    }
    if !is_root() {
        return Err(format!("{package} is missing: {by_hand}"));
    }
    note(&format!("{package} is missing: installing it by apt-get"));
    let log = std::env::temp_dir().join(format!("lock-xtask-{}-apt.log", std::process::id()));
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        // A server's package must not start a server: its script takes run level 1 for a reason.
        command
            .args(words)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("RUNLEVEL", "1");
        run_long(
            &format!("apt-get {}", words.join(" ")),
            &mut command,
            &log,
            LONG,
        )
    };
    let outcome = apt(&["update", "-qq"])
        .and_then(|()| apt(&["install", "-y", "-qq", "--no-install-recommends", package]));
    // Its end was shown if it mattered.
    drop(std::fs::remove_file(&log));
    outcome.map_err(|e| format!("{package} is missing and could not be installed: {e}; {by_hand}"))
}

/// The bound of what takes long.
pub(crate) const LONG: Duration = Duration::from_secs(600);
const SAY_EVERY_SECONDS: u64 = 5;
