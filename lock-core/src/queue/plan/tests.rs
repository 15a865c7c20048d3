use std::time::Duration;

use super::{Relay, reserve};
use crate::clock::Moment;
use crate::options::LockOptions;
use crate::token::FencingToken;

fn options() -> LockOptions {
    LockOptions::builder()
        .ttl(Duration::from_secs(10))
        .handover(3, Duration::from_millis(100))
        .build()
        .unwrap()
}

fn at(ms: u64) -> Moment {
    Moment::from_nanos(ms * 1_000_000)
}

#[test]
fn a_lease_passes_on_as_often_as_tokens_are_reserved_and_for_as_long_as_allowed() {
    let options = options();
    let relay = Relay::new(at(0), FencingToken::new(70), 4);
    // Token before, now, end of validity, and the token after if it may pass on.
    let table = [
        (70, 1, 9_795, Some(71)),
        (71, 2, 9_795, Some(72)),
        (72, 99, 9_795, Some(73)),
        (73, 3, 9_795, None),
        (70, 100, 9_795, None),
        (70, 1, 4_000, None),
        (70, 1, 0, None),
    ];
    for (token, now, end, expected) in table {
        let next = relay.next(FencingToken::new(token), at(now), at(end), &options);
        assert_eq!(
            next,
            expected.map(FencingToken::new),
            "{token} at {now} ms, valid until {end} ms"
        );
    }
}

#[test]
fn a_token_at_the_end_of_all_numbers_is_the_last() {
    let relay = Relay::new(at(0), FencingToken::new(u64::MAX), 4);
    let next = relay.next(FencingToken::new(u64::MAX), at(1), at(9_000), &options());
    assert_eq!(next, None);
}

#[test]
fn tokens_are_reserved_only_where_somebody_waits_and_may_be_handed_to() {
    assert_eq!(reserve(false, &options()), 1);
    assert_eq!(reserve(true, &options()), 4);
    let off = LockOptions::builder()
        .handover(0, Duration::from_millis(100))
        .build()
        .unwrap();
    assert_eq!(reserve(true, &off), 1);
    let at_once = LockOptions::builder()
        .handover(9, Duration::ZERO)
        .build()
        .unwrap();
    assert_eq!(reserve(true, &at_once), 1);
}
