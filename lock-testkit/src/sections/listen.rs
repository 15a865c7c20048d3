//! [`Listener`]: hears lock-core say that a change was discarded.

use std::fmt;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use super::Shared;
use super::evidence::Discard;

/// A layer that notes each change of a guarded value that was not committed.
#[derive(Debug)]
pub struct Listener {
    shared: Arc<Shared>,
}

impl Listener {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

/// Listens on the thread that made it, until it is dropped.
#[must_use = "nobody listens any more as soon as this is dropped"]
pub struct Listening {
    _subscriber: DefaultGuard,
}

impl Listening {
    pub(super) fn begin(listener: Listener) -> Self {
        let subscriber = tracing_subscriber::registry().with(listener);
        Self {
            _subscriber: tracing::subscriber::set_default(subscriber),
        }
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").finish_non_exhaustive()
    }
}

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() != Level::WARN || !metadata.target().starts_with("lock_core") {
            return;
        }
        let mut said = Said::default();
        event.record(&mut said);
        if said.message.contains(DISCARDED) {
            let (at, task) = self.shared.here();
            self.shared.inner().discards.push(Discard {
                lock: said.lock,
                token: said.token,
                at,
                task,
            });
        }
    }
}

/// What lock-core says of a guard that was dropped with a change.
const DISCARDED: &str = "the guarded value was changed and not committed";

/// The fields of an event that matter here.
#[derive(Default)]
struct Said {
    message: String,
    lock: String,
    token: u64,
}

impl Visit for Said {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "lock.token" {
            self.token = value;
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "lock.name" => self.lock = format!("{value:?}"),
            _ => {}
        }
    }
}
