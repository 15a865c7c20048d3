use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};

use super::{ALARMS_MAX, Wakeups};
use crate::backend::Alarm;
use crate::clock::SystemClock;
use crate::name::LockName;

fn name(text: &str) -> LockName {
    LockName::new(text).unwrap()
}

fn wakeups() -> Arc<Wakeups> {
    Arc::new(Wakeups::new(Arc::new(SystemClock::new())))
}

#[tokio::test]
async fn a_hint_reaches_its_own_watchers_only() {
    let wakeups = wakeups();
    let (mut x, mut also_x) = (wakeups.watch(&name("x")), wakeups.watch(&name("x")));
    let mut y = wakeups.watch(&name("y"));
    wakeups.hint(&name("x"));
    assert_eq!(x.next().await, Some(()));
    assert_eq!(also_x.next().await, Some(()));
    assert!(x.next().now_or_never().is_none());
    assert!(y.next().now_or_never().is_none());
}

#[tokio::test]
async fn what_was_hinted_before_the_watch_began_is_not_told() {
    let wakeups = wakeups();
    let _first = wakeups.watch(&name("x"));
    wakeups.hint(&name("x"));
    assert!(wakeups.watch(&name("x")).next().now_or_never().is_none());
}

#[tokio::test]
async fn interest_ends_with_the_stream_and_streams_with_the_backend() {
    let wakeups = wakeups();
    let (x, also_x) = (wakeups.watch(&name("x")), wakeups.watch(&name("x")));
    drop(x);
    assert!(wakeups.is_wanted());
    drop(also_x);
    assert!(!wakeups.is_wanted());
    let (mut alarms, mut hints) = (wakeups.alarms(), wakeups.watch(&name("x")));
    wakeups.close();
    assert_eq!(alarms.next().await, None);
    assert_eq!(hints.next().await, None);
    assert_eq!(wakeups.alarms().next().await, None);
}

#[tokio::test(start_paused = true)]
async fn who_is_to_look_again_does_so_once_and_not_if_it_was_woken_before() {
    let wakeups = wakeups();
    let mut hints = wakeups.watch(&name("a:b"));
    wakeups.look_again(&name("a:b"), Duration::from_millis(500));
    assert!(hints.next().now_or_never().is_none());
    tokio::time::advance(Duration::from_millis(501)).await;
    assert_eq!(hints.next().await, Some(()));
    assert!(hints.next().now_or_never().is_none());
    wakeups.look_again(&name("a:b"), Duration::from_millis(500));
    wakeups.hint(&name("a:b"));
    assert_eq!(hints.next().await, Some(()));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(hints.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_stir_and_a_slow_listener_check_everything() {
    let wakeups = wakeups();
    let (mut alarms, mut hints) = (wakeups.alarms(), wakeups.watch(&name("x")));
    wakeups.stir();
    assert_eq!(alarms.next().await, Some(Alarm::CheckAll));
    assert_eq!(hints.next().await, Some(()));
    for i in 0..=ALARMS_MAX {
        wakeups.alarm(Alarm::Check(name(&format!("x{i}"))));
    }
    assert_eq!(alarms.next().await, Some(Alarm::CheckAll));
}

#[tokio::test]
async fn the_first_watcher_is_announced_and_the_last_one_reported_gone() {
    let gone = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&gone);
    let wakeups = Wakeups::new(Arc::new(SystemClock::new()))
        .on_unwatched(move |name| record.lock().unwrap().push(name.clone()));
    let wakeups = Arc::new(wakeups);
    assert!(wakeups.watch_after(&name("x"), || Err(())).is_err());
    assert!(!wakeups.is_wanted());
    let first = wakeups
        .watch_after(&name("x"), || Ok::<(), ()>(()))
        .unwrap();
    let second = wakeups.watch_after(&name("x"), || Err(())).unwrap();
    drop(first);
    assert!(gone.lock().unwrap().is_empty());
    drop(second);
    assert_eq!(*gone.lock().unwrap(), [name("x")]);
    let left = wakeups.watch(&name("y"));
    wakeups.close();
    drop(left);
    assert_eq!(*gone.lock().unwrap(), [name("x"), name("y")]);
}
