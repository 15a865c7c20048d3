//! `dlock bench`: how long it takes to lock and commit.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use distributed_mutex::{Clock, Error, LockClient, LockOptions, SystemClock};

use crate::cli::BenchArgs;
use crate::codes;
use crate::output::{failed, print};
use crate::store;

pub(crate) async fn measure(args: &BenchArgs, url: Option<&str>) -> u8 {
    let measured = async {
        // The record of a name that nobody uses is forgotten as soon as it may be.
        let options = LockOptions::builder().forget_after(LockOptions::FORGET_AFTER_MIN);
        let locks = store::connect(url, options).await?;
        let times = rounds(&locks, args.time).await;
        let _closed = locks.close(Duration::from_secs(2)).await;
        times
    };
    match measured.await {
        Ok((times, took)) => {
            print(summary(times, took));
            codes::OK
        }
        Err(e) => failed(&e),
    }
}

/// Locks and commits, one after the other, on a name of this process alone.
async fn rounds(locks: &LockClient, length: Duration) -> Result<(Vec<Duration>, Duration), Error> {
    let name = format!("dlock/bench/{}", std::process::id());
    let counter = locks.mutex::<u64>(&name)?;
    let clock = SystemClock::new();
    let began = clock.now();
    let until = began.after(length);
    let mut times = Vec::new();
    let mut shown = began;
    loop {
        let start = clock.now();
        if start >= until || times.len() >= ROUNDS_MAX {
            show("\r\u{1b}[K");
            return Ok((times, start.since(began)));
        }
        let mut guard = counter.lock().await?;
        *guard = guard.wrapping_add(1);
        guard.commit().await?;
        times.push(clock.now().since(start));
        if start.since(shown) > Duration::from_millis(200) {
            shown = start;
            show(&format!("\r{} rounds …", times.len()));
        }
    }
}

/// Progress, where somebody looks.
fn show(text: &str) {
    let mut err = std::io::stderr().lock();
    if err.is_terminal() {
        let _shown = write!(err, "{text}").and_then(|()| err.flush());
    }
}

const ROUNDS_MAX: usize = 1_000_000;

fn summary(mut times: Vec<Duration>, took: Duration) -> String {
    times.sort_unstable();
    let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
    let share = |percent: usize| {
        let index = times.len().saturating_mul(percent) / 100;
        let time = times
            .get(index)
            .or(times.last())
            .copied()
            .unwrap_or_default();
        format!("{:.3} ms", time.as_secs_f64() * 1000.0)
    };
    let rate = f64::from(count) / took.as_secs_f64().max(f64::EPSILON);
    format!(
        "lock + commit  p50 {}  p99 {}  max {}  {rate:.0}/s  ({count} rounds, one after the other)\n",
        share(50),
        share(99),
        share(100),
    )
}
