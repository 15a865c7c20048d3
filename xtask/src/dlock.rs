//! `cargo xtask measure dlock`: what docs/dlock.md says of `dlock`, in figures.
#![expect(
    clippy::disallowed_methods,
    reason = "a command at the terminal is timed by the terminal's clock"
)]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::run::{cargo, note, root, run, step};
use crate::servers;

/// Size, start-up time beside flock's, and a hundred runs whose store is cut off.
pub(crate) fn measure() -> Outcome {
    step("release build", || {
        run(&mut cargo(&["build", "--release", "-p", "lock-cli"]))
    })?;
    let dlock = root().join("target/release/dlock");
    let size = std::fs::metadata(&dlock).map_err(|e| e.to_string())?.len();
    note(&format!("the binary has {:.1} MiB", bytes_in_mib(size)));
    let folder = std::env::temp_dir().join(format!("dlock-measure-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let outcome = start_up(dlock, &folder);
    // What cannot be removed is in the system's folder for such things.
    drop(std::fs::remove_dir_all(&folder));
    outcome?;
    let environment = servers::provide()?;
    step(
        "a hundred runs whose store is cut off (about five minutes)",
        || {
            let mut test = cargo(&["test", "-p", "lock-cli", "--test", "it", "--"]);
            test.arg("when_the_store_is_cut_off").arg("--nocapture");
            run(test.env("DLOCK_BLACK_HOLES", "100").envs(environment))
        },
    )
}

fn start_up(dlock: PathBuf, folder: &std::path::Path) -> Outcome {
    let mut ours = Command::new(dlock);
    ours.args(["run", "x", "--", "true"])
        .env_remove("DLOCK_URL")
        .env("XDG_STATE_HOME", folder);
    let mut theirs = Command::new("flock");
    theirs.arg(folder.join("lock-file")).arg("true");
    let mut bare = Command::new("true");
    for (what, command) in [
        ("dlock run x -- true", &mut ours),
        ("flock lock-file true", &mut theirs),
        ("true", &mut bare),
    ] {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let status = command.stdin(Stdio::null()).status();
            times.push(start.elapsed());
            if !status.is_ok_and(|status| status.success()) {
                return Err(format!("{what} failed"));
            }
        }
        times.sort_unstable();
        let at = |index: usize| times.get(index).copied().unwrap_or(Duration::ZERO);
        note(&format!(
            "{what}: {:.1} ms in the middle, {:.1} ms at the 90th of 100",
            at(ROUNDS / 2).as_secs_f64() * 1000.0,
            at(ROUNDS * 9 / 10).as_secs_f64() * 1000.0,
        ));
    }
    Ok(())
}

const ROUNDS: usize = 200;

#[expect(clippy::cast_precision_loss, reason = "a size to one decimal")]
fn bytes_in_mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
