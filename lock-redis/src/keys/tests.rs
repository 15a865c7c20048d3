use lock_core::LockName;
use proptest::prelude::*;

use super::Keyspace;

/// The slot of any key, by the rule of hash tags.
fn slot(key: &str) -> u16 {
    let hashed = match key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
    {
        Some((tag, _)) if !tag.is_empty() => tag,
        _ => key,
    };
    super::slot(hashed)
}

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[{}%:*?\\[\\]\\\\^-]{1,3}",
        Just("%7B".to_owned()),
        Just("%25".to_owned()),
        Just("257B".to_owned()),
        Just("}:lock".to_owned()),
        Just("\0\r\n".to_owned()),
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 1..8).prop_map(|pieces| pieces.concat())
}

fn space(namespace: &str) -> Keyspace {
    Keyspace::new(namespace).unwrap()
}

#[test]
fn the_slot_function_of_this_test_is_that_of_the_cluster() {
    // From the cluster specification: CRC16("123456789") = 0x31C3.
    assert_eq!(slot("123456789"), 0x31C3);
    assert_eq!(slot("{user1000}.following"), slot("user1000"));
}

#[test]
fn a_plain_name_is_its_own_key() {
    let keys = space("").keys(&LockName::new("my_lock").unwrap());
    assert_eq!(keys.lock, "my_lock");
    assert_eq!(keys.record, "{my_lock}:lock");
    assert_eq!(keys.line, "{my_lock}:line");
}

#[test]
fn a_namespace_with_braces_or_too_long_is_refused() {
    assert!(Keyspace::new("a{b").is_err());
    assert!(Keyspace::new(&"n".repeat(129)).is_err());
    assert!(Keyspace::new(&"n".repeat(128)).is_ok());
}

#[test]
fn the_pattern_escapes_what_glob_would_read() {
    assert_eq!(space("a*").record_pattern("b{["), "{a\\*b%7B\\[*}:lock");
}

proptest! {
    #[test]
    fn all_keys_of_a_lock_lie_in_one_slot(name in hostile(), namespace in "[a-z:%]{0,5}") {
        let keys = space(&namespace).keys(&LockName::new(name).unwrap());
        prop_assert_eq!(slot(&keys.lock), slot(&keys.record));
        prop_assert_eq!(slot(&keys.lock), slot(&keys.line));
    }

    #[test]
    fn a_key_tells_its_name_and_no_other(name in hostile(), namespace in "[a-z:%]{0,5}") {
        let space = space(&namespace);
        let name = LockName::new(name).unwrap();
        let keys = space.keys(&name);
        prop_assert_eq!(space.name_of(&keys.lock), Some(name.clone()));
        prop_assert_eq!(space.name_of_record(&keys.record), Some(name));
        prop_assert_eq!(space.name_of(&keys.record), None);
        prop_assert_eq!(space.name_of(&keys.line), None);
        prop_assert_eq!(space.name_of_record(&keys.line), None);
    }

    #[test]
    fn two_names_never_share_a_key(a in hostile(), b in hostile()) {
        let space = space("");
        let same = space.lock_key(&a) == space.lock_key(&b);
        prop_assert_eq!(a == b, same);
    }
}
