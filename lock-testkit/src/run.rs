//! Runs a [`Plan`] against a [`Subject`] and records what happens.
//!
//! First comes the phase of the plan, with its faults; then everything is healed, what is still under
//! way arrives or is given up, and every client takes every lock once more: whoever still cannot be
//! granted then is a matter of liveness.
//!
//! The value of each lock is the list of the tokens under which it was written, so that one read
//! shows the order of all commits (after Elle: Kingsbury, Alvaro, "Elle: Inferring Isolation
//! Anomalies from Experimental Observations", VLDB 2020).
//!
//! # Invariants
//! 1. The stamp of an invocation is taken before the call, that of a return after it.
//! 2. An outcome that nobody knows is never recorded as known. What the link can tell is used: a call
//!    of which nothing was sent had no effect, and one of which nothing is under way any more can
//!    have none from then on.
//! 3. The runner itself never waits without a bound.

mod clock;
mod disturb;
mod player;

use std::sync::Arc;
use std::time::Duration;

use lock_core::Clock;
use tokio::task::JoinSet;

use crate::SetupError;
use crate::history::{History, Recorder};
use crate::plan::{Act, End, Plan, Work};
use crate::subject::{Subject, Traits};
use clock::VirtualClock;
use disturb::Disturber;
use player::Player;

/// Runs a plan and returns what was recorded.
///
/// # Errors
/// If the world cannot be provided, or if the run does not end.
pub async fn run(
    plan: &Plan,
    subject: &dyn Subject,
    clock: Arc<dyn Clock>,
) -> Result<History, SetupError> {
    let world: Arc<dyn crate::subject::World> =
        subject.world(plan.seed, Arc::clone(&clock)).await?.into();
    let traits = subject.traits();
    let stage = Stage {
        line: traits.capabilities.line,
        prefix: world.prefix().into(),
        recorder: Arc::new(Recorder::new(Arc::clone(&clock))),
        clock: Arc::clone(&clock),
        ttl: Duration::from_millis(plan.ttl_ms),
    };
    let disturber = Disturber::new(plan, Arc::clone(&world), &stage).await?;
    let ends = async {
        let disturbing = disturber.start(plan, &stage);
        let mut tasks = JoinSet::new();
        for (client, scripts) in (0_u32..).zip(&plan.clients) {
            for (task, script) in (0_u16..).zip(scripts) {
                let player = Player::new(&stage, &disturber, client, task);
                drop(tasks.spawn(player.play(script.clone())));
            }
        }
        finish(tasks).await?;
        disturbing.stop().await?;
        disturber.heal(&stage).await?;
        let mut tasks = JoinSet::new();
        for (client, _) in (0_u32..).zip(&plan.clients) {
            let player = Player::new(&stage, &disturber, client, 0);
            drop(tasks.spawn(player.play(healed(plan, client, &traits))));
        }
        finish(tasks).await?;
        let Some(most) = traits.overtaken else {
            return Ok(());
        };
        let mut tasks = JoinSet::new();
        for (client, scripts) in (0_u32..).zip(&plan.clients) {
            for (task, _) in (0_u16..).zip(scripts) {
                let player = Player::new(&stage, &disturber, client, task);
                drop(tasks.spawn(player.play(turns(plan, most))));
            }
        }
        finish(tasks).await
    };
    let until = clock.now().after(RUN_MAX);
    tokio::select! {
        biased;
        ended = ends => ended?,
        () = clock.sleep_until(until) => {
            return Err(SetupError::new(format!(
                "a run did not end within {} s: a client of {} hangs on the plan {}",
                RUN_MAX.as_secs(),
                subject.name(),
                plan.to_line()
            )));
        }
    }
    Ok(stage.recorder.history())
}

/// Runs a plan in virtual time, on this thread. The same plan gives the same history.
///
/// # Errors
/// As [`run`].
pub fn run_virtual(plan: &Plan, subject: &dyn Subject) -> Result<History, SetupError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|e| SetupError::new("cannot start a runtime").with_source(e))?;
    runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
        run(plan, subject, clock).await
    })
}

/// What every player needs.
#[derive(Clone)]
struct Stage {
    /// Whether who waits stands in a line at the store, and may be granted after it went away.
    line: bool,
    /// What every name begins with.
    prefix: Arc<str>,
    recorder: Arc<Recorder>,
    clock: Arc<dyn Clock>,
    ttl: Duration,
}

impl Stage {
    async fn sleep(&self, length: Duration) {
        if !length.is_zero() {
            self.clock.sleep_until(self.clock.now().after(length)).await;
        }
    }
}

async fn finish(mut tasks: JoinSet<()>) -> Result<(), SetupError> {
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|e| SetupError::new("a client panicked").with_source(e))?;
    }
    Ok(())
}

/// What a client does when nothing is at fault any more. Where there is a line, they come one after
/// the other and hold the lock for long enough that turns can be told.
fn healed(plan: &Plan, client: u32, traits: &Traits) -> Vec<Act> {
    let has_line = traits.capabilities.line;
    let eighth_ms = plan.ttl_ms / 8;
    let hold = |key| Act::Hold {
        key,
        wait_ms: healed_wait_ms(plan.ttl_ms),
        work: vec![Work::Keep {
            ms: if has_line {
                eighth_ms.saturating_mul(2)
            } else {
                1
            },
        }],
        end: if traits.state {
            End::Commit
        } else {
            End::Release
        },
    };
    let mut acts = Vec::new();
    if has_line {
        let ms = eighth_ms.saturating_mul(client.into());
        acts.push(Act::Rest { ms });
    }
    acts.extend((0..plan.keys).map(hold));
    if traits.state {
        acts.extend((0..plan.keys).map(|key| Act::Peek { key }));
    }
    acts
}

/// What each task of a client does where leases pass on: so many short turns that two of them alone
/// overtake for twice as often as they may.
fn turns(plan: &Plan, most: u32) -> Vec<Act> {
    let turn = Act::Hold {
        key: 0,
        wait_ms: healed_wait_ms(plan.ttl_ms),
        work: vec![Work::Keep {
            ms: plan.ttl_ms / 80,
        }],
        end: End::Release,
    };
    vec![turn; usize::try_from(most).unwrap_or(usize::MAX)]
}

/// For how long everybody waits in the healed phase.
pub(crate) const fn healed_wait_ms(ttl_ms: u64) -> u64 {
    ttl_ms
        .saturating_mul(HEALED_WAIT_TTLS)
        .saturating_add(HEALED_WAIT_MS)
}

/// No run takes longer, whatever its clients do.
const RUN_MAX: Duration = Duration::from_secs(300);

/// In the healed phase everybody waits for so many ttls, and so many milliseconds more.
const HEALED_WAIT_TTLS: u64 = 8;
const HEALED_WAIT_MS: u64 = 2_000;
