use distributed_mutex::LossCause;

use super::*;

fn answer(failure: Failure) -> (u16, bool, &'static str) {
    let problem = Problem::from(failure);
    let outcome = problem.told.outcome;
    let response = problem.into_response();
    let comes_back = response.headers().contains_key(header::RETRY_AFTER);
    (response.status().as_u16(), comes_back, outcome)
}

fn unavailable(effect: Effect) -> Error {
    Error::new(ErrorKind::Unavailable, "no answer").with_effect(effect)
}

#[test]
fn only_a_commit_without_an_answer_has_an_unknown_outcome() {
    let unchanged = (503, true, "nothing changed");
    let lost = || Error::lease_lost(LossCause::Expired);
    let timeout = Error::new(ErrorKind::Timeout, "not free").with_effect(Effect::Unknown);
    assert_eq!(answer(Failure::Before(timeout)), unchanged);
    assert_eq!(
        answer(Failure::Before(unavailable(Effect::Unknown))),
        unchanged
    );
    assert_eq!(
        answer(Failure::Commit(unavailable(Effect::NotApplied))),
        unchanged
    );
    assert_eq!(answer(Failure::Commit(lost())), unchanged);
    let unknown = (504, false, "unknown");
    assert_eq!(
        answer(Failure::Commit(unavailable(Effect::Unknown))),
        unknown
    );
    let perhaps_overwritten = lost().with_effect(Effect::Unknown);
    assert_eq!(answer(Failure::Commit(perhaps_overwritten)), unknown);
}

#[test]
fn a_fault_of_the_service_tells_the_caller_nothing_of_the_store() {
    let denied = Error::new(ErrorKind::Denied, "redis://10.0.0.7 refused the password");
    let problem = Problem::from(Failure::Before(denied));
    assert_eq!(problem.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!problem.told.error.contains("10.0.0.7"));
}
