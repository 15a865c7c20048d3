use std::sync::{Arc, Mutex};

use lock_core::{ErrorKind, FormatTag, Json};
use serde_json::Value;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_value_begins_with_the_given_one_and_is_kept_from_the_first_commit() {
    let store = MemoryBackend::new();
    let mutex = client(&store).mutex_with("m", || 100_u32).build().unwrap();
    assert_eq!(mutex.peek().await.unwrap().token, None);
    let mut guard = mutex.lock().await.unwrap();
    assert_eq!(*guard, 100);
    *guard -= 1;
    let token = guard.token();
    guard.commit().await.unwrap();
    let other = client(&store).mutex_with("m", || 0_u32).build().unwrap();
    let peek = other.peek().await.unwrap();
    assert_eq!((peek.value, peek.token), (99, Some(token)));
}

#[tokio::test(start_paused = true)]
async fn an_uncommitted_change_is_discarded_and_said_aloud() {
    let (said, _default) = events();
    let locks = client(&MemoryBackend::new());
    let mutex = locks.mutex::<u32>("stock").unwrap();
    drop(mutex.lock().await.unwrap());
    assert!(
        !said.lock().unwrap().contains("WARN"),
        "{}",
        said.lock().unwrap()
    );
    let mut guard = mutex.lock().await.unwrap();
    *guard = 7;
    drop(guard);
    settle().await;
    assert_eq!(mutex.peek().await.unwrap().value, 0);
    let said = said.lock().unwrap().clone();
    assert!(
        said.contains("WARN") && said.contains("stock") && said.contains("discarded"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_update_that_fails_leaves_no_trace() {
    let locks = client(&MemoryBackend::new());
    let mutex = locks.mutex::<u32>("m").unwrap();
    assert_eq!(
        mutex
            .update(|n| {
                *n += 1;
                Ok(*n)
            })
            .await
            .unwrap(),
        1
    );
    let error = mutex
        .update::<()>(|n| {
            *n = 99;
            Err("no".parse::<u8>().unwrap_err().into())
        })
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Aborted);
    // The lock was given up before the error was returned, not some time after it.
    assert_clean(&locks, 1);
    assert!(error.downcast_source::<std::num::ParseIntError>().is_some());
    let panicking = mutex.clone();
    let panicked = tokio::spawn(async move {
        panicking
            .update::<()>(|n| {
                *n = 98;
                panic!("in the closure")
            })
            .await
    });
    assert!(panicked.await.unwrap_err().is_panic());
    settle().await;
    assert_eq!(mutex.update(|n| Ok(*n)).await.unwrap(), 1);
    assert_eq!(locks.stats().leases, 0);
}

#[tokio::test(start_paused = true)]
async fn a_value_over_its_bound_is_refused_before_it_is_sent() {
    let small = LockOptions::builder()
        .ttl(TTL)
        .max_state_bytes(10)
        .build()
        .unwrap();
    let locks = client(&MemoryBackend::new());
    let mutex = locks
        .mutex_with("m", String::new)
        .options(small)
        .build()
        .unwrap();
    let mut guard = mutex.lock().await.unwrap();
    guard.push_str("123456789");
    let error = guard.save().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::State);
    assert!(
        error.to_string().contains("11 bytes") && error.to_string().contains("10"),
        "{error}"
    );
    assert!(guard.is_held());
    let _last: Option<char> = guard.pop();
    guard.save().await.unwrap();
    guard.push('x');
    assert_eq!(guard.commit().await.unwrap_err().kind(), ErrorKind::State);
    settle().await;
    assert!(locks.inspect("m").await.unwrap().holder.is_none());
    assert_eq!(mutex.peek().await.unwrap().value, "12345678");
}

#[tokio::test(start_paused = true)]
async fn a_value_that_does_not_decode_is_an_error_and_stays_as_it_is() {
    let store = MemoryBackend::new();
    let locks = client(&store);
    let text = locks.mutex::<String>("m").unwrap();
    text.update(|s| {
        s.push_str("not a number");
        Ok(())
    })
    .await
    .unwrap();
    let number = locks.mutex::<u32>("m").unwrap();
    for error in [
        number.lock().await.map(drop).unwrap_err(),
        number.try_lock().await.map(drop).unwrap_err(),
        number.update(|_| Ok(())).await.unwrap_err(),
        number.peek().await.map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::State);
    }
    settle().await;
    assert!(locks.inspect("m").await.unwrap().holder.is_none());
    assert_eq!(text.peek().await.unwrap().value, "not a number");
}

#[tokio::test(start_paused = true)]
async fn a_codec_of_ones_own_is_told_from_others() {
    #[derive(Debug)]
    struct Raw;
    impl lock_core::Codec<Vec<u8>> for Raw {
        fn format(&self) -> FormatTag {
            FormatTag::new(FormatTag::FIRST_CUSTOM)
        }
        fn encode(&self, value: &Vec<u8>) -> Result<bytes::Bytes, lock_core::BoxError> {
            Ok(value.clone().into())
        }
        fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, lock_core::BoxError> {
            Ok(bytes.to_vec())
        }
    }
    let locks = client(&MemoryBackend::new());
    let raw = locks
        .mutex_with("m", Vec::new)
        .codec(Raw)
        .build_with_codec()
        .unwrap();
    raw.update(|v| {
        v.extend([0, 255]);
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(raw.peek().await.unwrap().value, [0, 255]);
    let json = locks
        .mutex_with("m", || Value::Null)
        .codec(Json)
        .build()
        .unwrap();
    let error = json.peek().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::State);
    assert!(error.to_string().contains("format 128"), "{error}");
    let none = locks
        .mutex_with("m", Vec::<u8>::new)
        .build_with_codec()
        .unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Invalid);
}

#[tokio::test(start_paused = true)]
async fn an_idle_value_is_forgotten_after_its_time_but_not_while_it_is_held() {
    let idle = Duration::from_secs(60);
    let store = MemoryBackend::new();
    let forgetful = LockOptions::builder()
        .ttl(TTL)
        .forget_after(idle)
        .build()
        .unwrap();
    let locks = LockClient::builder(store.another_client())
        .options(forgetful)
        .build();
    let mutex = locks.mutex::<u32>("m").unwrap();
    let mut guard = mutex.lock().await.unwrap();
    *guard = 5;
    guard.save().await.unwrap();
    tokio::time::sleep(idle * 3).await;
    assert_eq!(mutex.peek().await.unwrap().value, 5);
    let first = guard.token();
    guard.commit().await.unwrap();
    tokio::time::sleep(idle - ms(1)).await;
    assert_eq!(mutex.peek().await.unwrap().value, 5);
    tokio::time::sleep(TTL + ms(2)).await;
    assert_eq!(mutex.peek().await.unwrap().value, 0);
    assert!(mutex.lock().await.unwrap().token() > first);
}

/// What this thread's events say, as text.
pub(super) fn events() -> (Arc<Mutex<String>>, tracing::subscriber::DefaultGuard) {
    #[derive(Clone)]
    struct Sink(Arc<Mutex<String>>);
    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0
                .lock()
                .unwrap()
                .push_str(&String::from_utf8_lossy(bytes));
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let said = Arc::new(Mutex::new(String::new()));
    let sink = Sink(Arc::clone(&said));
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .with_writer(move || sink.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    (said, guard)
}
