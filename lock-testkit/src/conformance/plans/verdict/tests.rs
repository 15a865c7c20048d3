use std::time::Duration;

use lock_core::{LockBackend, MemoryBackend};

use super::can_judge_waiting;
use crate::subject::Traits;

#[test]
fn waiting_is_judged_on_a_machine_that_is_in_time_and_not_on_one_that_is_late() {
    let traits = Traits::of(MemoryBackend::new().capabilities());
    assert!(can_judge_waiting(&traits, Duration::from_millis(100)));
    assert!(!can_judge_waiting(&traits, Duration::from_millis(500)));
}
