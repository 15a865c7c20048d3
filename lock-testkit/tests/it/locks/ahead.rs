//! Tokens that are reserved and not used: they run ahead of the store's clock by a bound, so that those
//! after the loss of everything are larger.

use std::sync::Arc;

use lock_core::{Clock, SystemClock};

use super::*;

/// Has leases end long before their tokens are used up, one after the other.
async fn take_turns(locks: &LockClient, clock: &dyn Clock, length: Duration) {
    let end = clock.now().after(length);
    let most = LockOptions::HANDOVER_MAX_LIMIT;
    let other = LockOptions::builder().ttl(TTL * 2).handover(most, ms(30));
    let other = other.build().unwrap();
    let one = locks.mutex::<u64>("m").unwrap();
    // A lease does not pass to a mutex with other options.
    let two = locks.mutex_with("m", || 0_u64).options(other);
    let two = two.build().unwrap();
    let tasks = [one.clone(), two.clone(), one, two].map(|mutex| async move {
        while clock.now() < end {
            mutex.lock().await.unwrap().release().await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    futures_util::future::join_all(tasks).await;
}

#[tokio::test]
async fn tokens_increase_over_the_loss_of_everything_though_most_were_never_used() {
    let clock = Arc::new(SystemClock::new());
    let store = MemoryBackend::with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let (locks, _) = handover::passing(&store, LockOptions::HANDOVER_MAX_LIMIT, ms(30));
    take_turns(&locks, &*clock, ms(300)).await;
    let before = locks.inspect("m").await.unwrap().last_token.unwrap();
    // A store that has lost everything is not there again sooner.
    tokio::time::sleep(ms(20)).await;
    store.wipe();
    let guard = locks.mutex::<u64>("m").unwrap().lock().await.unwrap();
    assert!(guard.token() > before, "{} after {before}", guard.token());
}
