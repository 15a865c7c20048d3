//! The examples, again and again: their stories must end well every time.

use std::time::Instant;

use lock_core::BoxError;
use lock_testkit::service::RedisServer;

use crate::Row;

const RUNS: usize = 20;

pub(crate) async fn quickstart(server: &RedisServer) -> Result<Row, BoxError> {
    let found = stories(server.url(), "quickstart", &["is killed", "the sums agree"]).await?;
    Ok(Row::new(
        "`quickstart redis://…`: exact sums, one of four workers killed in each",
        found,
    ))
}

pub(crate) async fn fencing(server: &RedisServer) -> Result<Row, BoxError> {
    let found = stories(
        server.url(),
        "fencing",
        &["was refused", "the value is [\"fresh\"]"],
    )
    .await?;
    Ok(Row::new(
        "`fencing redis://…`: the stale commit is refused, the value intact",
        found,
    ))
}

pub(crate) async fn transfer(url: &str) -> Result<Row, BoxError> {
    let words = ["the stale transfer was refused", "both accounts are intact"];
    let found = stories(url, "transfer", &words).await?;
    Ok(Row::new(
        "`transfer postgres://…`: the holder is stopped past its ttl, both accounts intact",
        found,
    ))
}

/// Runs the example and looks for the words that its story must contain.
async fn stories(url: &str, name: &str, words: &[&str]) -> Result<String, BoxError> {
    let program = std::env::current_exe()?
        .with_file_name("examples")
        .join(name);
    if !program.exists() {
        return Err(format!(
            "{} is missing; `cargo build --release -p examples --examples` makes it",
            program.display()
        )
        .into());
    }
    let mut good = 0;
    let started = Instant::now();
    for _ in 0..RUNS {
        let output = tokio::process::Command::new(&program)
            .arg(url)
            .output()
            .await?;
        let story = String::from_utf8_lossy(&output.stdout);
        if output.status.success() && words.iter().all(|word| story.contains(word)) {
            good += 1;
        } else {
            eprintln!("{name} ended badly ({}):\n{story}", output.status);
        }
    }
    let each = started.elapsed().as_secs_f64() / RUNS as f64;
    Ok(format!("{good} of {RUNS}, {each:.1} s each"))
}
