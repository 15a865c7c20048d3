//! What is measured on PostgreSQL and SQLite, by the URL of the store.

mod cost;
mod crash;
mod crowd;

use std::time::Duration;

use distributed_mutex::{LockClient, connect};
use lock_core::{BoxError, LockGuard};
use lock_testkit::service::{PostgresServer, PostgresServerOptions};

use crate::samples::Samples;
use crate::{Row, examples};

pub(crate) use crash::writer;
pub(crate) use crowd::taker;

/// The measurements by their names.
pub(crate) const POSTGRES: [&str; 6] = [
    "statements",
    "held-postgres",
    "held-pgbouncer",
    "crowd-postgres",
    "crash-postgres",
    "transfer",
];
pub(crate) const SQLITE: [&str; 2] = ["crowd-sqlite", "crash-sqlite"];

/// What was found: rows, and curves for the picture.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) rows: Vec<Row>,
    pub(crate) curves: Vec<(&'static str, Samples)>,
}

/// Runs one of them.
pub(crate) async fn run(name: &str) -> Result<Found, BoxError> {
    let mut found = Found::default();
    match name {
        "statements" => found.rows.push(cost::statements().await?),
        "held-postgres" => found.rows.push(cost::held().await?),
        "held-pgbouncer" => found.rows.push(cost::held_behind_a_pooler().await?),
        "crowd-postgres" => {
            let options = PostgresServerOptions::new().config("max_connections = 400");
            let server = options.durable().start().await?;
            let url = format!("{}?max_connections=2", migrated(&server).await?);
            let (rows, samples) = crowd::of(64, "PostgreSQL", &url).await?;
            found.rows.extend(rows);
            found.curves.push(("64 processes, PostgreSQL", samples));
        }
        "crowd-sqlite" => {
            let folder = folder("crowd")?;
            let url = format!("sqlite:{}", folder.join("locks.db").display());
            let (rows, samples) = crowd::of(64, "one SQLite file", &url).await?;
            std::fs::remove_dir_all(folder)?;
            found.rows.extend(rows);
            found
                .curves
                .push(("64 processes, one SQLite file", samples));
        }
        "crash-postgres" => found.rows.push(crash::of_the_server().await?),
        "crash-sqlite" => {
            let folder = folder("crash")?;
            let url = format!("sqlite:{}?ttl=1s", folder.join("locks.db").display());
            found.rows.push(crash::of_writers(&url).await?);
            std::fs::remove_dir_all(folder)?;
        }
        "transfer" => {
            let server = PostgresServer::start().await?;
            found.rows.push(examples::transfer(server.url()).await?);
        }
        other => return Err(format!("there is no measurement {other}").into()),
    }
    Ok(found)
}

/// The URL of a server whose table is made.
async fn migrated(server: &PostgresServer) -> Result<String, BoxError> {
    let url = server.url().to_owned();
    let locks = connect(&format!("{url}?migrate=true")).await?;
    locks.close(Duration::from_secs(5)).await?;
    Ok(url)
}

fn folder(what: &str) -> Result<std::path::PathBuf, BoxError> {
    let folder = std::env::temp_dir().join(format!("measure-{what}-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    Ok(folder)
}

/// Holds so many locks at once.
pub(crate) async fn hold(locks: &LockClient, count: usize) -> Result<Vec<LockGuard<()>>, BoxError> {
    let mut guards = Vec::with_capacity(count);
    let numbers: Vec<usize> = (0..count).collect();
    for chunk in numbers.chunks(256) {
        let mutexes = chunk
            .iter()
            .map(|i| locks.mutex::<()>(format!("held/{i}")))
            .collect::<Result<Vec<_>, _>>()?;
        let taken = mutexes.iter().map(|mutex| mutex.lock());
        guards.extend(futures_util::future::try_join_all(taken).await?);
    }
    Ok(guards)
}

/// Lets them go, one after the other.
pub(crate) async fn release_all(guards: Vec<LockGuard<()>>) -> Result<(), BoxError> {
    for guard in guards {
        guard.release().await?;
    }
    Ok(())
}
