//! `cargo xtask measure dlock`: the table of figures in docs/dlock.md.
#![expect(
    clippy::disallowed_methods,
    reason = "a command at the terminal is timed by the terminal's clock"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::run::{cargo, note, root, run, say, step};
use crate::servers;

/// Size, start-up time beside flock's, and a hundred runs whose store is cut off, as the table has
/// them.
pub(crate) fn measure() -> Outcome {
    let folder = std::env::temp_dir().join(format!("dlock-measure-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let mut rows = Vec::new();
    let outcome = measured(&folder, &mut rows);
    // What cannot be removed is in the system's folder for such things.
    drop(std::fs::remove_dir_all(&folder));
    say("figures for docs/dlock.md");
    println!("\n| What | Figure |\n|---|---|");
    for (what, figure) in rows {
        println!("| {what} | {figure} |");
    }
    outcome
}

type Rows = Vec<(String, String)>;

fn measured(folder: &Path, rows: &mut Rows) -> Outcome {
    let environment = servers::provide()?;
    let dlock = root().join("target/release/dlock");
    let builds = [
        ("the binary without `verify`", "--no-default-features"),
        ("the binary", "--features=verify"),
    ];
    for (what, features) in builds {
        step(&format!("release build: {what}"), || {
            run(&mut cargo(&[
                "build",
                "--release",
                "-p",
                "lock-cli",
                features,
            ]))
        })?;
        rows.push((what.to_owned(), sizes(&dlock, folder)?));
    }
    step("start-up", || start_up(dlock, folder, rows))?;
    let mut test = cargo(&["test", "--release", "-p", "lock-cli", "--test", "it"]);
    step("release build of the test", || run(test.arg("--no-run")))?;
    step(
        "a hundred runs whose store is cut off (about five minutes)",
        || {
            let mut test = cargo(&["test", "--release", "-p", "lock-cli", "--test", "it", "--"]);
            test.arg("when_the_store_is_cut_off").arg("--nocapture");
            run(test.env("DLOCK_BLACK_HOLES", "100").envs(environment))
        },
    )?;
    // The test fails at the first that is none.
    let what =
        "runs whose store was cut off where the next holder began after the command was gone";
    rows.push((what.to_owned(), "100 of 100".to_owned()));
    Ok(())
}

/// As it is built, and stripped.
fn sizes(dlock: &Path, folder: &Path) -> Result<String, String> {
    let stripped = folder.join("stripped");
    run(Command::new("strip").arg("-o").arg(&stripped).arg(dlock))?;
    let of = |path: &Path| {
        let metadata = std::fs::metadata(path).map_err(|e| e.to_string())?;
        Ok::<f64, String>(bytes_in_mib(metadata.len()))
    };
    let (whole, stripped) = (of(dlock)?, of(&stripped)?);
    Ok(format!("{whole:.1} MiB, {stripped:.1} MiB stripped"))
}

fn start_up(dlock: PathBuf, folder: &Path, rows: &mut Rows) -> Outcome {
    let mut ours = Command::new(dlock);
    ours.args(["run", "x", "--", "true"])
        .env_remove("DLOCK_URL")
        .env("XDG_STATE_HOME", folder);
    let mut theirs = Command::new("flock");
    theirs.arg(folder.join("lock-file")).arg("true");
    let mut bare = Command::new("true");
    for (what, command) in [
        ("`dlock run x -- true`", &mut ours),
        ("`flock lock-file true`", &mut theirs),
        ("`true`", &mut bare),
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
        let figure = format!(
            "{:.1} ms in the middle of {ROUNDS} runs, 9 of 10 within {:.1} ms",
            at(ROUNDS / 2).as_secs_f64() * 1000.0,
            at(ROUNDS * 9 / 10).as_secs_f64() * 1000.0,
        );
        note(&format!("{what}: {figure}"));
        rows.push((what.to_owned(), figure));
    }
    Ok(())
}

const ROUNDS: usize = 200;

#[expect(clippy::cast_precision_loss, reason = "a size to one decimal")]
fn bytes_in_mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
