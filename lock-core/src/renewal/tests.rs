use std::sync::Arc;

use futures_util::future::FutureExt;

use super::*;
use crate::name::LockName;
use crate::options::LockOptions;
use crate::queue::Queues;

/// A hold of this ttl that was granted at this moment.
fn hold(name: &str, ttl_ms: u64, sent_at: Moment) -> Arc<Hold> {
    let ttl = Duration::from_millis(ttl_ms);
    let options = LockOptions::builder().ttl(ttl).build().unwrap();
    let name = LockName::new(name).unwrap();
    let owner = OwnerId::draw(&crate::entropy::SystemEntropy);
    let renew = Renew::new(name.clone(), owner, FencingToken::new(1), options.ttl());
    let turn = Arc::new(Queues::default()).of(&name).try_turn().unwrap();
    Hold::new(renew, sent_at, &options, turn)
}

fn was_told(schedule: &Schedule) -> bool {
    schedule.changed.notified().now_or_never().is_some()
}

#[test]
fn only_a_hold_that_is_due_before_the_driver_looks_again_wakes_it() {
    let schedule = Schedule::default();
    let at = |ms: u64| Moment::from_nanos(ms * 1_000_000);
    let first = hold("first", 3000, at(0));
    assert!(schedule.add(&first));
    assert!(was_told(&schedule), "it sleeps for ever");
    assert_eq!(schedule.sleep(at(0), true), Some(at(1000)));

    schedule.remove(&first);
    assert!(schedule.add(&hold("later", 3000, at(10))));
    assert!(
        !was_told(&schedule),
        "it looks at 1000 ms and finds this one"
    );
    assert!(schedule.add(&hold("sooner", 300, at(20))));
    assert!(was_told(&schedule), "due at 120 ms");
    assert_eq!(schedule.sleep(at(20), true), Some(at(120)));

    assert_eq!(
        schedule.sleep(at(20), false),
        None,
        "it waits for an answer"
    );
    assert!(schedule.add(&hold("any", 3000, at(30))));
    assert!(was_told(&schedule));
}

#[test]
fn a_lock_that_is_given_back_before_the_driver_looks_wakes_it_once_in_an_interval() {
    let schedule = Schedule::default();
    let at = |ms: u64| Moment::from_nanos(ms * 1_000_000);
    for turn in 0..10 {
        let hold = hold("again", 3000, at(turn));
        assert!(schedule.add(&hold));
        assert_eq!(was_told(&schedule), turn == 0, "turn {turn}");
        schedule.remove(&hold);
        assert_eq!(schedule.sleep(at(turn), true), Some(at(1000)));
    }
    assert_eq!(schedule.sleep(at(1000), true), None, "nothing is held");
}
