//! Broken locks on real servers: the cheapest of each kind. `cargo xtask zoo --served` has them all.

use lock_testkit::report::{Report, core};
use lock_zoo::served::{Hunted, served_member, served_members};

/// Drives a member and its control by the member's plan.
async fn caught(id: &str) {
    let member = served_member(id).unwrap();
    let hunted = member.hunt().await.unwrap();
    if let Some(complaint) = hunted.complaint(member) {
        panic!("{complaint}\n{}", told(&hunted));
    }
    let found = hunted.finding.as_ref().unwrap();
    let shown = core(&found.history, &found.violation).len();
    assert!(shown <= 6, "{shown} operations\n{}", told(&hunted));
}

fn told(hunted: &Hunted) -> String {
    let found = hunted.finding.as_ref();
    found.map_or(String::new(), |found| {
        Report::new(&found.history, &found.violation).to_string()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_of_the_tutorials_lets_a_third_one_in() {
    caught("tutorial-bare-del").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_an_expiry_is_kept_for_ever() {
    caught("setnx-then-expire").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_told_as_a_refusal_is_found_out() {
    caught("timeout-is-refused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_persistence_is_not_durable() {
    caught("redis-no-persistence").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_advisory_lock_through_a_pooler_lets_two_in() {
    caught("advisory-through-pooler").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_rounded_down_ends_too_soon() {
    caught("etcd-whole-seconds").await;
}

#[test]
fn members_on_real_servers_have_names_of_their_own_and_say_what_goes_wrong() {
    let mut ids: Vec<&str> = served_members().iter().map(|member| member.id).collect();
    ids.extend(lock_zoo::members().map(|member| member.id));
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    for member in served_members() {
        assert!(member.what.ends_with('.') && !member.what.contains('|'));
    }
}
