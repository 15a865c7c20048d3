//! Keeps all leases of a client alive by one task, in batches, and tells their guards of a loss. The
//! task may have a thread and a connection of its own.
//!
//! # Invariants
//! 1. A hold is in the schedule exactly while it is held and no guard ends it.
//! 2. A hold has at most one renewal under way.

pub(crate) mod plan;
pub(crate) mod thread;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tracing::Instrument;

use crate::answer::{LossCause, Renewal};
use crate::backend::{Alarm, Alarms, LockBackend};
use crate::backoff::Backoff;
use crate::call::{no_answer, sleep_until};
use crate::clock::Moment;
use crate::engine::Core;
use crate::error::Error;
use crate::hold::Hold;
use crate::instrument::{self, Since};
use crate::name::LockName;
use crate::owner::OwnerId;
use crate::queue::Turn;
use crate::reaper;
use crate::request::Renew;
use crate::token::FencingToken;
use plan::{Outcome, Step};

/// The most leases that one request renews: a script of 256 takes Redis well under a millisecond.
const BATCH_MAX: usize = 256;

/// The most leases whose renewals are under way at once. What is due beyond them waits here, where its
/// time to be answered has not begun: a store that is behind is asked as fast as it answers, and a call
/// of another kind waits behind no more than these.
const UNDER_WAY_MAX: usize = 4 * BATCH_MAX;

/// A renewal joins a batch that is sent up to this share of its interval before it is due.
const SLACK_SHARE: u32 = 10;

/// … and no sooner than this, so that one lease of a day does not have the driver look through all
/// others each time.
const SLACK_MAX: Duration = Duration::from_secs(1);

fn slack(interval: Duration) -> Duration {
    (interval / SLACK_SHARE).min(SLACK_MAX)
}

/// When each hold must be looked at next.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    inner: Mutex<ScheduleInner>,
    changed: Notify,
    late_max_nanos: AtomicU64,
    /// Whether it was said that renewals starve.
    starved: AtomicBool,
}

#[derive(Debug, Default)]
struct ScheduleInner {
    by_due: BTreeMap<(Moment, OwnerId), Arc<Hold>>,
    due_of: std::collections::HashMap<OwnerId, Moment>,
    by_name: std::collections::HashMap<LockName, Arc<Hold>>,
    longest_interval: Duration,
    /// When the driver looks again by itself, or was told to. It keeps to that though the hold that it
    /// was for may have ended, so that a lock that is taken and given back, again and again, wakes nobody.
    awake_at: Option<Moment>,
    closed: bool,
}

impl ScheduleInner {
    fn put(&mut self, hold: &Arc<Hold>, due: Moment) {
        if let Some(before) = self.due_of.insert(hold.owner(), due) {
            drop(self.by_due.remove(&(before, hold.owner())));
        }
        drop(self.by_due.insert((due, hold.owner()), Arc::clone(hold)));
    }

    fn remove(&mut self, hold: &Hold) {
        if let Some(due) = self.due_of.remove(&hold.owner()) {
            drop(self.by_due.remove(&(due, hold.owner())));
        }
        if self
            .by_name
            .get(hold.name())
            .is_some_and(|h| h.owner() == hold.owner())
        {
            drop(self.by_name.remove(hold.name()));
        }
    }
}

impl Schedule {
    fn inner(&self) -> MutexGuard<'_, ScheduleInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a new hold into care; `false` if the client was closed meanwhile.
    pub(crate) fn add(&self, hold: &Arc<Hold>) -> bool {
        let due = hold.wake_at();
        let mut inner = self.inner();
        if inner.closed {
            return false;
        }
        let is_sooner = inner.awake_at.is_none_or(|awake_at| due < awake_at);
        inner.longest_interval = inner.longest_interval.max(hold.interval());
        drop(inner.by_name.insert(hold.name().clone(), Arc::clone(hold)));
        inner.put(hold, due);
        if is_sooner {
            inner.awake_at = Some(due);
        }
        drop(inner);
        if is_sooner {
            self.changed.notify_one();
        }
        true
    }

    /// Takes a hold out of care: its guard ends it, or it is lost.
    pub(crate) fn remove(&self, hold: &Hold) {
        self.inner().remove(hold);
    }

    /// Ends a hold and takes the next of the same lease into care in its place, with its renewals
    /// and their answers; also returns the turn. `None` if the lease cannot pass on.
    pub(crate) fn pass(
        &self,
        hold: &Hold,
        token: FencingToken,
        since: Since,
    ) -> Option<(Arc<Hold>, Option<Turn>)> {
        // INVARIANT: as long as this is locked no answer reaches the hold, so none gets lost between
        // the two.
        let mut inner = self.inner();
        let due = inner.due_of.get(&hold.owner()).copied()?;
        let (next, turn) = hold.pass(token, since)?;
        drop(inner.by_due.insert((due, next.owner()), Arc::clone(&next)));
        drop(inner.by_name.insert(next.name().clone(), Arc::clone(&next)));
        Some((next, turn))
    }

    /// Tells the lease of this hold what became of a renewal, and has it looked at when its plan
    /// wants that; returns the hold that has it now, which is out of care if it is lost.
    fn answered(
        &self,
        hold: &Hold,
        outcome: Outcome,
        sent_at: Moment,
        now: Moment,
    ) -> Option<(Arc<Hold>, Step)> {
        let mut inner = self.inner();
        let due = inner.due_of.get(&hold.owner()).copied()?;
        let current = Arc::clone(inner.by_due.get(&(due, hold.owner()))?);
        let step = current.answered(outcome, sent_at, now)?;
        match step {
            Step::Lost { .. } => inner.remove(&current),
            Step::Sleep { until } => inner.put(&current, until),
            // Due again already: the next look sends it.
            Step::Renew => inner.put(&current, now),
        }
        Some((current, step))
    }

    /// The hold of this name that is in care.
    pub(crate) fn hold_of(&self, name: &LockName) -> Option<Arc<Hold>> {
        self.inner().by_name.get(name).cloned()
    }

    /// How many holds are in care.
    pub(crate) fn len(&self) -> usize {
        self.inner().by_due.len()
    }

    /// Refuses further holds and returns those in care.
    pub(crate) fn close(&self) -> Vec<Arc<Hold>> {
        let mut inner = self.inner();
        inner.closed = true;
        inner.by_name.clear();
        inner.due_of.clear();
        std::mem::take(&mut inner.by_due).into_values().collect()
    }

    /// When the driver has to look again; `None` is not before it is told to, or an answer comes.
    fn sleep(&self, now: Moment, has_room: bool) -> Option<Moment> {
        let mut inner = self.inner();
        let first = inner.by_due.first_key_value().map(|((due, _), _)| *due);
        let next = first.or(inner.awake_at.filter(|awake_at| *awake_at > now));
        inner.awake_at = next.filter(|_| has_room);
        inner.awake_at
    }

    /// Looks at the holds that are due, and at those near enough to join them; at no more of either
    /// than may be sent, the most urgent first.
    fn look(&self, now: Moment, room: usize) -> Due {
        let mut due = Due::default();
        let mut inner = self.inner();
        let Some(((first, _), _)) = inner.by_due.first_key_value() else {
            return due;
        };
        if *first > now {
            return due;
        }
        let horizon = now.after(slack(inner.longest_interval));
        let near: Vec<(Moment, Arc<Hold>)> = inner
            .by_due
            .range(..=(horizon, OwnerId::MAX))
            .take(room)
            .map(|((due, _), hold)| (*due, Arc::clone(hold)))
            .collect();
        for (was_due, hold) in near {
            let late = now.since(was_due);
            if late > due.late.0 {
                due.late = (late, Some(Arc::clone(&hold)));
            }
            match hold.look(now, slack(hold.interval())) {
                None => inner.remove(&hold),
                Some(Step::Sleep { until }) => inner.put(&hold, until),
                Some(Step::Renew) => {
                    inner.put(&hold, hold.wake_at());
                    due.renew.push(hold);
                }
                Some(Step::Lost { cause }) => {
                    inner.remove(&hold);
                    due.lost.push((hold, cause));
                }
            }
        }
        due
    }

    /// Notes by how much the driver came too late; what is too much is said once in a client's life.
    fn came_late(&self, late: Duration, hold: &Hold) {
        let nanos = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
        instrument::renewal_late(late);
        let _before: u64 = self.late_max_nanos.fetch_max(nanos, Ordering::Relaxed);
        if late > hold.interval() / STARVING_SHARE && !self.starved.swap(true, Ordering::Relaxed) {
            instrument::renewal_starved(hold, late);
        }
    }

    /// By how much the driver has come too late at worst.
    pub(crate) fn late_max(&self) -> Duration {
        Duration::from_nanos(self.late_max_nanos.load(Ordering::Relaxed))
    }

    /// A new driver takes over from one that is gone, perhaps with renewals under way.
    fn restart(&self) {
        let mut inner = self.inner();
        let holds: Vec<Arc<Hold>> = inner.by_due.values().cloned().collect();
        for hold in holds {
            hold.restart();
            let due = hold.wake_at();
            inner.put(&hold, due);
        }
    }

    /// Makes the named hold, or all of them, due now.
    fn suspect(&self, alarm: &Alarm, now: Moment) {
        let mut inner = self.inner();
        let suspects: Vec<Arc<Hold>> = match alarm {
            Alarm::Check(name) => inner.by_name.get(name).cloned().into_iter().collect(),
            Alarm::CheckAll => inner.by_due.values().cloned().collect(),
        };
        for hold in suspects {
            hold.suspect(now);
            let due = hold.wake_at();
            inner.put(&hold, due);
        }
    }
}

/// A renewal that is looked at so much of its interval too late is starving: two of them, and the
/// next that fails costs the lease.
const STARVING_SHARE: u32 = 2;

#[derive(Default)]
struct Due {
    /// By how much the driver came too late, and to whom.
    late: (Duration, Option<Arc<Hold>>),
    renew: Vec<Arc<Hold>>,
    lost: Vec<(Arc<Hold>, LossCause)>,
}

/// A batch that was sent, and what came back for each of its leases.
struct Answered {
    batch: Vec<Arc<Hold>>,
    sent_at: Moment,
    answers: Vec<Result<Renewal, Error>>,
}

/// Makes a connection to the store for renewals alone.
pub(crate) type Connect =
    Arc<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn LockBackend>, Error>> + Send + Sync>;

/// Renews until the client is closed or gone: by a connection of its own as soon as there is one, and
/// by the client's before that. Any client may renew a lease whose owner and token it knows.
pub(crate) async fn run(core: Arc<Core>, connect: Option<Connect>) {
    core.schedule.restart();
    let mut backend = Arc::clone(&core.backend);
    let mut own = connect.map(|connect| connect_own(&core, connect).boxed());
    let mut alarms: Alarms = core.backend.alarms();
    let mut alarms_open = true;
    let mut under_way: FuturesUnordered<BoxFuture<'_, Answered>> = FuturesUnordered::new();
    let mut leases_under_way: usize = 0;
    loop {
        let room = UNDER_WAY_MAX.saturating_sub(leases_under_way);
        let due = core.schedule.look(core.clock.now(), room);
        if let (late, Some(hold)) = due.late {
            core.schedule.came_late(late, &hold);
        }
        for (hold, cause) in due.lost {
            declare_lost(&core, &hold, cause);
        }
        for hold in due.renew.iter().filter(|hold| hold.is_between()) {
            core.queues.reclaim(hold.name(), hold.owner());
        }
        for batch in batches(due.renew, core.options.request_timeout()) {
            leases_under_way = leases_under_way.saturating_add(batch.len());
            under_way.push(send(&core, Arc::clone(&backend), batch).boxed());
        }
        // Without room nothing can be done before an answer comes, and a batch waits for it no longer
        // than its bound; a guard knows by itself when its time is over.
        let has_room = leases_under_way < UNDER_WAY_MAX;
        let next = core.schedule.sleep(core.clock.now(), has_room);
        tokio::select! {
            Some(answered) = under_way.next() => {
                leases_under_way = leases_under_way.saturating_sub(answered.batch.len());
                take_in(&core, answered);
            }
            () = core.schedule.changed.notified() => {}
            () = sleep_until(&*core.clock, next) => {}
            alarm = alarms.next(), if alarms_open => match alarm {
                Some(alarm) => core.schedule.suspect(&alarm, core.clock.now()),
                None => alarms_open = false,
            },
            Some(connected) = connected(&mut own) => {
                own = None;
                // A store pushes to the client that took the lock, or to the one that renewed it last.
                alarms = stream::select(alarms, connected.alarms()).boxed();
                alarms_open = true;
                backend = connected;
            }
            () = core.closed() => return,
        }
    }
}

/// Resolves when the connection stands; `None` if there is none to wait for.
async fn connected<F: Future + Unpin>(own: &mut Option<F>) -> Option<F::Output> {
    match own {
        Some(connecting) => Some(connecting.await),
        None => None,
    }
}

/// Connects, again and again until it succeeds.
async fn connect_own(core: &Core, connect: Connect) -> Arc<dyn LockBackend> {
    let (shortest, longest) = core.options.poll();
    let mut backoff = Backoff::new(shortest, longest);
    let mut was_said = false;
    loop {
        match connect().await {
            Ok(backend) => return backend,
            Err(error) if !was_said => instrument::renewals_share(&error),
            Err(_) => {}
        }
        was_said = true;
        let next = core.clock.now().after(backoff.next(&*core.entropy));
        core.clock.sleep_until(next).await;
    }
}

/// How many times longer the time to be answered may be of one lease than of another in its batch: a
/// batch has that of the shortest, and a store that is fast enough for a long lease must not cost it
/// because of a short one.
const BOUND_SPREAD_MAX: u32 = 2;

/// Puts together what is to be renewed: no more leases than one request renews, and such as give the
/// store about the same time to answer.
fn batches(holds: Vec<Arc<Hold>>, longest: Duration) -> Vec<Vec<Arc<Hold>>> {
    let bound = |hold: &Arc<Hold>| hold.interval().min(longest);
    let mut bounded: Vec<(Duration, Arc<Hold>)> =
        holds.into_iter().map(|hold| (bound(&hold), hold)).collect();
    bounded.sort_by_key(|(bound, _)| *bound);
    let mut batches: Vec<Vec<Arc<Hold>>> = Vec::new();
    let mut most = Duration::ZERO;
    for (bound, hold) in bounded {
        match batches.last_mut() {
            Some(batch) if bound <= most && batch.len() < BATCH_MAX => batch.push(hold),
            _ => {
                most = bound.saturating_mul(BOUND_SPREAD_MAX);
                batches.push(vec![hold]);
            }
        }
    }
    batches
}

/// Sends one batch. It is given no longer than the shortest renew interval in it, so that the next
/// try comes in time.
async fn send(core: &Core, backend: Arc<dyn LockBackend>, batch: Vec<Arc<Hold>>) -> Answered {
    let requests: Vec<Renew> = batch
        .iter()
        .map(|hold| hold.renew_request().clone())
        .collect();
    let limit = batch
        .iter()
        .map(|hold| hold.interval())
        .fold(core.options.request_timeout(), Duration::min);
    // Read before sending: delay can only shorten what we believe we hold (C4).
    let sent_at = core.clock.now();
    let call = backend
        .renew(&requests)
        .instrument(instrument::renew_span(requests.len()));
    let answers = tokio::select! {
        biased;
        answers = call => answers,
        () = core.clock.sleep_until(sent_at.after(limit)) => {
            batch.iter().map(|_| Err(no_answer(limit))).collect()
        }
    };
    Answered {
        batch,
        sent_at,
        answers,
    }
}

fn take_in(core: &Core, answered: Answered) {
    let Answered {
        batch,
        sent_at,
        answers,
    } = answered;
    debug_assert_eq!(batch.len(), answers.len(), "a backend answers each renewal");
    let mut answers = answers.into_iter();
    for hold in batch {
        let now = core.clock.now();
        let answer = answers
            .next()
            .unwrap_or_else(|| Err(no_answer(Duration::ZERO)));
        let outcome = match &answer {
            Ok(Renewal::Renewed { .. }) => Outcome::Renewed,
            Ok(Renewal::Lost { cause }) => Outcome::Lost { cause: *cause },
            Err(_) => Outcome::Failed,
        };
        let Some((hold, step)) = core.schedule.answered(&hold, outcome, sent_at, now) else {
            continue;
        };
        if let (Err(error), Step::Sleep { .. }) = (&answer, step) {
            instrument::renewal_failed(&hold, hold.valid_until().since(now), error);
        }
        if let Step::Lost { cause } = step {
            declare_lost(core, &hold, cause);
        }
    }
}

/// Tells a guard that its lease is lost, frees the turn, and, where only our own clock says so,
/// releases at the store what may still be ours there.
pub(crate) fn declare_lost(core: &Core, hold: &Hold, cause: LossCause) {
    let (news, turn) = hold.lose(cause);
    if !news {
        return;
    }
    instrument::lost(hold, cause);
    instrument::hold_ended(hold, "lost", &*core.clock);
    if matches!(cause, LossCause::Expired | LossCause::Closed) {
        reaper::abandon(core, hold, turn);
    }
}

#[cfg(test)]
mod tests;
