use super::*;
use crate::entropy::SystemEntropy;
use crate::ttl::Ttl;

fn acquire(i: u64) -> Acquire {
    let name = LockName::new(format!("m{i}")).unwrap();
    let mut request = Acquire::new(
        name,
        OwnerId::draw(&SystemEntropy),
        Ttl::MIN,
        Label::of_this_process(),
    );
    request.forget_after = Some(Duration::from_secs(60));
    request
}

#[tokio::test(start_paused = true)]
async fn steps_on_names_that_nobody_took_keep_no_record() {
    let store = MemoryBackend::new();
    let Acquire {
        name, owner, ttl, ..
    } = acquire(0);
    let token = crate::FencingToken::new(1);
    store.release(&name, owner).await.unwrap();
    store.peek(&name).await.unwrap();
    store.inspect(&name).await.unwrap();
    store.force_release(&name).await.unwrap();
    let renewed = store.renew(&[Renew::new(name, owner, token, ttl)]).await;
    assert!(matches!(renewed[..], [Ok(Renewal::Lost { .. })]));
    assert_eq!(store.store.lock().records.len(), 0);
}

#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "time is virtual")]
async fn records_whose_time_has_come_are_let_go_though_nobody_asks_for_them() {
    let store = MemoryBackend::new();
    for i in 0..500 {
        store.acquire(&acquire(i)).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(61)).await;
    for i in 0..1024 {
        store.acquire(&acquire(1000 + i)).await.unwrap();
    }
    assert!(store.store.lock().records.len() <= 1024);
}
