//! What is wrong with the history of a plan.

use std::time::Duration;

use super::{Class, TTL, forgets};
use crate::checker::liveness::Limits;
use crate::conformance::case::Broken;
use crate::history::{History, Outcome, Step};
use crate::judge::{self, Rules};
use crate::run::healed_wait_ms;
use crate::spec::{Bound, Property, Verdict, Violation};
use crate::subject::Traits;

/// What is wrong with the history, if anything. `delay` is how late a task that is ready runs at most.
pub(super) fn judge(
    history: &History,
    class: &Class,
    traits: &Traits,
    delay: Duration,
) -> Result<Option<Violation>, Broken> {
    if let Some(violation) = tokens(history) {
        return Ok(Some(violation));
    }
    if forgets(class, traits.capabilities.durability) {
        return Ok(None);
    }
    let rules = Rules::of(traits, !class.is_untimed).budget(BUDGET);
    let rules = match class.is_untimed {
        // Whoever trusts a clock that jumps is deceived, and nobody can say for how long.
        true => rules.without(Property::Me2),
        false => rules.limits(limits(traits, delay)),
    };
    match judge::judge(history, &rules) {
        Verdict::Valid => Ok(None),
        Verdict::Invalid(violation) => Ok(Some(violation)),
        Verdict::Undecided { steps } => Err(Broken::new(format!(
            "a history was not decided within {steps} steps"
        ))),
    }
}

/// Whether a machine that is late may seem to break the property once: those of liveness, and that a
/// grant is not handed out too late, since time passes between the client's look at its clock and
/// the record of it.
pub(super) const fn is_of_time(property: Property) -> bool {
    matches!(
        property,
        Property::Ls2
            | Property::Lv1
            | Property::Lv2
            | Property::Lv3
            | Property::Lv4
            | Property::Lv5
    )
}

/// How long a lock may stand still on a real store with nothing at fault.
fn limits(traits: &Traits, delay: Duration) -> Limits {
    let ns = |length: Duration| u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    let claim = match traits.capabilities.line {
        true => CLAIM,
        false => Duration::ZERO,
    };
    // Where nothing is pushed a step client polls far more often than this.
    let poll = claim.saturating_add(TTL);
    let mut limits = Limits::new(ns(ATTEMPT), ns(poll));
    if traits.capabilities.push {
        let wake = claim.saturating_add(ATTEMPT.saturating_mul(3));
        limits = limits.push(ns(wake));
    }
    limits.granularity_ns = limits.granularity_ns.saturating_add(ns(traits.granularity));
    limits.delayed(ns(delay))
}

/// Whether a machine on which tasks are so late still shows that somebody waits for too long: what it
/// must wait for to be sure ends before the waiting does.
pub(super) fn can_judge_waiting(traits: &Traits, delay: Duration) -> bool {
    let limits = limits(traits, delay);
    let ttl_ms = u64::try_from(TTL.as_millis()).unwrap_or(u64::MAX);
    let waited = healed_wait_ms(ttl_ms).saturating_mul(1_000_000);
    limits.wake_ns.max(limits.stall()) < waited
}

/// Tokens increase over everything, also over what makes a store forget (C2): no grant that began
/// after another had returned has a token that is not larger.
fn tokens(history: &History) -> Option<Violation> {
    for (_, members) in history.by_key() {
        let operations = members.iter().filter_map(|at| {
            let at = usize::try_from(*at).ok()?;
            Some((at, history.operations().get(at)?))
        });
        let mut grants: Vec<_> = operations
            .filter(|(_, o)| o.step == Step::Acquire && o.outcome == Outcome::Done)
            .collect();
        grants.sort_by_key(|(_, grant)| grant.token);
        // The latest invocation among the smaller tokens must not be after the return of a larger.
        let mut latest: Option<(usize, u64, u64)> = None;
        for (at, grant) in grants {
            if let Some((before, invoked, token)) = latest {
                if token == grant.token {
                    let culprits = [before, at];
                    return Some(Violation::new(Property::Tk2, Bound::Untimed, &culprits));
                }
                if invoked > grant.returned {
                    let culprits = [at, before];
                    return Some(Violation::new(Property::Tk1, Bound::Untimed, &culprits));
                }
            }
            if latest.is_none_or(|(_, invoked, _)| grant.invoked >= invoked) {
                latest = Some((at, grant.invoked, grant.token));
            }
        }
    }
    None
}

/// The most steps that the general checker may take on a key.
const BUDGET: u64 = 3_000_000;

/// One call on a real store, a new connection included.
const ATTEMPT: Duration = Duration::from_millis(250);

/// For how long a release may keep the lock for who stands in line and is gone.
const CLAIM: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
