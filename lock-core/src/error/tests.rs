use super::*;

#[test]
fn a_message_says_what_was_attempted_on_which_name_and_how_often() {
    let name = LockName::new("stock\n17").unwrap();
    let error = Error::new(
        ErrorKind::Unavailable,
        "the server did not answer within 2 s",
    )
    .with_effect(Effect::Unknown)
    .in_operation("acquire", &name)
    .in_operation("renew", &name)
    .with_effort(3, Duration::from_millis(6200));
    assert_eq!(
        error.to_string(),
        "cannot acquire lock 'stock\\n17': the server did not answer within 2 s; \
         it may have taken effect (3 attempts in 6200 ms)"
    );
    assert_eq!(error.attempts(), Some(3));
}

#[test]
fn an_error_is_one_word_wide_and_can_cross_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Error>();
    assert_eq!(size_of::<Error>(), size_of::<usize>());
}

#[test]
fn the_closures_own_error_is_found_again() {
    let error = Error::new(ErrorKind::Aborted, "the closure returned an error")
        .with_source("a".parse::<u8>().unwrap_err());
    assert!(error.downcast_source::<std::num::ParseIntError>().is_some());
    assert!(error.downcast_source::<std::fmt::Error>().is_none());
}
