use super::candidates;
use crate::hunt::Plans;
use crate::plan::{Mix, Plan};
use crate::subject::Traits;

fn size(plan: &Plan) -> usize {
    plan.to_line().len()
}

#[test]
fn every_candidate_is_a_plan_and_smaller() {
    let traits = Traits::of(lock_core::Capabilities::none());
    for plan in Plans::new(&Mix::served(&traits), 3).take(100) {
        for smaller in candidates(&plan) {
            assert!(size(&smaller) < size(&plan), "{}", plan.to_line());
            assert_eq!(Plan::from_line(&smaller.to_line()).as_ref(), Ok(&smaller));
        }
    }
}

#[test]
fn nothing_is_left_to_make_smaller_in_the_end() {
    let traits = Traits::of(lock_core::Capabilities::none());
    for plan in Plans::new(&Mix::served(&traits), 4).take(20) {
        let mut plan = plan;
        while let Some(smaller) = candidates(&plan).pop() {
            plan = smaller;
        }
        assert!(plan.faults.is_empty());
        assert_eq!(plan.clients.iter().flatten().flatten().count(), 0);
    }
}
