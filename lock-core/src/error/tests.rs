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

#[test]
fn a_store_that_was_not_asked_is_no_attempt() {
    let waited = Duration::from_millis(50);
    let error = Error::new(ErrorKind::Timeout, "others had it").with_effort(0, waited);
    let expected = "others had it (after 50 ms; the store was not asked)";
    assert_eq!(error.to_string(), expected);
}

#[derive(Debug)]
struct Saying(&'static str, Option<Box<Self>>);

impl fmt::Display for Saying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl StdError for Saying {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.1.as_deref().map(|cause| cause as _)
    }
}

#[test]
fn what_a_driver_says_is_told_once() {
    let deepest = Saying("the cable is out", None);
    let cause = Saying("refused", Some(Box::new(deepest)));
    let driver = Saying("cannot talk: refused", Some(Box::new(cause)));
    let error = Error::new(ErrorKind::Unavailable, "cannot connect").with_driver_source(driver);
    let told = error.source().unwrap();
    assert_eq!(told.to_string(), "cannot talk: refused");
    assert_eq!(told.source().unwrap().to_string(), "the cable is out");
}
