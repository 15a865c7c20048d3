//! Why locks need fencing: a holder is stopped past its ttl, another commits, the first wakes up and
//! still believes in its lock. Here it is refused, by its own clock or by the store.
//!
//! ```sh
//! cargo run --release --example fencing                      # a blocked thread, in memory
//! cargo run --release --example fencing sqlite:fencing.db   # a process and SIGSTOP
//! cargo run --release --example fencing redis://127.0.0.1/  # the same on a server
//! ```
//!
//! Expect the story in six lines, and that the value is what the second holder wrote.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it tells its story"
)]

use std::process::{ExitCode, Stdio};
use std::time::Duration;

use distributed_mutex::{
    BoxError, DistributedMutex, ErrorKind, LockClient, LockGuard, LockOptions, LockOptionsBuilder,
    MemoryBackend, Previous,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

const TTL: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> ExitCode {
    examples::show_events();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        [] => in_memory().await,
        ["holder", url, name] => holder(url, name).await,
        [url] => with_processes(url).await,
        _ => Err("usage: fencing [URL]".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fencing: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> LockOptionsBuilder {
    LockOptions::builder()
        .ttl(TTL)
        .forget_after(Duration::from_secs(60))
}

/// The first holder changes the value and is stopped before it commits.
async fn with_processes(url: &str) -> Result<(), BoxError> {
    let name = format!("fencing/{}", std::process::id());
    let mutex = examples::connect(url, options())
        .await?
        .mutex::<Vec<String>>(&name)?;
    let mut child = tokio::process::Command::new(std::env::current_exe()?)
        .args(["holder", url, &name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    println!(
        "holder:  {}",
        lines.next_line().await?.ok_or("the holder is gone")?
    );

    let pid = child
        .id()
        .and_then(|id| Pid::from_raw(id.cast_signed()))
        .ok_or("no process id")?;
    kill_process(pid, Signal::STOP)?;
    println!("now the holder is stopped (SIGSTOP) for longer than its ttl of {TTL:?}");
    let committed = second_holder(&mutex).await;
    // Whatever happened: a stopped process is not left behind.
    kill_process(pid, Signal::CONT)?;
    committed?;

    let mut input = child.stdin.take().ok_or("no input")?;
    input.write_all(b"go on\n").await?;
    println!(
        "holder:  {}",
        lines.next_line().await?.ok_or("the holder is gone")?
    );
    let status = child.wait().await?;
    ending(&mutex, status.success()).await
}

async fn holder(url: &str, name: &str) -> Result<(), BoxError> {
    let mutex = examples::connect(url, options())
        .await?
        .mutex::<Vec<String>>(name)?;
    let guard = first_holder(&mutex).await?;
    println!(
        "I hold the lock with token {} and write \"stale\"",
        guard.token()
    );
    let mut line = String::new();
    let _read = BufReader::new(tokio::io::stdin())
        .read_line(&mut line)
        .await?;
    if refused(guard).await? {
        Ok(())
    } else {
        Err("the stale commit went through".into())
    }
}

/// Without processes: a thread that blocks its runtime does the same to its locks.
async fn in_memory() -> Result<(), BoxError> {
    let store = MemoryBackend::new();
    let other = LockClient::builder(store.another_client())
        .options(options().build()?)
        .build();
    let (stopped, wait_for_stop) = std::sync::mpsc::channel();
    let (go_on, wait_for_go) = std::sync::mpsc::channel::<()>();
    let holder = std::thread::spawn(move || -> Result<bool, BoxError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let locks = LockClient::builder(store)
                .options(options().build()?)
                .build();
            let guard = first_holder(&locks.mutex("fencing")?).await?;
            println!(
                "holder:  I hold the lock with token {} and write \"stale\"",
                guard.token()
            );
            stopped.send(())?;
            // A blocking call in async code: no task of this runtime runs meanwhile.
            wait_for_go.recv()?;
            refused(guard).await
        })
    });
    wait_for_stop.recv()?;
    println!("now the holder's thread is blocked for longer than its ttl of {TTL:?}");
    let mutex = other.mutex("fencing")?;
    second_holder(&mutex).await?;
    go_on.send(())?;
    let Ok(refused) = holder.join() else {
        return Err("the holder panicked".into());
    };
    let refused = refused?;
    ending(&mutex, refused).await
}

async fn first_holder(
    mutex: &DistributedMutex<Vec<String>>,
) -> Result<LockGuard<Vec<String>>, BoxError> {
    let mut guard = mutex.lock().await?;
    guard.push("stale".to_owned());
    Ok(guard)
}

async fn second_holder(mutex: &DistributedMutex<Vec<String>>) -> Result<(), BoxError> {
    let mut guard = mutex.lock().await?;
    let Previous::Abandoned { token, .. } = guard.previous() else {
        return Err("the second holder was not told that the first was abandoned".into());
    };
    let mine = guard.token();
    guard.push("fresh".to_owned());
    guard.commit().await?;
    println!("other:   token {token} was abandoned; I wrote \"fresh\" under token {mine}");
    Ok(())
}

/// Commits late and says whether that was refused.
async fn refused(guard: LockGuard<Vec<String>>) -> Result<bool, BoxError> {
    let (token, held) = (guard.token(), guard.is_held());
    match guard.commit().await {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == ErrorKind::LeaseLost => {
            println!(
                "I am awake, is_held() says {held}; my commit under token {token} was refused"
            );
            Ok(true)
        }
        Err(error) => Err(error.into()),
    }
}

async fn ending(mutex: &DistributedMutex<Vec<String>>, refused: bool) -> Result<(), BoxError> {
    let value = mutex.peek().await?.value;
    println!("the value is {value:?}");
    if !refused || value != ["fresh"] {
        return Err("the stale holder was not fenced out".into());
    }
    println!("the stale holder was fenced out");
    Ok(())
}
