//! Measures what the project states of itself, on servers of its own on this machine.
//!
//! `cargo xtask measure` runs all of it, with the examples; `measure NAME…` runs some, and `redis`,
//! `postgres` and `sqlite` are the names of groups.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "it measures time and prints what it found"
)]

mod chart;
mod cost;
mod examples;
mod loss;
mod samples;
mod stores;
mod turns;

use std::process::ExitCode;

use lock_core::BoxError;
use lock_testkit::service::RedisServer;

/// One row of the table: what was measured and what was found.
pub(crate) struct Row {
    what: String,
    found: String,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            found: found.into(),
        }
    }
}

const REDIS: [&str; 10] = [
    "uncontended",
    "renewals",
    "waiters",
    "held",
    "black-hole",
    "deleted",
    "dropped",
    "turns",
    "quickstart",
    "fencing",
];

#[tokio::main]
async fn main() -> ExitCode {
    // What the library warns of belongs beside the figures.
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .init();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["take-turns", url, rounds] => turns::child(url, rounds).await,
        ["crowd-taker", url] => stores::taker(url).await,
        ["crash-writer", url, id] => stores::writer(url, id).await,
        [] => run(&every()).await,
        some => match chosen(some) {
            Some(names) => run(&names).await,
            None => {
                let all = every().join("|");
                Err(format!("usage: measure [redis|postgres|sqlite|{all}]…").into())
            }
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("measure: {error}");
            ExitCode::FAILURE
        }
    }
}

fn every() -> Vec<&'static str> {
    [&REDIS[..], &stores::POSTGRES, &stores::SQLITE].concat()
}

/// The measurements of these names, where a group's name is all of it; `None` if one is unknown.
fn chosen(names: &[&str]) -> Option<Vec<&'static str>> {
    let mut chosen = Vec::new();
    for name in names {
        match *name {
            "redis" => chosen.extend(REDIS),
            "postgres" => chosen.extend(stores::POSTGRES),
            "sqlite" => chosen.extend(stores::SQLITE),
            name => chosen.push(every().into_iter().find(|known| *known == name)?),
        }
    }
    Some(chosen)
}

async fn run(names: &[&str]) -> Result<(), BoxError> {
    let mut rows = Vec::new();
    // A picture for Redis, and one for the others.
    let mut curves = [Vec::new(), Vec::new()];
    let [of_redis, of_stores] = &mut curves;
    for name in names {
        eprintln!("measuring {name} …");
        if REDIS.contains(name) {
            on_redis(name, &mut rows, of_redis).await?;
        } else {
            let found = stores::run(name).await?;
            rows.extend(found.rows);
            of_stores.extend(found.curves);
        }
    }
    println!("| what | found |\n|---|---|");
    for row in &rows {
        println!("| {} | {} |", row.what, row.found);
    }
    for (curves, file) in curves.iter().zip(["docs/latency.svg", "docs/crowd.svg"]) {
        if !curves.is_empty() && std::path::Path::new("docs").is_dir() {
            std::fs::write(file, chart::svg(curves))?;
            eprintln!("the curves are in {file}");
        }
    }
    Ok(())
}

async fn on_redis(
    name: &str,
    rows: &mut Vec<Row>,
    curves: &mut Vec<(&'static str, samples::Samples)>,
) -> Result<(), BoxError> {
    // A server for each, so that one does not disturb the counters of another.
    let server = RedisServer::start().await?;
    match name {
        "uncontended" => rows.push(cost::uncontended(&server).await?),
        "renewals" => rows.extend(cost::renewals(&server).await?),
        "waiters" => rows.push(cost::waiters(&server).await?),
        "held" => rows.extend(cost::held(&server).await?),
        "black-hole" => rows.push(loss::black_hole(&server).await?),
        "deleted" => {
            let samples = loss::deleted(&server).await?;
            rows.push(Row::new(
                "lock key deleted by another client until `lost()` resolves, 200 times",
                samples.summary(),
            ));
            curves.push(("key deleted → lost()", samples));
        }
        "dropped" => rows.push(loss::dropped(&server).await?),
        "quickstart" => rows.push(examples::quickstart(&server).await?),
        "fencing" => rows.push(examples::fencing(&server).await?),
        "turns" => {
            let samples = turns::between_processes(&server).await?;
            rows.push(Row::new(
                "release to the next process's grant, two processes, loopback",
                samples.summary(),
            ));
            curves.push(("release → grant in the next process", samples));
        }
        other => return Err(format!("there is no measurement {other}").into()),
    }
    Ok(())
}
