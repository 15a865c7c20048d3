//! Clients on a real server, on either side of a network that misbehaves.

use std::time::Duration;

use lock_core::{DistributedMutex, Error, LockClient, LockOptions};
use lock_testkit::proxy::{Proxy, Requests};

use crate::server::Server;
use crate::until;

/// A server and a network before it.
pub(crate) struct Net {
    pub(crate) server: Server,
    pub(crate) proxy: Proxy,
}

impl Net {
    pub(crate) async fn start() -> Self {
        Self::before(Server::start().await).await
    }

    /// The server knows every script already, so that each step is one `EVALSHA` from the first on.
    pub(crate) async fn before(server: Server) -> Self {
        for step in [Step::Acquire, Step::Commit, Step::Release, Step::Renew] {
            let _hash: String = server.say(&["SCRIPT", "LOAD", step.source()]).await;
        }
        let proxy = Proxy::start(server.addr()).await.unwrap();
        Self { server, proxy }
    }

    /// A client through the network, whose requests have time on a busy machine.
    pub(crate) async fn client(&self, options: LockOptions) -> LockClient {
        let backend = self.server.options_via(self.proxy.addr()).connect();
        LockClient::builder(backend.await.unwrap())
            .options(options)
            .build()
    }

    /// A client through the network that soon takes a request for lost.
    pub(crate) async fn hasty(&self, options: LockOptions) -> LockClient {
        let backend = self
            .server
            .options_via(self.proxy.addr())
            .request_timeout(ms(300))
            .connect_timeout(ms(1000))
            .connect();
        LockClient::builder(backend.await.unwrap())
            .options(options)
            .build()
    }

    /// A client past the network.
    pub(crate) async fn other(&self) -> LockClient {
        let backend = self.server.backend().await;
        LockClient::builder(backend).options(lasting()).build()
    }

    /// How many scripts were called through the network; fails if anything else was sent.
    #[track_caller]
    pub(crate) fn scripts_only(&self) -> u64 {
        let counts = self.proxy.counts();
        let others: Vec<_> = counts.keys().filter(|c| *c != "EVALSHA").collect();
        assert!(others.is_empty(), "{counts:?}");
        self.proxy.count("EVALSHA")
    }

    /// Waits until nobody holds the name or waits for it, and nothing of it is left but its record.
    pub(crate) async fn is_free(&self, lock: &str) {
        until(|| async {
            let left: i64 = self
                .server
                .say(&["EXISTS", lock, &format!("{{{lock}}}:line")])
                .await;
            (left == 0).then_some(())
        })
        .await;
    }

    /// One field of a name's record.
    pub(crate) async fn record(&self, lock: &str, field: &str) -> Option<String> {
        let record = format!("{{{lock}}}:lock");
        self.server.say(&["HGET", &record, field]).await
    }

    /// Waits until so many owners stand in line for the name.
    pub(crate) async fn stand_in_line(&self, lock: &str, count: i64) {
        let line = format!("{{{lock}}}:line");
        until(|| async {
            let now: i64 = self.server.say(&["ZCARD", &line]).await;
            (now == count).then_some(())
        })
        .await;
    }
}

/// A step of the backend, as a message that a fault can address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Acquire,
    Commit,
    Release,
    Renew,
}

macro_rules! source {
    ($file:literal) => {
        concat!(
            include_str!("../../src/scripts/common.lua"),
            include_str!(concat!("../../src/scripts/", $file))
        )
    };
}

impl Step {
    fn source(self) -> &'static str {
        match self {
            Self::Acquire => source!("acquire.lua"),
            Self::Commit => source!("commit.lua"),
            Self::Release => source!("release.lua"),
            Self::Renew => source!("renew.lua"),
        }
    }

    /// The next call of it; see [`Requests`] for others.
    pub(crate) fn requests(self) -> Requests {
        let script = redis::Script::new(self.source());
        Requests::command("EVALSHA").containing(script.get_hash())
    }
}

/// Options for a lease that no test outlives.
pub(crate) fn lasting() -> LockOptions {
    with_ttl(ms(60_000))
}

pub(crate) fn with_ttl(ttl: Duration) -> LockOptions {
    LockOptions::builder().ttl(ttl).build().unwrap()
}

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Waits until the client holds nothing and nothing of its is under way.
pub(crate) async fn settled(client: &LockClient) {
    until(|| async {
        let stats = client.stats();
        (stats.leases == 0 && stats.outstanding == 0).then_some(())
    })
    .await;
}

/// Waits for something with the bound of all waits.
pub(crate) async fn in_time<T>(something: impl Future<Output = T>) -> T {
    tokio::time::timeout(crate::PATIENCE, something)
        .await
        .expect("it must happen in time")
}

pub(crate) fn counter(client: &LockClient, lock: &str) -> DistributedMutex<u32> {
    client.mutex(lock).unwrap()
}

/// Adds one to a counter by an update, and returns what it is then.
pub(crate) async fn add_one(mutex: &DistributedMutex<u32>) -> Result<u32, Error> {
    let change = |n: &mut u32| {
        *n += 1;
        Ok(*n)
    };
    mutex.update(change).await
}
