use lock_core::{Effect, Error, ErrorKind};

use super::{At, by_code, ended};

fn at() -> At {
    At {
        server: "postgres://127.0.0.1:5432/shop".to_owned(),
        records: "\"lock_records\"".to_owned(),
        migrations: "\"lock_records_migrations\"".to_owned(),
    }
}

fn error(code: &str) -> Error {
    by_code(code, "what the server says", &at()).into()
}

#[test]
fn a_statement_whose_session_was_ended_may_have_been_applied() {
    for code in [
        "08P01", "08006", "58000", "57P01", "25P04", "26000", "42P01", "XX000", "",
    ] {
        let failure = ended(code, "what the server says", &at());
        let error = Error::from(failure);
        let (kind, effect) = (ErrorKind::Unavailable, Effect::Unknown);
        assert_eq!((error.kind(), error.effect()), (kind, effect), "{code}");
    }
}

#[test]
fn each_refusal_has_its_kind_and_its_remedy() {
    for (code, kind, effect, remedy) in [
        ("42P01", ErrorKind::Invalid, Effect::NotApplied, "migrate"),
        ("42703", ErrorKind::Invalid, Effect::NotApplied, "version"),
        (
            "42501",
            ErrorKind::Denied,
            Effect::NotApplied,
            "GRANT SELECT, INSERT, UPDATE, DELETE",
        ),
        ("28P01", ErrorKind::Denied, Effect::NotApplied, "password"),
        (
            "25006",
            ErrorKind::Unavailable,
            Effect::NotApplied,
            "read-only",
        ),
        (
            "57014",
            ErrorKind::Unavailable,
            Effect::NotApplied,
            "statement_timeout",
        ),
        (
            "57P03",
            ErrorKind::Unavailable,
            Effect::NotApplied,
            "at present",
        ),
        (
            "53300",
            ErrorKind::Unavailable,
            Effect::NotApplied,
            "at present",
        ),
        ("22P05", ErrorKind::Invalid, Effect::NotApplied, "UTF8"),
        (
            "26000",
            ErrorKind::Unsupported,
            Effect::NotApplied,
            "transaction_pooler",
        ),
        ("XX000", ErrorKind::Invalid, Effect::NotApplied, "XX000"),
    ] {
        let error = error(code);
        assert_eq!((error.kind(), error.effect()), (kind, effect), "{code}");
        assert!(error.to_string().contains(remedy), "{error}");
    }
}
