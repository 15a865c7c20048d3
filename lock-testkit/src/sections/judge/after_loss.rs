//! SV-2: what a lock guards is used only while the lock is held.

use super::super::evidence::{Access, Evidence, Use, seconds};
use super::super::rule::Rule;
use super::super::verdict::Finding;
use crate::recording::Ending;

pub(super) fn find(evidence: &Evidence<'_>) -> Vec<Finding> {
    // Who goes on after a loss goes on for long: one finding for all that one did to one thing.
    let mut firsts: Vec<(&Use, Finding, usize)> = Vec::new();
    for used in &evidence.inner.uses {
        let why = match (used.token, used.access) {
            (_, Access::Refused) | (None, Access::Read) => None,
            (None, Access::Write) => unguarded(evidence, used),
            (Some(token), Access::Read | Access::Write) => stale(evidence, used, token),
        };
        let Some(why) = why else { continue };
        let who = |used: &Use| (used.resource.clone(), used.token, used.task);
        match firsts.iter_mut().find(|first| who(first.0) == who(used)) {
            Some((_, _, more)) => *more = more.saturating_add(1),
            None => firsts.push((used, finding(evidence, used, &why), 0)),
        }
    }
    let all = firsts.into_iter().map(|(_, mut finding, more)| {
        if more > 0 {
            finding
                .what
                .push_str(&format!("; {more} more uses followed"));
        }
        finding
    });
    all.collect()
}

fn finding(evidence: &Evidence<'_>, used: &Use, why: &str) -> Finding {
    let did = match used.access {
        Access::Write => "written to",
        Access::Read | Access::Refused => "read from",
    };
    Finding {
        rule: Rule::Sv2,
        who: evidence.holder(&used.lock, used.token, used.task),
        lock: used.lock.to_string(),
        token: used.token,
        at_ns: used.at,
        what: format!("{:?} was {did} {:?}, but {why}", used.what, used.resource),
    }
}

/// Why nobody who writes without a token holds the lock.
fn unguarded(evidence: &Evidence<'_>, used: &Use) -> Option<String> {
    let is_held = evidence.held().iter().any(|belief| {
        evidence.history.key_name(belief.key) == &*used.lock
            && (used.task == 0 || belief.task == used.task)
            && (belief.from..belief.until).contains(&used.at)
    });
    (!is_held).then(|| "whoever wrote it did not hold the lock".to_owned())
}

/// Why a token must not be used any more.
fn stale(evidence: &Evidence<'_>, used: &Use, token: u64) -> Option<String> {
    let Some(lease) = evidence.lease(&used.lock, token) else {
        return Some("this token was never granted for this lock".to_owned());
    };
    let Some(belief) = lease.belief else {
        return Some("the grant of this token came too late to be used".to_owned());
    };
    if used.at >= belief.until {
        let how = how(evidence.ending(&used.lock, token));
        return Some(format!("{how} at {}", seconds(belief.until)));
    }
    // Whoever was forced out is told a moment later. Until the next holder comes, no harm is done.
    let mut before = evidence.inner.uses.iter().filter(|other| {
        other.resource == used.resource
            && other.access != Access::Refused
            && other.at < used.at
            && other.token > Some(token)
    });
    let other = before.next()?;
    Some(format!(
        "{:?} had been used under the larger token {} at {}, and must refuse smaller ones from then \
         on: the holder cannot know yet that it lost the lock",
        used.resource,
        other.token.unwrap_or_default(),
        seconds(other.at)
    ))
}

/// How the belief in a lease ended.
const fn how(ending: Option<Ending>) -> &'static str {
    match ending {
        Some(Ending::GivenUp) => "the lock had been given up",
        Some(Ending::Lost) => "the store had said that the lease is lost",
        Some(Ending::RanOut) | None => "the lease had run out, by the holder's own clock,",
    }
}
