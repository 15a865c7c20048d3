use super::*;

#[test]
fn a_reservation_takes_units_once_and_gives_them_back_once() {
    let mut item = Item::new(10);
    assert_eq!(item.reserve("a", 4), Ok(Done::Now));
    assert_eq!(item.reserve("a", 4), Ok(Done::Before));
    assert_eq!((item.left(), item.reserved("a")), (6, Ok(4)));
    assert_eq!(item.give_back("a"), Ok(Done::Now));
    assert_eq!(item.give_back("a"), Ok(Done::Before));
    assert_eq!((item.left(), item.units()), (10, 10));
    // A late copy of the first request does not reserve again.
    assert_eq!(item.reserve("a", 4), Err(Refused::Returned));
}

#[test]
fn what_is_refused_changes_nothing() {
    let mut item = Item::new(3);
    assert_eq!(item.reserve("a", 2), Ok(Done::Now));
    let before = item.clone();
    assert_eq!(item.reserve("a", 1), Err(Refused::Conflict));
    assert_eq!(item.reserve("b", 2), Err(Refused::NotEnough { left: 1 }));
    assert_eq!(item.give_back("b"), Err(Refused::NoReservation));
    assert_eq!(item, before);
}

#[test]
fn reservations_are_bounded_and_the_oldest_returned_one_is_forgotten_first() {
    let mut item = Item::new(u32::MAX);
    for i in 0..RESERVATIONS_MAX {
        assert_eq!(item.reserve(&i.to_string(), 1), Ok(Done::Now));
    }
    assert_eq!(item.reserve("more", 1), Err(Refused::Full));
    for id in ["7", "3"] {
        assert_eq!(item.give_back(id), Ok(Done::Now));
    }
    assert_eq!(item.reserve("more", 1), Ok(Done::Now));
    assert_eq!(item.reserved("3"), Err(Refused::NoReservation));
    assert_eq!(item.reserved("7"), Err(Refused::Returned));
}
