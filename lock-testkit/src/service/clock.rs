//! A wall clock for one server that a test can step, while the machine's own goes on.
//!
//! The server is started with a small object preloaded, `clock.c`, that adds to what the wall clock
//! tells what a file says; the monotonic clock stays as it is.
//!
//! Rejected: libfaketime. It allocates while it finds its functions, and never comes back from that
//! in a server whose allocator reads the clock, as Redis with jemalloc does.
#![expect(
    clippy::disallowed_methods,
    reason = "how far a real clock stepped is judged by real time"
)]

use std::future::Future;
use std::process::Command;
use std::time::Duration;

use tokio::time::Instant;

use super::instance::{Instance, Place};
use super::provider::Launch;
use crate::SetupError;

/// How a server's clock steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a clock steps one way or the other"
)]
pub enum ClockStep {
    /// The clock is set back by so much.
    Back(Duration),
    /// The clock is set forward by so much.
    Forward(Duration),
}

/// A server whose wall clock can be read.
pub(super) trait Steppable: Place {
    fn now_us(&self) -> impl Future<Output = Result<i128, SetupError>> + Send;
}

/// Gives a server a clock that can be stepped.
pub(super) fn equip(launch: &mut Launch) -> Result<(), SetupError> {
    if !cfg!(target_os = "linux") {
        return Err(SetupError::new("a steppable clock needs Linux"));
    }
    launch.files.push((OBJECT.to_owned(), compile()?));
    launch.files.push((FILE.to_owned(), vec![0; 8]));
    let mut set = |name, file| {
        let path = format!("{{files}}/{file}");
        launch.environment.push((name, path));
    };
    set("LD_PRELOAD", OBJECT);
    set("LOCK_TESTKIT_CLOCK", FILE);
    Ok(())
}

fn compile() -> Result<Vec<u8>, SetupError> {
    let failed = "cannot compile the steppable clock: install a C compiler (`cc`)";
    let folder = tempfile::tempdir().map_err(|e| SetupError::new(failed).with_source(e))?;
    let (source, object) = (folder.path().join("clock.c"), folder.path().join(OBJECT));
    let compile = || {
        std::fs::write(&source, include_str!("clock.c"))?;
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&object, &source])
            .output()?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(std::io::Error::other(text));
        }
        std::fs::read(&object)
    };
    compile().map_err(|e| SetupError::new(failed).with_source(e))
}

/// Steps a server's clock, and sees to it that the server goes by it.
pub(super) async fn step<P: Steppable>(
    instance: &Instance<P>,
    step: ClockStep,
) -> Result<(), SetupError> {
    let by_us = match step {
        ClockStep::Back(length) => micros(length).checked_neg(),
        ClockStep::Forward(length) => Some(micros(length)),
    };
    let start = Instant::now();
    let before = instance.place.now_us().await?;
    let ahead_ns = {
        let mut ahead_ns = instance.ahead_ns.lock().await;
        let next = by_us
            .and_then(|us| us.checked_mul(1000)?.checked_add(i128::from(*ahead_ns)))
            .and_then(|ns| i64::try_from(ns).ok());
        *ahead_ns = next.ok_or_else(|| SetupError::new("the clock cannot step that far"))?;
        *ahead_ns
    };
    instance.rewrite(FILE, &ahead_ns.to_le_bytes()).await?;
    let after = instance.place.now_us().await?;
    let moved = after.saturating_sub(before);
    let least = by_us.unwrap_or_default();
    let most = least
        .saturating_add(micros(start.elapsed()))
        .saturating_add(1);
    if moved < least || moved > most {
        return Err(SetupError::new(format!(
            "the server's clock moved by {moved} us where it should step by {least} us: its C \
             library may not take objects compiled here; run it as a local process"
        )));
    }
    Ok(())
}

fn micros(length: Duration) -> i128 {
    i128::try_from(length.as_micros()).unwrap_or(i128::MAX)
}

const FILE: &str = "clock";
const OBJECT: &str = "clock.so";
