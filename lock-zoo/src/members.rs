//! The members, by what they break.

mod leases;
mod liveness;
mod owners;
mod relays;
mod tokens;
mod values;

use lock_testkit::StepKind;
use lock_testkit::plan::{End, Mix};

use crate::member::Member;

/// All members.
pub fn members() -> impl Iterator<Item = &'static Member> {
    let groups = [
        tokens::MEMBERS,
        owners::MEMBERS,
        leases::MEMBERS,
        values::MEMBERS,
        liveness::MEMBERS,
        relays::MEMBERS,
    ];
    groups.into_iter().flatten()
}

/// The member of this name.
#[must_use]
pub fn member(id: &str) -> Option<&'static Member> {
    members().find(|member| member.id == id)
}

/// One task of one client at a time, and nothing goes wrong.
fn alone(mut mix: Mix) -> Mix {
    (mix.clients, mix.tasks) = (1, 1);
    mix.calm()
}

/// Clients of one task each: what one does to another is never between tasks of one client.
fn one_task(mut mix: Mix) -> Mix {
    mix.tasks = 1;
    mix
}

/// Clients of one task each, and nothing goes wrong.
fn single_tasks(mix: Mix) -> Mix {
    one_task(mix).calm()
}

/// Replies to acquires are late, and clients stand still.
fn slow(mix: Mix) -> Mix {
    let mut mix = mix.calm().ttl_ms(50);
    (mix.calls, mix.freezes, mix.faults) = (vec![StepKind::Acquire], true, 12);
    mix
}

/// Leases end in these ways.
fn ending(mut mix: Mix, ends: &[(u32, End)]) -> Mix {
    mix.ends = ends.to_vec();
    mix
}
