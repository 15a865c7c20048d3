//! What lock-testkit finds, and what it does not.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use lock_core::SystemClock;
use lock_testkit::hunt::Plans;
use lock_testkit::plan::{Mix, Plan};
use lock_testkit::proxy::{Fault, Then};
use lock_testkit::run::run;
use lock_testkit::spec::{Property, Verdict};
use lock_testkit::subject::Subject;
use rslock_wrapped::{EXTENDS, Rslock, lost_extension, verdict};
use tokio::task::JoinSet;

/// The verdicts of these plans, which run at once.
async fn verdicts(subject: Rslock, plans: Vec<Plan>) -> Vec<Verdict> {
    let subject = Arc::new(subject);
    let mut runs = JoinSet::new();
    for plan in plans {
        let subject = Arc::clone(&subject);
        runs.spawn(async move {
            let history = run(&plan, &*subject, Arc::new(SystemClock::new())).await;
            let verdict = verdict(&history.expect("a run ends"));
            if verdict != Verdict::Valid {
                println!("{verdict:?}: {}", plan.to_line());
            }
            verdict
        });
    }
    runs.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_lost_reply_of_an_extension_two_clients_believe_that_they_hold() {
    let subject = Rslock::start().await.expect("a Redis");
    let subject = subject.inject(0, EXTENDS(), Fault::DropReply(Then::Close));
    let verdicts = verdicts(subject, vec![lost_extension(); 10]).await;
    let is_it =
        |verdict: &&Verdict| matches!(verdict, Verdict::Invalid(v) if v.property == Property::Me2);
    let found = verdicts.iter().filter(is_it).count();
    assert!(found >= 9, "found in {found} of 10 runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_no_reply_lost_the_same_plan_shows_nothing() {
    let subject = Rslock::start().await.expect("a Redis");
    let verdicts = verdicts(subject, vec![lost_extension(); 3]).await;
    assert_eq!(verdicts, vec![Verdict::Valid; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_extensions_no_fault_of_network_or_client_makes_two_believe() {
    let subject = Rslock::start().await.expect("a Redis");
    let mut mix = Mix::served(&subject.traits());
    mix.renews = false;
    let verdicts = verdicts(subject, Plans::new(&mix, 7).take(24).collect()).await;
    assert_eq!(verdicts, vec![Verdict::Valid; 24]);
}
