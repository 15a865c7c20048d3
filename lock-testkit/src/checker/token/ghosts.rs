//! Leases whose grant nobody saw, and which something may have ended at any time: they explain
//! refusals at no cost to anybody else.
//!
//! An acquire of unknown effect together with a release of an unseen lease can be a lease of any
//! length in a gap between two leases that are known. A run that places them so is a run of the
//! specification, so what they explain is right; what they do not is left to the general checker.

use super::Part;
use super::gather::Lease;
use crate::history::{Operation, Outcome, Step};

/// An acquire of unknown effect, and a release that may have ended its lease.
#[derive(Clone, Copy, Debug)]
struct Ghost {
    /// When it was invoked, and when it returned.
    acquire: (u64, u64),
    release: (u64, u64),
    used: Option<Place>,
}

/// Where a ghost's lease is: in the gap after this token, as long as that lasts.
#[derive(Clone, Copy, Debug)]
struct Place {
    after: u64,
    from: u64,
    to: u64,
}

/// All of them, with what they explain in this pass.
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    ghosts: Vec<Ghost>,
}

impl Ghosts {
    pub(super) fn new(part: Part<'_>) -> Self {
        let is_ghost = |o: &Operation| o.step == Step::Acquire && o.outcome == Outcome::Unknown;
        let mut acquires: Vec<&Operation> = Vec::new();
        let mut releases: Vec<(bool, &Operation)> = Vec::new();
        for (_, operation) in part.iter() {
            let ends_unseen = operation.step == Step::Release
                && operation.token == 0
                && matches!(operation.outcome, Outcome::Done | Outcome::Unknown);
            if is_ghost(operation) {
                acquires.push(operation);
            } else if ends_unseen {
                releases.push((false, operation));
            }
        }
        let mut ghosts = Vec::new();
        for acquire in acquires {
            let fits = |release: &Operation| {
                (release.client, release.task) == (acquire.client, acquire.task)
                    && release.returned >= acquire.invoked
            };
            let release = releases
                .iter_mut()
                .filter(|(taken, release)| !taken && fits(release))
                .min_by_key(|(_, release)| release.invoked.abs_diff(acquire.invoked));
            if let Some((taken, release)) = release {
                *taken = true;
                ghosts.push(Ghost {
                    acquire: (acquire.invoked, acquire.returned),
                    release: (release.invoked, release.returned),
                    used: None,
                });
            }
        }
        Self { ghosts }
    }

    /// Nothing is explained yet.
    pub(super) fn forget(&mut self) {
        for ghost in &mut self.ghosts {
            ghost.used = None;
        }
    }

    /// Whether one of them explains this refusal, between these two leases.
    pub(super) fn explain(
        &mut self,
        refused: &Operation,
        before: Option<&Lease>,
        after: Option<&Lease>,
    ) -> bool {
        if self.ghosts.is_empty() {
            return false;
        }
        let (ended, token) = before.map_or((0, 0), |lease| (lease.end, lease.token));
        let (starts, next) = after.map_or((u64::MAX, u64::MAX), |lease| (lease.start, lease.token));
        let meets = |place: Place| place.from <= refused.returned && refused.invoked <= place.to;
        let used = || self.ghosts.iter().filter_map(|ghost| ghost.used);
        let here = || used().filter(|place| place.after == token);
        if here().any(meets) {
            return true;
        }
        // One after the other, and each has a token of its own.
        let ended = here().map(|place| place.to).fold(ended, u64::max);
        let tokens = next.saturating_sub(token).saturating_sub(1);
        if u64::try_from(here().count()).map_or(true, |used| used >= tokens) {
            return false;
        }
        let place = |ghost: &Ghost| {
            let place = Place {
                after: token,
                from: ended.max(ghost.acquire.0),
                to: starts.min(ghost.release.1),
            };
            let can_start = place.from <= ghost.acquire.1;
            let can_end = place.to >= ghost.release.0 && place.from <= place.to;
            (can_start && can_end && meets(place)).then_some(place)
        };
        for ghost in &mut self.ghosts {
            if ghost.used.is_none() {
                ghost.used = place(ghost);
                if ghost.used.is_some() {
                    return true;
                }
            }
        }
        false
    }
}
