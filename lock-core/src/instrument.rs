//! Every span, event and field name, once.

mod meter;

use std::sync::Arc;
use std::time::Duration;

use tracing::Span;

use crate::answer::{HolderInfo, LossCause};
use crate::clock::Clock;
use crate::error::{Effect, Error, ErrorKind};
use crate::hold::Hold;
use crate::label::LabelParts;
use crate::name::LockName;
use crate::owner::OwnerId;
use crate::ttl::Ttl;

pub(crate) use meter::Since;

/// One `lock()` call, from first to last.
pub(crate) fn acquire_span(backend: &'static str, name: &LockName, ttl: Ttl) -> Span {
    tracing::debug_span!(
        "lock.acquire",
        lock.backend = backend,
        lock.name = %name,
        lock.owner = tracing::field::Empty,
        lock.ttl_ms = ttl.as_millis(),
        lock.token = tracing::field::Empty,
        lock.waited_ms = tracing::field::Empty,
        lock.attempts = tracing::field::Empty,
        lock.outcome = tracing::field::Empty,
        lock.blocked_by.owner = tracing::field::Empty,
        lock.blocked_by.label = tracing::field::Empty,
        lock.blocked_by.trace = tracing::field::Empty,
        error.kind = tracing::field::Empty,
        error.effect = tracing::field::Empty,
    )
}

/// Others of this process have the name, or wait for it: the call stands behind so many of those who
/// wait.
pub(crate) fn queued(span: &Span, holding: impl FnOnce() -> Option<Arc<Hold>>, waiting: usize) {
    meter::count_as("lock_waits_total", "at", "queue");
    meter::number("lock_queue_depth", waiting);
    blocked_here(span, holding);
}

/// Records on the acquire span which lease of this process blocks it; the span follows from the
/// holder's.
pub(crate) fn blocked_here(span: &Span, holding: impl FnOnce() -> Option<Arc<Hold>>) {
    // Looked up for who listens alone.
    if span.is_disabled() {
        return;
    }
    if let Some(hold) = holding() {
        span.record(
            "lock.blocked_by.owner",
            tracing::field::display(hold.owner()),
        );
        span.follows_from(hold.span_id());
    }
}

/// The store refused the first attempt of a call that goes on to wait.
pub(crate) fn waits_at_the_store() {
    meter::count_as("lock_waits_total", "at", "store");
}

/// Records on the acquire span who holds the lock that it wants, and tells it each time that it is
/// another.
pub(crate) fn blocked(span: &Span, holder: &HolderInfo) {
    if span.is_disabled() {
        return;
    }
    let owner = holder.owner.map(tracing::field::display);
    let trace = LabelParts::of(&holder.label).trace;
    span.record("lock.blocked_by.owner", &owner);
    span.record("lock.blocked_by.label", &*holder.label);
    span.record("lock.blocked_by.trace", trace.as_deref());
    tracing::debug!(
        parent: span,
        lock.blocked_by.owner = owner,
        lock.blocked_by.label = &*holder.label,
        lock.blocked_by.trace = trace.as_deref(),
        "another holds the lock"
    );
}

/// The time that a lease is in use. It is no child of the caller's span, which may end before it and
/// would be kept open, and follows from it instead. `None` if nobody listens.
pub(crate) fn hold_span(hold: &Hold) -> Option<Span> {
    let span = tracing::debug_span!(
        parent: None,
        "lock.hold",
        lock.name = %hold.name(),
        lock.owner = %hold.owner(),
        lock.token = hold.token().get(),
    );
    if span.is_disabled() {
        return None;
    }
    span.follows_from(Span::current());
    Some(span)
}

/// The use of a lease ended: `committed`, `dropped`, `handed_over`, `lost` or `released`.
pub(crate) fn hold_ended(hold: &Hold, end: &'static str, clock: &dyn Clock) {
    meter::hold_ended(end, hold.since(), clock);
}

/// A lease passed on to the next waiter of this process.
pub(crate) fn handed_over() {
    meter::count("lock_handovers_total");
}

/// So many updates share a commit.
pub(crate) fn batch(updates: u32) {
    meter::number("lock_batch_updates", updates);
}

/// A write ended.
pub(crate) fn stored(stored: &Result<(), Error>) {
    let outcome = match stored {
        Ok(()) => "committed",
        Err(error) if error.effect() == Effect::Unknown => "unknown",
        Err(error) if error.kind() == ErrorKind::LeaseLost => "lost",
        Err(_) => "error",
    };
    meter::count_as("lock_commits_total", "outcome", outcome);
}

/// Records on the acquire span how it ended.
pub(crate) fn acquired(span: &Span, outcome: &'static str, waited: Duration, attempts: u32) {
    span.record("lock.outcome", outcome);
    span.record("lock.waited_ms", millis(waited));
    span.record("lock.attempts", attempts);
    meter::acquired(outcome, waited, attempts);
}

/// Records on the acquire span as whom it asks the store, or whose lease passed on to it.
pub(crate) fn record_owner(span: &Span, owner: OwnerId) {
    span.record("lock.owner", tracing::field::display(owner));
}

pub(crate) fn record_token(span: &Span, hold: &Hold) {
    span.record("lock.token", hold.token().get());
}

pub(crate) fn record_error(span: &Span, error: &Error) {
    span.record("error.kind", tracing::field::display(error.kind()));
    span.record("error.effect", tracing::field::display(error.effect()));
    if error.effect() == Effect::Unknown {
        meter::count("lock_unknown_outcomes_total");
    }
}

pub(crate) fn attempt_span(number: u32) -> Span {
    tracing::debug_span!("lock.attempt", lock.attempts = number)
}

pub(crate) fn commit_span(hold: &Hold) -> Span {
    tracing::debug_span!(
        "lock.commit",
        lock.name = %hold.name(),
        lock.owner = %hold.owner(),
        lock.token = hold.token().get(),
    )
}

pub(crate) fn release_span(name: &LockName, owner: OwnerId) -> Span {
    tracing::debug_span!("lock.release", lock.name = %name, lock.owner = %owner)
}

pub(crate) fn renew_span(leases: usize) -> Span {
    meter::number("lock_renewal_batch_leases", leases);
    tracing::debug_span!("lock.renew", lock.leases = leases)
}

/// A renewal got no answer, or an error; the lease is still ours as far as we know.
pub(crate) fn renewal_failed(hold: &Hold, left: Duration, error: &Error) {
    meter::count("lock_renewal_failures_total");
    tracing::warn!(
        lock.name = %hold.name(),
        lock.owner = %hold.owner(),
        lock.token = hold.token().get(),
        lock.left_ms = millis(left),
        error.kind = %error.kind(),
        error.effect = %error.effect(),
        "renewal failed: {error}"
    );
}

/// A renewal was looked at so much later than it was due.
pub(crate) fn renewal_late(late: Duration) {
    meter::renewal_late(late);
}

/// Renewals come late although nothing but this process keeps them waiting.
pub(crate) fn renewal_starved(hold: &Hold, late: Duration) {
    tracing::warn!(
        lock.name = %hold.name(),
        lock.owner = %hold.owner(),
        lock.late_ms = millis(late),
        "a renewal came {} ms late, which can cost leases: a task of this runtime blocks or computes \
         without an await (move that to spawn_blocking), or the process was stopped; said once",
        millis(late)
    );
}

/// The renewals' thread cannot connect yet, and said so once.
pub(crate) fn renewals_share(error: &Error) {
    tracing::warn!(
        error.kind = %error.kind(),
        "renewals have no connection of their own yet and go by the client's, which stands still while \
         its runtime is blocked: {error}"
    );
}

/// A lease was lost: its holder must stop.
pub(crate) fn lost(hold: &Hold, cause: LossCause) {
    let word = match cause {
        LossCause::Closed => "closed",
        LossCause::Displaced => "displaced",
        LossCause::Expired => "expired",
        LossCause::Forced => "forced",
    };
    meter::count_as("lock_losses_total", "cause", word);
    tracing::error!(
        lock.name = %hold.name(),
        lock.owner = %hold.owner(),
        lock.token = hold.token().get(),
        lock.outcome = "lost",
        "lease lost: {cause}"
    );
}

/// A guard was dropped without commit or release, with a changed value.
pub(crate) fn change_discarded(hold: &Hold) {
    meter::count("lock_changes_discarded_total");
    tracing::warn!(
        lock.name = %hold.name(),
        lock.owner = %hold.owner(),
        lock.token = hold.token().get(),
        "the guarded value was changed and not committed: the change is discarded"
    );
}

/// A guard or an acquisition was dropped while it may have held the lock.
pub(crate) fn abandoned(name: &LockName, owner: OwnerId) {
    meter::count("lock_background_releases_total");
    tracing::debug!(lock.name = %name, lock.owner = %owner, "released in the background");
}

/// A release in the background did not go through: the ttl frees the lock.
pub(crate) fn abandoned_for_good(name: &LockName, owner: OwnerId, error: &Error) {
    tracing::warn!(
        lock.name = %name,
        lock.owner = %owner,
        error.kind = %error.kind(),
        "cannot release in the background, the ttl will: {error}"
    );
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
