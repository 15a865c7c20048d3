//! `dlock wait`: until a lock is free, without taking it.

use std::time::Duration;

use distributed_mutex::{Clock, HolderInfo, LockOptions, SystemClock};

use crate::cli::WaitArgs;
use crate::codes;
use crate::output::{Escaped, complain, failed};
use crate::{show, store};

pub(crate) async fn wait(args: &WaitArgs, url: Option<&str>) -> u8 {
    let locks = match store::connect(url, LockOptions::builder()).await {
        Ok(locks) => locks,
        Err(e) => return failed(&e),
    };
    let clock = SystemClock::new();
    let end = args.timeout.map(|timeout| clock.now().after(timeout));
    let mut told = None;
    loop {
        let holder = match locks.inspect(&args.name).await {
            Ok(info) => info.holder,
            Err(e) => return failed(&e),
        };
        let Some(holder) = holder else {
            return codes::OK;
        };
        let name = Escaped(&args.name);
        if end.is_some_and(|end| clock.now() >= end) {
            complain(format_args!(
                "lock '{name}' is still held by {}",
                show::sentence(&holder)
            ));
            return args.conflict_exit_code;
        }
        // Once for each holder: this may take long.
        if told != Some(holder.owner) {
            complain(format_args!(
                "waiting for lock '{name}', held by {}",
                show::sentence(&holder)
            ));
            told = Some(holder.owner);
        }
        let next = clock.now().after(pause(&holder));
        clock
            .sleep_until(end.map_or(next, |end| end.min(next)))
            .await;
    }
}

/// A look costs the store less than a place in its line, which is for those who want the lock.
fn pause(holder: &HolderInfo) -> Duration {
    let left = holder.expires_in.unwrap_or(LOOK);
    left.clamp(LOOK_MIN, LOOK)
}

const LOOK: Duration = Duration::from_millis(200);
const LOOK_MIN: Duration = Duration::from_millis(10);
