use super::*;

#[test]
fn hostile_names_are_names() {
    for name in [
        "a",
        "{}",
        "{a}",
        "a}b{",
        "line\nbreak",
        "nul\0",
        "ключ",
        "🔒",
        " ",
        "%",
    ] {
        assert_eq!(LockName::new(name).unwrap().as_str(), name);
    }
}

#[test]
fn a_name_out_of_bounds_is_refused_with_the_bound() {
    let empty = LockName::new("").unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::Invalid);
    let longest = "x".repeat(LockName::MAX_BYTES);
    assert!(LockName::new(&longest).is_ok());
    let long = LockName::new("x".repeat(10_240)).unwrap_err();
    assert_eq!(long.kind(), ErrorKind::Invalid);
    assert!(long.to_string().contains("512"), "{long}");
    assert!(long.to_string().contains("10240"), "{long}");
}

#[test]
fn control_characters_are_shown_escaped() {
    let name = LockName::new("a\n\u{1b}[2Jb\0").unwrap();
    assert_eq!(name.to_string(), "a\\n\\u{1b}[2Jb\\u{0}");
}
