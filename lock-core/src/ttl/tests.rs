use super::*;

#[test]
fn the_bounds_belong_to_the_range() {
    assert_eq!(Ttl::new(Duration::from_millis(50)).unwrap(), Ttl::MIN);
    assert_eq!(
        Ttl::new(Duration::from_secs(24 * 60 * 60)).unwrap(),
        Ttl::MAX
    );
}

#[test]
fn a_ttl_out_of_bounds_is_refused_with_the_bounds() {
    for length in [
        Duration::ZERO,
        Duration::from_micros(49_999),
        Duration::from_secs(24 * 60 * 60 + 1),
        Duration::MAX,
    ] {
        let error = Ttl::new(length).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(
            error.to_string().contains("between 50 ms and 24 h"),
            "{error}"
        );
    }
}
