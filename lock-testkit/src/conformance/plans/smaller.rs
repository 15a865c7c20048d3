//! Plans that are one step smaller than another.

use crate::plan::{Act, Plan, Work};

/// Plans that are smaller by a client, a task, a fault, half the acts, an act, or its work; the
/// boldest first.
pub(super) fn candidates(plan: &Plan) -> Vec<Plan> {
    let mut smaller = Vec::new();
    for client in 0..plan.clients.len() {
        // The place stays, so that faults keep their meaning.
        smaller.extend(with(plan, |plan| {
            std::mem::take(plan.clients.get_mut(client)?)
                .first()
                .map(drop)
        }));
    }
    for fault in 0..plan.faults.len() {
        smaller.extend(with(plan, |plan| {
            let _gone = plan.faults.remove(fault);
            Some(())
        }));
    }
    for (client, tasks) in plan.clients.iter().enumerate() {
        for (task, acts) in tasks.iter().enumerate() {
            if tasks.len() > 1 {
                smaller.extend(with(plan, |plan| {
                    drop(plan.clients.get_mut(client)?.remove(task));
                    Some(())
                }));
            }
            let half = acts.len() / 2;
            let of = |plan: &mut Plan, change: &dyn Fn(&mut Vec<Act>)| {
                change(plan.clients.get_mut(client)?.get_mut(task)?);
                Some(())
            };
            if half > 0 {
                smaller.extend(with(plan, |plan| of(plan, &|acts| acts.truncate(half))));
            }
            for act in 0..acts.len() {
                let remove = |acts: &mut Vec<Act>| drop(acts.remove(act));
                smaller.extend(with(plan, |plan| of(plan, &remove)));
            }
            for (act, was) in acts.iter().enumerate() {
                let idle = |acts: &mut Vec<Act>| {
                    if let Some(Act::Hold { work, .. }) = acts.get_mut(act) {
                        work.retain(|work| matches!(work, Work::Keep { .. }));
                    }
                };
                if matches!(was, Act::Hold { .. }) {
                    smaller.extend(with(plan, |plan| of(plan, &idle)));
                }
            }
        }
    }
    smaller
}

/// The plan after this change; `None` if nothing changes.
fn with(plan: &Plan, change: impl FnOnce(&mut Plan) -> Option<()>) -> Option<Plan> {
    let mut changed = plan.clone();
    change(&mut changed)?;
    (changed != *plan).then_some(changed)
}

#[cfg(test)]
mod tests;
