//! Who goes first where many steps wait in one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lock_core::Renewal;

use crate::file::Locks;
use crate::{asks, granted, owner, renewed, until};

const MANY: usize = 200;

/// However many steps of other names wait, a renewal stands behind one or two of them.
#[tokio::test]
async fn a_renewal_does_not_wait_for_the_steps_of_other_names() {
    let locks = Locks::new();
    let backend = Arc::new(locks.backend().await);
    let request = asks("held", owner());
    let grant = granted(&backend, &request).await;
    let done = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..MANY {
        let (backend, done) = (Arc::clone(&backend), Arc::clone(&done));
        drop(tasks.spawn(async move {
            granted(&backend, &asks(&format!("other/{n}"), owner())).await;
            done.fetch_add(1, Ordering::SeqCst);
        }));
    }
    // By the time the first is answered all of them have asked.
    let answered = || done.load(Ordering::SeqCst);
    until(|| async { (answered() > 0).then_some(()) }).await;
    let before = answered();
    let renewal = renewed(&backend, "held", request.owner, grant.token).await;
    assert!(matches!(renewal, Renewal::Renewed { .. }), "{renewal:?}");
    let meanwhile = answered() - before;
    assert!(meanwhile < MANY / 4, "{meanwhile} of {MANY} went before it");
    while tasks.join_next().await.is_some() {}
}
