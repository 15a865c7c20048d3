//! What the spans of who waits say of who is in the way.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::disallowed_methods,
    reason = "time is virtual: nothing waits for real"
)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use lock_core::{Label, LockClient, LockOptions, MemoryBackend};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Instrument, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

/// A span, or an event, as it was told.
#[derive(Clone, Debug, Default)]
struct Seen {
    name: String,
    fields: BTreeMap<&'static str, String>,
    follows: Vec<Id>,
    is_closed: bool,
}

impl Visit for Seen {
    fn record_str(&mut self, field: &Field, value: &str) {
        drop(self.fields.insert(field.name(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        drop(self.fields.insert(field.name(), format!("{value:?}")));
    }
}

#[derive(Debug, Default)]
struct All {
    spans: Vec<(Id, Seen)>,
    events: Vec<Seen>,
}

/// Collects what is told on this thread.
#[derive(Clone, Debug, Default)]
struct Collector(Arc<Mutex<All>>);

impl Collector {
    fn collecting(&self) -> DefaultGuard {
        tracing::subscriber::set_default(Registry::default().with(self.clone()))
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap()
    }

    /// Tells more of a span.
    fn tell(&self, id: &Id, more: impl FnOnce(&mut Seen)) {
        let mut all = self.all();
        let mut known = all.spans.iter_mut().rev();
        more(&mut known.find(|(known, _)| known == id).unwrap().1);
    }

    fn span(&self, id: &Id) -> Seen {
        let mut found = Seen::default();
        self.tell(id, |seen| found = seen.clone());
        found
    }

    /// The last span of this name.
    fn last(&self, name: &str) -> Seen {
        let all = self.all();
        let mut named = all.spans.iter().rev().filter(|(_, s)| s.name == name);
        named.next().unwrap().1.clone()
    }

    fn events_with(&self, field: &str) -> usize {
        let all = self.all();
        let with = all.events.iter().filter(|e| e.fields.contains_key(field));
        with.count()
    }
}

impl<S: Subscriber> Layer<S> for Collector {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let mut span = Seen {
            name: attributes.metadata().name().to_owned(),
            ..Seen::default()
        };
        attributes.record(&mut span);
        self.all().spans.push((id.clone(), span));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        self.tell(id, |span| values.record(span));
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, _: Context<'_, S>) {
        self.tell(id, |span| span.follows.push(follows.clone()));
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut seen = Seen::default();
        event.record(&mut seen);
        self.all().events.push(seen);
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        self.tell(&id, |span| span.is_closed = true);
    }
}

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn labelled(store: &MemoryBackend) -> (LockClient, Label) {
    let label = Label::of_this_process()
        .with_text("nightly")
        .with_trace(TRACE);
    let options = LockOptions::builder().label(label.as_str());
    let client = LockClient::builder(store.another_client())
        .options(options.build().unwrap())
        .build();
    (client, label)
}

#[tokio::test(start_paused = true)]
async fn the_span_of_who_waits_names_the_holder_in_another_process_and_its_trace() {
    let collector = Collector::default();
    let _collecting = collector.collecting();
    let store = MemoryBackend::new();
    let (holder, label) = labelled(&store);
    let guard = holder.mutex::<u32>("m").unwrap().lock().await.unwrap();
    let owner = guard.owner().to_string();
    let waiter = LockClient::new(store).mutex::<u32>("m").unwrap();
    let expect = |outcome: &str| {
        let span = collector.last("lock.acquire");
        assert_eq!(span.fields["lock.outcome"], outcome);
        assert_eq!(span.fields["lock.blocked_by.owner"], owner);
        assert_eq!(span.fields["lock.blocked_by.label"], label.as_str());
        assert_eq!(span.fields["lock.blocked_by.trace"], TRACE);
    };

    assert!(waiter.try_lock().await.unwrap().is_none());
    expect("refused");
    // Refused several times by one holder, it says so once.
    let before = collector.events_with("lock.blocked_by.owner");
    let _timeout = waiter.lock_timeout(Duration::from_secs(1)).await;
    expect("timeout");
    let told = collector.events_with("lock.blocked_by.owner");
    assert_eq!(told.checked_sub(before), Some(1));
    let (granted, released) = tokio::join!(waiter.lock(), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        guard.release().await
    });
    released.unwrap();
    let attempts = collector.last("lock.acquire").fields["lock.attempts"].clone();
    assert!(attempts.parse::<u32>().unwrap() > 1, "{attempts}");
    expect("acquired");
    drop(granted);
}

#[tokio::test(start_paused = true)]
async fn the_span_of_who_waits_follows_from_the_holders_in_the_same_process() {
    let collector = Collector::default();
    let _collecting = collector.collecting();
    let mutex = LockClient::in_memory().mutex::<u32>("m").unwrap();
    let working = tracing::info_span!("working");
    let guard = mutex.lock().instrument(working.clone()).await.unwrap();
    let (owner, token) = (guard.owner().to_string(), guard.token().to_string());
    // From the holder's span to what its caller does.
    let hold = collector.last("lock.hold");
    assert_eq!(hold.fields["lock.owner"], owner);
    assert_eq!(hold.follows, [working.id().unwrap()]);

    let expect = |outcome: &str| {
        let span = collector.last("lock.acquire");
        assert_eq!(span.fields["lock.outcome"], outcome);
        assert_eq!(span.fields["lock.blocked_by.owner"], owner);
        let hold = collector.span(&span.follows[0]);
        assert_eq!(hold.name, "lock.hold");
        assert_eq!(hold.fields["lock.token"], token);
        hold
    };
    assert!(mutex.try_lock().await.unwrap().is_none());
    assert!(!expect("refused").is_closed);
    // Whoever watches for its loss does not keep the span open.
    let watching = guard.lost();
    let (granted, _ended) = tokio::join!(mutex.lock(), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        guard.commit().await
    });
    let next = granted.unwrap();
    // It ended with its use, though the lease passed on.
    assert!(expect("acquired").is_closed);
    let hold = collector.last("lock.hold");
    assert_eq!(hold.fields["lock.token"], next.token().to_string());
    assert!(!hold.is_closed);
    let watching = (watching, next.lost());
    next.release().await.unwrap();
    assert!(collector.last("lock.hold").is_closed);
    drop(watching);
}

#[tokio::test(start_paused = true)]
async fn the_span_of_a_hold_ends_with_its_loss() {
    let collector = Collector::default();
    let _collecting = collector.collecting();
    let locks = LockClient::in_memory();
    let guard = locks.mutex::<u32>("m").unwrap().lock().await.unwrap();
    let _forced = locks.force_release("m").await.unwrap();
    let _cause = guard.lost().await;
    assert!(collector.last("lock.hold").is_closed);
    assert!(!guard.is_held());
}
