//! Every member is caught by the rule that names its defect, every rule is needed, and nothing is
//! found where nothing is broken.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails does so aloud"
)]

use std::collections::BTreeSet;

use lock_testkit::report::{Report, core};
use lock_testkit::spec::Property;
use lock_zoo::table::{dead_rules, false_alarm};
use lock_zoo::{CASES, Member, SEED, members};

fn cases(default: u32) -> u32 {
    let asked = std::env::var("LOCK_TESTKIT_CASES").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Every member of the group: tests of groups run side by side.
fn each(group: usize, check: impl Fn(&Member)) {
    for member in members().skip(group).step_by(GROUPS) {
        check(member);
    }
}

const GROUPS: usize = 2;

fn is_caught(member: &Member) {
    let Member { id, property, .. } = member;
    let found = member.hunt(SEED, CASES).unwrap();
    let found = found.unwrap_or_else(|| panic!("{id} was not caught"));
    let report = Report::new(&found.history, &found.violation);
    assert_eq!(found.violation.property, *property, "{id}:\n{report}");
    let shown = core(&found.history, &found.violation).len();
    assert!(shown <= 6, "{id}: {shown} operations\n{report}");
    // What was found is found again by whoever has the plan.
    let again = lock_testkit::run::run_virtual(&found.plan, &*member.subject()).unwrap();
    let again = lock_zoo::verdict(&again, &member.judged_by());
    assert_eq!(again, Some(found.violation), "{id}");
}

#[test]
fn every_member_is_caught_by_the_rule_that_names_its_defect() {
    each(0, is_caught);
}

#[test]
fn every_other_member_is_too() {
    each(1, is_caught);
}

#[test]
fn there_is_a_member_for_every_rule_that_lives_without_it() {
    assert_eq!(dead_rules(), []);
    let mut alive = BTreeSet::new();
    for member in members().filter(|member| member.is_alone) {
        let found = member.found_without_its_rule(SEED, cases(200)).unwrap();
        if let Some((violation, history)) = found {
            let report = Report::new(&history, &violation);
            panic!("{} without {}:\n{report}", member.id, member.property);
        }
        alive.insert(member.property);
    }
    assert_eq!(alive.len(), Property::ALL.len());
}

fn is_quiet(member: &Member) {
    let found = false_alarm(member, cases(50)).unwrap();
    assert_eq!(found, None, "by the plans and rules of {}", member.id);
}

#[test]
fn nothing_is_found_on_the_same_plans_where_nothing_is_broken() {
    each(0, is_quiet);
}

#[test]
fn nor_on_those_of_the_others() {
    each(1, is_quiet);
}

#[test]
fn members_have_names_of_their_own_and_say_what_goes_wrong() {
    let ids: BTreeSet<&str> = members().map(|member| member.id).collect();
    assert_eq!(ids.len(), members().count());
    assert!(ids.len() >= 26);
    for member in members() {
        let is_kebab = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(member.id.chars().all(is_kebab), "{}", member.id);
        assert!(member.what.ends_with('.') && !member.what.contains('|'));
    }
}
