use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use lock_core::{Alarm, Clock, LockName, SystemClock};
use redis::{PushInfo, PushKind, Value};

use super::Wakeups;
use crate::keys::Keyspace;

fn wakeups() -> Arc<Wakeups> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    Arc::new(Wakeups::new(Keyspace::new("").unwrap(), clock))
}

fn name(text: &str) -> LockName {
    LockName::new(text).unwrap()
}

fn text(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

fn message(body: &str) -> PushInfo {
    PushInfo {
        kind: PushKind::Message,
        data: vec![text("lock:client:1"), text(body)],
    }
}

fn invalidated(keys: &[&str]) -> PushInfo {
    PushInfo {
        kind: PushKind::Invalidate,
        data: vec![Value::Array(keys.iter().map(|key| text(key)).collect())],
    }
}

fn check(text: &str) -> Option<Alarm> {
    Some(Alarm::Check(LockName::new(text).unwrap()))
}

#[tokio::test]
async fn a_wake_up_reaches_its_own_watchers_only() {
    let wakeups = wakeups();
    let (mut x, mut also_x) = (wakeups.watch(&name("x")), wakeups.watch(&name("x")));
    let mut y = wakeups.watch(&name("y"));
    wakeups.take(&message("wx"));
    assert_eq!(x.next().await, Some(()));
    assert_eq!(also_x.next().await, Some(()));
    assert!(x.next().now_or_never().is_none());
    assert!(y.next().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn the_second_in_line_looks_again_when_the_claim_time_is_over() {
    let wakeups = wakeups();
    let mut hints = wakeups.watch(&name("a:b"));
    wakeups.take(&message("s500:a:b"));
    assert!(hints.next().now_or_never().is_none());
    tokio::time::advance(Duration::from_millis(501)).await;
    assert_eq!(hints.next().await, Some(()));
    // Once, and not at all if it is woken before.
    assert!(hints.next().now_or_never().is_none());
    wakeups.take(&message("s500:a:b"));
    wakeups.take(&message("wa:b"));
    assert_eq!(hints.next().await, Some(()));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(hints.next().now_or_never().is_none());
}

#[tokio::test]
async fn an_invalidation_of_a_lock_key_is_an_alarm_and_one_of_a_record_is_not() {
    let wakeups = wakeups();
    let mut alarms = wakeups.alarms();
    wakeups.take(&invalidated(&["{x}:lock", "{x}:line", "x", "%7B%25"]));
    assert_eq!(alarms.next().await, check("x"));
    assert_eq!(alarms.next().await, check("{%"));
    assert!(alarms.next().now_or_never().is_none());
    wakeups.take(&message("fz"));
    assert_eq!(alarms.next().await, check("z"));
}

#[tokio::test]
async fn a_flush_checks_everything() {
    let wakeups = wakeups();
    let (mut alarms, mut hints) = (wakeups.alarms(), wakeups.watch(&name("x")));
    wakeups.take(&PushInfo {
        kind: PushKind::Invalidate,
        data: vec![Value::Nil],
    });
    assert_eq!(alarms.next().await, Some(Alarm::CheckAll));
    assert_eq!(hints.next().await, Some(()));
}

#[tokio::test]
async fn messages_of_any_other_form_are_ignored() {
    let wakeups = wakeups();
    let mut hints = wakeups.watch(&name("x"));
    for body in ["", "x", "s:x", "s1e9:x", "sx", "W"] {
        wakeups.take(&message(body));
    }
    wakeups.take(&PushInfo {
        kind: PushKind::Message,
        data: vec![],
    });
    assert!(hints.next().now_or_never().is_none());
}

#[tokio::test]
async fn renewals_of_a_holder_that_pushes_its_release_wake_nobody() {
    let wakeups = wakeups();
    let mut hints = wakeups.watch(&name("x"));
    wakeups.take(&invalidated(&["x"]));
    assert_eq!(hints.next().await, Some(()));
    wakeups.refused(&name("x"), false);
    wakeups.take(&invalidated(&["x"]));
    assert!(hints.next().now_or_never().is_none());
    wakeups.take(&message("wx"));
    assert_eq!(hints.next().await, Some(()));
    // Another program has it now, of which only its key tells.
    wakeups.refused(&name("x"), true);
    wakeups.take(&invalidated(&["x"]));
    assert_eq!(hints.next().await, Some(()));
    // What was learned of one watch is forgotten with it.
    wakeups.refused(&name("x"), false);
    drop(hints);
    let mut hints = wakeups.watch(&name("x"));
    wakeups.take(&invalidated(&["x"]));
    assert_eq!(hints.next().await, Some(()));
    wakeups.refused(&name("unwatched"), false);
    assert!(!wakeups.pushing.names().contains(&name("unwatched")));
}
