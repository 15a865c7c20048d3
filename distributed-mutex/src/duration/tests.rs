use std::time::Duration;

use super::parse;

#[test]
fn a_length_is_a_whole_number_and_a_unit() {
    let table = [
        ("500ms", 500),
        ("0ms", 0),
        ("10s", 10_000),
        ("2m", 120_000),
        ("1h", 3_600_000),
        ("1d", 86_400_000),
    ];
    for (text, ms) in table {
        assert_eq!(parse(text), Some(Duration::from_millis(ms)), "{text}");
    }
}

#[test]
fn anything_else_is_refused() {
    for text in [
        "",
        "10",
        "s",
        "10 s",
        " 10s",
        "10s ",
        "1.5s",
        "-1s",
        "+1s",
        "10S",
        "10min",
        "1e3ms",
        "٣s",
        "99999999999999999999s",
        "18446744073709551615d",
    ] {
        assert_eq!(parse(text), None, "{text:?}");
    }
}
