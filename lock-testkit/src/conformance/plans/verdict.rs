//! What is wrong with the history of a plan.

use super::{Class, forgets};
use crate::checker::token;
use crate::conformance::case::Broken;
use crate::history::{History, Outcome, Step};
use crate::spec::{Bound, Property, Verdict, Violation};
use crate::subject::Traits;

/// What is wrong with the history, if anything.
pub(super) fn judge(
    history: &History,
    class: &Class,
    traits: &Traits,
) -> Result<Option<Violation>, Broken> {
    if let Some(violation) = tokens(history) {
        return Ok(Some(violation));
    }
    if forgets(class, traits.capabilities.durability) {
        return Ok(None);
    }
    let granularity = u64::try_from(traits.granularity.as_nanos()).unwrap_or(u64::MAX);
    let bound = if class.is_untimed {
        Bound::Untimed
    } else {
        Bound::timed(500, granularity.saturating_add(1_000_000))
    };
    match token::check(history, bound, BUDGET) {
        Verdict::Valid => Ok(None),
        Verdict::Invalid(violation) => Ok(Some(violation)),
        Verdict::Undecided { steps } => Err(Broken::new(format!(
            "a history was not decided within {steps} steps"
        ))),
    }
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
