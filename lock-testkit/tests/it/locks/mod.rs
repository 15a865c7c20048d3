//! lock-core's client on the memory backend, in virtual time.

use std::time::Duration;

use lock_core::{LockClient, LockOptions, MemoryBackend, Previous};
use lock_testkit::FaultyBackend;

mod ahead;
mod cancellation;
mod crowded;
mod edges;
mod handover;
mod lifecycle;
mod locking;
mod loss;
mod outcomes;
mod random;
mod stalled;
mod updates;
mod values;

/// The ttl of the tests' locks; the holder believes in it for 2945 ms.
const TTL: Duration = Duration::from_secs(3);

fn options() -> LockOptions {
    LockOptions::builder().ttl(TTL).build().unwrap()
}

/// A client of a store, through faults that the test scripts.
fn faulty(store: &MemoryBackend) -> (LockClient, FaultyBackend) {
    let backend = FaultyBackend::new(store.another_client());
    let client = LockClient::builder(backend.clone())
        .options(options())
        .build();
    (client, backend)
}

fn client(store: &MemoryBackend) -> LockClient {
    LockClient::builder(store.another_client())
        .options(options())
        .build()
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Lets everything that is ready run, and time pass a little.
async fn settle() {
    tokio::time::sleep(ms(20)).await;
}

/// Asserts that a client has nothing left and that nobody holds the name.
#[track_caller]
fn assert_clean(client: &LockClient, names: usize) {
    let stats = client.stats();
    assert_eq!(
        (stats.leases, stats.names, stats.outstanding),
        (0, names, 0),
        "{stats:?}"
    );
}

fn abandoned(previous: Previous) -> bool {
    matches!(previous, Previous::Abandoned { .. })
}
