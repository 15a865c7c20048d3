use std::time::Duration;

use lock_core::{
    Acquire, Entropy, FencingToken, Label, LockName, LossCause, OwnerId, Previous, SystemEntropy,
    Ttl,
};

use super::{ClientId, How, Record, Written};
use crate::clock::{Boot, Now};

const CLIENT: ClientId = ClientId(1);

fn now(seconds: u64) -> Now {
    Now {
        boot: Boot(1),
        ns: seconds * 1_000_000_000,
        wall_us: 1_700_000_000_000_000 + seconds * 1_000_000,
    }
}

fn asks() -> Acquire {
    let ttl = Ttl::new(Duration::from_secs(10)).unwrap();
    let owner = OwnerId::draw(&SystemEntropy as &dyn Entropy);
    Acquire::new(
        LockName::new("x").unwrap(),
        owner,
        ttl,
        Label::new("test").unwrap(),
    )
}

#[test]
fn a_lease_ends_at_its_expiry_and_with_the_boot() {
    let request = asks();
    let mut record = Record::default();
    let tokens = record.grant(&request, CLIENT, &now(100));
    let mut early = record.clone();
    early.settle(&now(109));
    assert!(early.owns(request.owner));
    let abandoned = Previous::Abandoned {
        owner: request.owner,
        token: FencingToken::new(tokens.first),
    };
    let mut late = record.clone();
    late.settle(&now(110));
    assert_eq!(
        (late.owns(request.owner), late.previous()),
        (false, abandoned)
    );
    // The clock of the next boot begins anew.
    let mut rebooted = record;
    rebooted.settle(&Now {
        boot: Boot(2),
        ..now(1)
    });
    assert_eq!(
        (rebooted.owns(request.owner), rebooted.previous()),
        (false, abandoned)
    );
}

#[test]
fn a_jump_of_the_wall_clock_ends_no_lease_and_repeats_no_token() {
    let request = asks();
    let mut record = Record::default();
    let first = record.grant(&request, CLIENT, &now(100));
    let year_us = 365 * 86_400 * 1_000_000;
    let forward = Now {
        wall_us: now(101).wall_us + year_us,
        ..now(101)
    };
    record.settle(&forward);
    assert!(record.owns(request.owner));
    record.end(How::Released);
    let second = record.grant(&asks(), CLIENT, &forward);
    record.end(How::Released);
    let back = Now {
        wall_us: 1,
        ..now(102)
    };
    let third = record.grant(&asks(), CLIENT, &back);
    assert!(first.first < second.first && second.first < third.first);
    assert_eq!(third.first, second.first + 1);
}

#[test]
fn each_reserved_token_is_the_owners_and_no_other() {
    let mut request = asks();
    request.reserve = 3;
    let mut record = Record::default();
    let tokens = record.grant(&request, CLIENT, &now(1));
    for (ahead, is_held) in [(0, true), (1, true), (2, true), (3, false)] {
        let token = FencingToken::new(tokens.first + ahead);
        assert_eq!(record.owns_as(request.owner, token), is_held, "{ahead}");
        assert!(!record.owns_as(asks().owner, token));
    }
    assert!(!record.owns_as(request.owner, FencingToken::new(tokens.first - 1)));
    assert_eq!(record.last_token, tokens.first + 2);
}

#[test]
fn the_cause_of_a_loss_is_told_from_how_it_ended_and_who_has_it_now() {
    let mut record = Record::default();
    let token = |tokens: super::Tokens| FencingToken::new(tokens.first);
    let first = token(record.grant(&asks(), CLIENT, &now(1)));
    record.end(How::Forced);
    assert_eq!(record.cause(first), LossCause::Forced);
    let second = token(record.grant(&asks(), CLIENT, &now(1)));
    assert_eq!(record.cause(first), LossCause::Forced);
    record.settle(&now(11));
    assert_eq!(record.cause(second), LossCause::Expired);
    let _third = record.grant(&asks(), CLIENT, &now(11));
    assert_eq!(record.cause(second), LossCause::Displaced);
}

#[test]
fn a_reservation_is_no_lease_and_ends_without_a_trace() {
    let (holder, waiter) = (asks(), asks());
    let mut record = Record::default();
    let _tokens = record.grant(&holder, CLIENT, &now(1));
    record.end(How::Released);
    record.reserve(waiter.owner, CLIENT, Duration::from_secs(1), &now(1));
    assert!(record.is_for(waiter.owner) && !record.owns(waiter.owner));
    assert!(record.holder().is_none());
    let mut unclaimed = record.clone();
    unclaimed.settle(&now(2));
    assert_eq!((unclaimed.lease, unclaimed.ended), (None, record.ended));
    let _tokens = record.grant(&waiter, CLIENT, &now(1));
    assert!(record.owns(waiter.owner));
    assert_eq!(record.previous(), Previous::Released);
}

#[test]
fn a_record_is_kept_past_its_last_token_and_a_value_is_spared() {
    let mut request = asks();
    request.forget_after = Some(Duration::from_secs(5));
    request.reserve = u32::MAX;
    let mut record = Record::default();
    let _tokens = record.grant(&request, CLIENT, &now(1));
    assert_eq!(record.forget_at_us, Some(record.last_token + 1));
    record.end(How::Released);
    assert!(!record.is_forgotten(&now(1000)));
    assert!(record.is_forgotten(&now(5000)));

    // A value that is kept for ever stays so when a plain lock comes by.
    let mut record = Record {
        written: Some(Written {
            token: FencingToken::new(1),
            sequence: 1,
        }),
        ..Record::default()
    };
    record.keep(request.forget_after, true, request.ttl, &now(1));
    assert_eq!(record.forget_at_us, None);
    record.keep(request.forget_after, false, request.ttl, &now(1));
    assert_eq!(record.forget_at_us, Some(now(16).wall_us));
    record.keep(Some(Duration::ZERO), true, request.ttl, &now(1));
    assert_eq!(record.forget_at_us, Some(now(16).wall_us));
    record.keep(Some(Duration::MAX), false, request.ttl, &now(1));
    assert_eq!(record.forget_at_us, Some(i64::MAX.unsigned_abs()));
}
