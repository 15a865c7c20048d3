//! Renewals on a thread of their own, while the runtime that works under the lock stands still.
#![expect(
    clippy::disallowed_methods,
    reason = "a bound on a real wait, so that a test that hangs fails"
)]

use std::fs;
use std::time::Duration;

use distributed_mutex::{
    Connector, ErrorKind, LockClient, LockOptions, LossCause, MemoryBackend, connect,
};
use lock_testkit::service::{PostgresServer, RedisServer};

use crate::File;

/// Long enough for a machine under load to connect within it.
const TTL: Duration = Duration::from_secs(3);

const BOUND: Duration = Duration::from_secs(60);

/// Holds a lock while its runtime is blocked for longer than the ttl, then commits.
async fn commit_after_a_block(locks: &LockClient) -> Result<(), distributed_mutex::Error> {
    let mut guard = locks.mutex::<u64>("m").unwrap().lock().await.unwrap();
    *guard = 7;
    std::thread::sleep(TTL * 3 / 2);
    guard.commit().await
}

/// The same on a thread and a runtime of its own, with the value that is stored then.
async fn blocked(url: String) -> (Result<(), distributed_mutex::Error>, u64) {
    let work = async move {
        let locks = connect(&url).await.unwrap();
        let committed = commit_after_a_block(&locks).await;
        let peek = locks.mutex::<u64>("m").unwrap().peek().await.unwrap();
        (committed, peek.value)
    };
    let run = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(work)
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// The URLs of each store on which a runtime can block, with the ttl.
struct Stores {
    file: File,
    redis: RedisServer,
    postgres: PostgresServer,
}

impl Stores {
    async fn start() -> Self {
        Self {
            file: File::new(),
            redis: RedisServer::start().await.unwrap(),
            postgres: PostgresServer::start().await.unwrap(),
        }
    }

    fn urls(&self) -> Vec<String> {
        let (redis, postgres) = (self.redis.url(), self.postgres.url());
        let ttl_ms = TTL.as_millis();
        let postgres = format!("{postgres}?ttl={ttl_ms}ms&migrate=true&schema=public");
        let others = ["memory:", &self.file.url(""), redis];
        let mut urls: Vec<_> = others
            .iter()
            .map(|at| format!("{at}?ttl={ttl_ms}ms"))
            .collect();
        urls.push(postgres);
        urls
    }
}

#[tokio::test]
async fn a_blocked_runtime_costs_the_lease_without_the_thread_and_not_with_it() {
    let stores = Stores::start().await;
    for with_thread in [false, true] {
        let urls = stores.urls().into_iter();
        let urls = urls.map(|url| format!("{url}&renewal_thread={with_thread}"));
        let runs = urls.map(|url| async { (url.clone(), blocked(url).await) });
        for (url, (committed, value)) in futures_util::future::join_all(runs).await {
            match committed {
                Ok(()) => assert!(with_thread && value == 7, "{url}"),
                Err(error) => {
                    assert!(!with_thread && value == 0, "{url}: {error}");
                    assert_eq!(error.loss(), Some(LossCause::Expired), "{url}");
                }
            }
        }
    }
}

/// The threads of this process that renew.
fn renewing() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "lock-renewal").count()
}

/// Waits until so many threads renew; nextest runs each test in a process of its own.
async fn until_renewing(count: usize) {
    let seen = async {
        while renewing() != count {
            tokio::task::yield_now().await;
        }
    };
    let seen = tokio::time::timeout(BOUND, seen).await;
    assert!(seen.is_ok(), "{} threads, not {count}", renewing());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_thread_starts_with_the_first_lock_and_ends_with_the_client() {
    let before = renewing();
    let file = File::new();
    let url = file.url("?renewal_thread=true");
    let locks = connect(&url).await.unwrap();
    let mutex = locks.mutex::<u64>("m").unwrap();
    assert_eq!(renewing(), before);
    mutex.lock().await.unwrap().commit().await.unwrap();
    until_renewing(before + 1).await;
    locks.close(BOUND).await.unwrap();
    until_renewing(before).await;

    let locks = connect(&url).await.unwrap();
    let guard = locks.mutex::<u64>("m").unwrap().lock().await.unwrap();
    until_renewing(before + 1).await;
    drop((locks, guard, mutex));
    until_renewing(before).await;
}

#[tokio::test]
async fn renewals_go_by_the_clients_connection_while_their_own_cannot_be_made() {
    let store = MemoryBackend::new();
    let options = LockOptions::builder().ttl(TTL).build().unwrap();
    let locks = LockClient::builder(store)
        .options(options)
        .renewal_thread(|| async {
            Err(distributed_mutex::Error::new(
                ErrorKind::Unavailable,
                "there is no second connection",
            ))
        })
        .build();
    // In memory no connection can stand still, so these renewals come in time too.
    commit_after_a_block(&locks).await.unwrap();
}

#[tokio::test]
async fn a_lease_that_an_operator_takes_is_told_to_its_holder_though_another_connection_renews_it()
{
    let redis = RedisServer::start().await.unwrap();
    let url = format!("{}?ttl=30s", redis.url());
    let operator = connect(&url).await.unwrap();
    let locks = connect(&format!("{url}&renewal_thread=true&renew_interval=200ms"))
        .await
        .unwrap();
    let guard = locks.mutex::<u64>("m").unwrap().lock().await.unwrap();
    let mut left = guard.remaining();
    while guard.remaining() <= left {
        left = guard.remaining();
        tokio::task::yield_now().await;
    }
    let _forced = operator.force_release("m").await.unwrap();
    let told = tokio::time::timeout(BOUND, guard.lost()).await;
    assert_eq!(told.unwrap(), LossCause::Forced);
}

#[tokio::test]
async fn the_scheme_of_another_crate_connects_again_for_the_thread() {
    let store = std::sync::Arc::new(MemoryBackend::new());
    let connector = Connector::new().scheme("other", &[], move |_| {
        let client = store.another_client();
        async move { Ok(client) }
    });
    let url = format!("other:?ttl={}ms&renewal_thread=true", TTL.as_millis());
    let locks = connector.connect(&url).await.unwrap();
    commit_after_a_block(&locks).await.unwrap();
}

#[tokio::test]
async fn the_option_is_true_or_false() {
    assert!(connect("memory:?renewal_thread=false").await.is_ok());
    let error = connect("memory:?renewal_thread=yes").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("true or false"), "{error}");
}
