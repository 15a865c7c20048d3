//! How soon a loss is told, and what dropped futures leave.

use std::time::{Duration, Instant};

use lock_core::BoxError;
use lock_testkit::proxy::Proxy;
use lock_testkit::resp::Reply;
use lock_testkit::service::RedisServer;

use crate::Row;
use crate::cost::client;
use crate::samples::{Samples, ms};

/// 100 holders behind 10 proxies that swallow everything, at random moments of their renewal.
pub(crate) async fn black_hole(server: &RedisServer) -> Result<Row, BoxError> {
    const RUNS: usize = 100;
    let ttl = Duration::from_secs(2);
    let mut margins = Vec::new();
    let mut late = 0;
    for batch in 0..RUNS / 10 {
        let runs = (0..10).map(|i| one_black_hole(server, ttl, batch * 10 + i));
        for margin in futures_util::future::try_join_all(runs).await? {
            match margin {
                Some(margin) => margins.push(margin),
                None => late += 1,
            }
        }
    }
    let samples = Samples::new(margins);
    Ok(Row::new(
        "server black-holed, ttl 2 s, 100 runs: `lost()` before the store's expiry",
        format!(
            "{} of {RUNS}; the store kept the lock for {} (least) to {} (most) longer; late: {late}",
            samples.all().len(),
            ms(samples.quantile(0)),
            ms(samples.quantile(100)),
        ),
    ))
}

/// By how much the store outlived the holder's belief; `None` if it did not.
async fn one_black_hole(
    server: &RedisServer,
    ttl: Duration,
    run: usize,
) -> Result<Option<Duration>, BoxError> {
    let proxy = Proxy::start(server.addr()).await?;
    let locks = client(&server.url_via(proxy.addr()), ttl).await?;
    let name = format!("hole/{run}");
    let guard = locks.mutex::<()>(&name)?.lock().await?;
    tokio::time::sleep(Duration::from_millis(u64::try_from(run * 37 % 1300)?)).await;
    proxy.partition();
    let _cause = guard.lost().await;
    // The server's own word, over a connection that is not cut.
    let left = integer(&server.command(&["PTTL", &name]).await?);
    Ok(u64::try_from(left)
        .ok()
        .filter(|left| *left > 0)
        .map(Duration::from_millis))
}

fn integer(reply: &Reply) -> i64 {
    if let Reply::Integer(n) = reply {
        *n
    } else {
        -1
    }
}

pub(crate) async fn deleted(server: &RedisServer) -> Result<Samples, BoxError> {
    let locks = client(server.url(), Duration::from_secs(60)).await?;
    let mutex = locks.mutex::<()>("deleted")?;
    let mut samples = Vec::new();
    for i in 0..200_u64 {
        let guard = mutex.lock().await?;
        tokio::time::sleep(Duration::from_millis(i % 7)).await;
        let lost = tokio::spawn(guard.lost());
        tokio::task::yield_now().await;
        let started = Instant::now();
        let _reply = server.command(&["DEL", "deleted"]).await?;
        let _cause = tokio::time::timeout(Duration::from_secs(5), lost).await??;
        samples.push(started.elapsed());
    }
    Ok(Samples::new(samples))
}

/// Waits for less than the runtime's timers can.
async fn spin(length: Duration) {
    let started = Instant::now();
    while started.elapsed() < length {
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn dropped(server: &RedisServer) -> Result<Row, BoxError> {
    const COUNT: u64 = 5000;
    let locks = client(server.url(), Duration::from_secs(30)).await?;
    let mutex = locks.mutex::<()>("dropped")?;
    drop(mutex.lock().await?);
    let connections = server.info("connected_clients").await?;
    let tasks = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    let mut got = 0;
    for i in 0..COUNT {
        // From at once to about twice what a lock takes.
        let after = Duration::from_micros(i * 7919 % 400);
        tokio::select! {
            biased;
            guard = mutex.lock() => {
                drop(guard?);
                got += 1;
            }
            () = spin(after) => {}
        }
    }
    let started = Instant::now();
    let free = loop {
        if let Some(guard) = mutex.try_lock().await? {
            guard.release().await?;
            break started.elapsed();
        }
        tokio::task::yield_now().await;
    };
    let stats = locks.stats();
    let key = integer(
        &server
            .command(&["EXISTS", "dropped", "{dropped}:line"])
            .await?,
    );
    let tasks_now = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    Ok(Row::new(
        "5000 `lock()` futures dropped at random moments",
        format!(
            "free after {}; {got} got the lock first; left: {key} keys, {} more tasks, {} \
             leases, {} requests; connections {} before, {} after",
            ms(free),
            tasks_now.saturating_sub(tasks),
            stats.leases,
            stats.outstanding,
            connections,
            server.info("connected_clients").await?
        ),
    ))
}
