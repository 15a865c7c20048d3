//! Takes the lock `my_lock` with a ttl of 5000 ms, holds it for one second and releases it.
//!
//! ```sh
//! cargo run --release --example my_lock redis://127.0.0.1/         # waits for its turn
//! cargo run --release --example my_lock redis://127.0.0.1/ --try   # or says who has it
//! ```
//!
//! Run it in several terminals: they take turns. On Redis the lock is the plain key `my_lock`, so
//! `redis-cli SET my_lock me NX PX 5000` takes part. Without a URL it is in this process' memory,
//! where nobody else can hold it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it tells its story"
)]

use std::process::ExitCode;
use std::time::Duration;

use distributed_mutex::{BoxError, LockGuard, LockOptions};

#[tokio::main]
async fn main() -> ExitCode {
    examples::show_events();
    let mut url = None;
    let mut wait = true;
    for arg in std::env::args().skip(1) {
        match arg.as_str() {
            "--try" => wait = false,
            _ if arg.starts_with('-') || url.is_some() => {
                eprintln!("usage: my_lock [URL] [--try]");
                return ExitCode::from(2);
            }
            _ => url = Some(arg),
        }
    }
    match run(url.as_deref(), wait).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("my_lock: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether the lock was taken.
async fn run(url: Option<&str>, wait: bool) -> Result<bool, BoxError> {
    let options = LockOptions::builder().ttl(Duration::from_millis(5000));
    let locks = examples::connect(url.unwrap_or("memory:"), options).await?;
    let mutex = locks.mutex::<()>("my_lock")?;
    let guard: LockGuard<()> = if wait {
        println!("waiting for my_lock");
        mutex.lock().await?
    } else if let Some(guard) = mutex.try_lock().await? {
        guard
    } else {
        let info = locks.inspect("my_lock").await?;
        match info.holder {
            Some(holder) if holder.owner.is_some() => {
                println!("my_lock is held by {}", holder.label);
            }
            Some(_) => println!("my_lock is held by another program"),
            None => println!("my_lock was held a moment ago"),
        }
        return Ok(false);
    };
    println!(
        "got my_lock with token {}, holding it for 1 s",
        guard.token()
    );
    guard.while_held(hold()).await?;
    guard.release().await?;
    println!("released my_lock");
    Ok(true)
}

#[expect(
    clippy::disallowed_methods,
    reason = "it is the work that the lock is held for"
)]
async fn hold() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}
