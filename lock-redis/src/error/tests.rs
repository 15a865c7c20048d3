use lock_core::{Effect, Error, ErrorKind};
use redis::RedisError;

use super::{Aftermath, Failure};

const AT: &str = "redis://h:1/0";

fn reply(code: &str, detail: &str) -> RedisError {
    redis::make_extension_error(code.to_owned(), Some(detail.to_owned()))
}

#[track_caller]
fn check(code: &str, detail: &str, kind: ErrorKind, aftermath: Aftermath, words: &str) {
    let failure = Failure::sending(reply(code, detail), AT);
    assert_eq!(failure.aftermath, aftermath);
    let error = Error::from(failure);
    assert_eq!((error.kind(), error.effect()), (kind, Effect::NotApplied));
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn what_the_server_says_is_definite() {
    use Aftermath::{Keep, MissingScript, Replace};
    use ErrorKind::{Denied, Invalid, Unavailable, Unsupported};

    check("NOSCRIPT", "", Unavailable, MissingScript, AT);
    check("WRONGTYPE", "list", Invalid, Keep, "holds a list");
    check(
        "WRONGTYPE",
        "Operation against",
        Invalid,
        Keep,
        "another type",
    );
    check("READONLY", "", Unavailable, Replace, "read-only replica");
    check("NOAUTH", "", Denied, Keep, "password");
    check("WRONGPASS", "", Denied, Keep, "password");
    check("NOPERM", "", Denied, Keep, "ACL");
    check("NOPROTO", "", Unsupported, Keep, "RESP3");
    check("OOM", "", Unavailable, Keep, "maxmemory");
    check("LOADING", "", Unavailable, Keep, "LOADING");
    check("BUSY", "", Unavailable, Keep, "BUSY");
    check("CLUSTERDOWN", "", Unavailable, Keep, "CLUSTERDOWN");
    check("ERR", "no such thing", Invalid, Keep, "no such thing");
}

#[test]
fn an_error_inside_a_script_of_an_old_server_is_recognised() {
    use Aftermath::{Keep, Replace};
    use ErrorKind::{Denied, Unavailable};

    let inside =
        |what: &str| format!("Error running script (call to f_0): @user_script: 3: {what}");
    check(
        "ERR",
        &inside("-OOM command not allowed"),
        Unavailable,
        Keep,
        "memory",
    );
    check(
        "ERR",
        &inside("-READONLY You can't"),
        Unavailable,
        Replace,
        "replica",
    );
    check("ERR", &inside("NOPERM this user"), Denied, Keep, "ACL");
}

#[test]
fn a_broken_connection_leaves_the_effect_unknown_once_it_was_used() {
    let broken = || RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
    let failure = Failure::sending(broken(), AT);
    assert_eq!(failure.aftermath, Aftermath::Replace);
    assert_eq!(Error::from(failure).effect(), Effect::Unknown);
    let error = Error::from(Failure::connecting(broken(), AT));
    assert_eq!(error.effect(), Effect::NotApplied);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}
