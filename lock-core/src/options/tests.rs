use super::*;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn the_defaults_are_in_order() {
    let options = LockOptions::builder().build().unwrap();
    assert_eq!(options.ttl().as_duration(), secs(10));
    assert_eq!(options.renew_interval(), secs(10) / 3);
    assert_eq!(options.validity(), secs(10) - Duration::from_millis(205));
    assert_eq!(options.forget_after(false), None);
    assert_eq!(options.forget_after(true), Some(secs(86_400)));
}

#[test]
fn the_shortest_ttl_has_working_defaults() {
    assert!(
        LockOptions::builder()
            .ttl(Ttl::MIN.as_duration())
            .build()
            .is_ok()
    );
}

#[test]
fn options_that_do_not_fit_together_are_refused() {
    let b = LockOptions::builder;
    let wrong = [
        (b().ttl(Duration::ZERO), "between 50 ms and 24 h"),
        (
            b().ttl(secs(2)).renew_interval(secs(2)),
            "less than the ttl",
        ),
        (
            b().ttl(secs(2)).drift_allowance(secs(2)),
            "less than the ttl",
        ),
        (
            b().renew_interval(Duration::ZERO),
            "renew interval must be longer than zero",
        ),
        (
            b().request_timeout(Duration::ZERO),
            "request timeout must be longer than zero",
        ),
        (b().poll(secs(2), secs(1)), "longer than the longest"),
        (
            b().poll(Duration::ZERO, secs(1)),
            "must be longer than zero",
        ),
        (b().max_state_bytes(usize::MAX), "at most 67108864 bytes"),
        (b().forget_after(secs(59)), "60s or later"),
        (b().label("x".repeat(257)), "at most 256 bytes"),
        (b().renew_interval(Duration::MAX), "less than the ttl"),
    ];
    for (builder, expected) in wrong {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(expected), "{error}");
    }
}
