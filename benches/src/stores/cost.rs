//! What locks cost a PostgreSQL server: statements and connections, as it counts them itself.

use std::time::{Duration, Instant};

use distributed_mutex::connect;
use lock_core::BoxError;
use lock_testkit::service::{PgBouncerOptions, PostgresServer, PostgresServerOptions};

use super::{hold, migrated, release_all};
use crate::Row;

/// A server that counts statements, with a user whose statements are ours alone.
async fn server() -> Result<PostgresServer, BoxError> {
    let options = PostgresServerOptions::new()
        .user("app", "app")
        .config("shared_preload_libraries = 'pg_stat_statements'")
        .setup("CREATE EXTENSION pg_stat_statements")
        .durable();
    Ok(options.start().await?)
}

/// Statements of the user so far, and what does not begin as a step does: BEGIN, SET, ….
struct Counts {
    steps: u64,
    others: Vec<String>,
}

async fn counts(server: &PostgresServer) -> Result<Counts, BoxError> {
    let sql = "SELECT s.calls, s.query FROM pg_stat_statements s \
               JOIN pg_roles r ON r.oid = s.userid WHERE r.rolname = 'app'";
    let (mut steps, mut others) = (0, Vec::new());
    for row in server.sql(sql).await? {
        let [calls, query] = &row[..] else { continue };
        let first = query.trim_start().split([' ', '\n']).next().unwrap_or("");
        if ["WITH", "SELECT", "INSERT", "UPDATE"].contains(&first) {
            steps += calls.parse::<u64>()?;
        } else {
            others.push(format!("{calls} {first}"));
        }
    }
    Ok(Counts { steps, others })
}

async fn forget(server: &PostgresServer) -> Result<(), BoxError> {
    server.sql("SELECT pg_stat_statements_reset()").await?;
    Ok(())
}

pub(super) async fn statements() -> Result<Row, BoxError> {
    let server = server().await?;
    let locks = connect(&migrated(&server).await?).await?;
    let mutex = locks.mutex::<u64>("n")?;
    mutex.update(|_| Ok(())).await?;
    forget(&server).await?;
    for _ in 0..100 {
        let mut guard = mutex.lock().await?;
        *guard += 1;
        guard.commit().await?;
    }
    let found = counts(&server).await?;
    Ok(Row::new(
        "PostgreSQL: uncontended lock + commit, 100 times, as `pg_stat_statements` counts",
        format!(
            "{} statements; BEGIN, COMMIT and others: {}; value {}",
            found.steps,
            none_or(&found.others),
            mutex.peek().await?.value
        ),
    ))
}

fn none_or(others: &[String]) -> String {
    match others {
        [] => "none".to_owned(),
        others => others.join(", "),
    }
}

const COUNT: usize = 500;
const MINUTE: Duration = Duration::from_secs(60);

pub(super) async fn held() -> Result<Row, BoxError> {
    let server = server().await?;
    let url = migrated(&server).await?;
    let found = held_at(&server, &url).await?;
    Ok(Row::new(
        "PostgreSQL: 500 locks held for 60 s (ttl 10 s), pool of 4 connections",
        found,
    ))
}

pub(super) async fn held_behind_a_pooler() -> Result<Row, BoxError> {
    let server = server().await?;
    let _url = migrated(&server).await?;
    let pooler = PgBouncerOptions::new(&server).pool_size(4).start().await?;
    let found = held_at(&server, pooler.url()).await?;
    Ok(Row::new(
        "the same through PgBouncer in transaction mode, 4 connections to the server",
        found,
    ))
}

async fn held_at(server: &PostgresServer, url: &str) -> Result<String, BoxError> {
    let locks = connect(&format!("{url}?max_connections=4")).await?;
    let took = Instant::now();
    let guards = hold(&locks, COUNT).await?;
    let took = took.elapsed();
    let busy = watched(server).await?;
    let held = guards.iter().filter(|guard| guard.is_held()).count();
    release_all(guards).await?;
    Ok(format!(
        "{held} still held; at most {} connections; {:.1} statements a second, BEGIN, COMMIT and \
         others: {}; taken in {:.1} s",
        busy.connections,
        busy.steps as f64 / MINUTE.as_secs_f64(),
        none_or(&busy.others),
        took.as_secs_f64()
    ))
}

/// What the server saw of the user in a minute.
struct Watched {
    /// At most.
    connections: u64,
    steps: u64,
    others: Vec<String>,
}

async fn watched(server: &PostgresServer) -> Result<Watched, BoxError> {
    forget(server).await?;
    let started = Instant::now();
    let mut connections = 0;
    while started.elapsed() < MINUTE {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'";
        let now: u64 = server.sql(sql).await?.concat().concat().parse()?;
        connections = connections.max(now);
    }
    let Counts { steps, others } = counts(server).await?;
    Ok(Watched {
        connections,
        steps,
        others,
    })
}
