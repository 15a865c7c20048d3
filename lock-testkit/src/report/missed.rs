//! By how much a bound was missed.

use super::lease::is_grant;
use crate::history::{History, Operation, Outcome, Step};
use crate::spec::{Property, Violation};

/// How much more the clocks must have erred for a lease to be legally as short as the culprits show,
/// in nanoseconds; `None` where no clock could make it legal.
pub(super) fn missed_ns(history: &History, violation: &Violation) -> Option<u64> {
    if !matches!(
        violation.property,
        Property::Ls1 | Property::Ls3 | Property::Me1
    ) {
        return None;
    }
    let culprits = violation.culprits.iter();
    let culprits: Vec<&Operation> = culprits
        .filter_map(|at| history.operations().get(*at))
        .collect();
    let promises = culprits
        .iter()
        .filter(|of| is_grant(of) || (of.step, of.outcome) == (Step::Renew, Outcome::Done));
    let missed = promises.flat_map(|lease| {
        let promised = lease
            .invoked
            .saturating_add(violation.bound.at_least(lease.ttl_ns));
        let shows_over = |of: &&&Operation| {
            let displaced = of.token > lease.token && of.outcome == Outcome::Done;
            let told = of.token == lease.token && of.outcome == Outcome::Refused;
            of.key == lease.key && (displaced || told)
        };
        let overs = culprits.iter().filter(shows_over);
        overs.filter_map(move |of| promised.checked_sub(of.returned))
    });
    missed.max().filter(|missed| *missed > 0)
}
