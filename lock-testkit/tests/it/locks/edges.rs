//! Ends that are easily forgotten: after a guard, after a refusal, after a time-out, too late.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Wake, Waker};

use super::*;

#[derive(Default)]
struct Count(AtomicU32);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn lost_rests_after_a_guard_that_ended_well() {
    let locks = client(&MemoryBackend::new());
    let guard = locks.mutex::<()>("m").unwrap().lock().await.unwrap();
    let mut lost = Box::pin(guard.lost());
    guard.release().await.unwrap();
    tokio::time::sleep(TTL).await;
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    assert!(
        lost.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    settle().await;
    assert_eq!(count.0.load(Ordering::Relaxed), 0, "it asks to be polled");
}
