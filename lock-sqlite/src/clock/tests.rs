use super::{BootClock, is_shifted};

#[test]
fn the_clock_goes_on_and_stays_in_one_boot() {
    let clock = BootClock::of_this_machine().unwrap();
    let mut last = clock.now();
    for _ in 0..1000 {
        let now = clock.now();
        assert!(now.ns >= last.ns);
        assert_eq!(now.boot, last.boot);
        last = now;
    }
    // Later than 2020 and before 2^53, by the wall clock.
    assert!(last.wall_us > 1_577_836_800_000_000 && last.wall_us < 1 << 53);
}

#[test]
fn a_time_namespace_that_shifts_the_boot_clock_is_recognised() {
    assert!(!is_shifted(""));
    assert!(!is_shifted(
        "monotonic           0         0\nboottime            0         0\n"
    ));
    assert!(!is_shifted(
        "monotonic           5         0\nboottime            0         0\n"
    ));
    assert!(is_shifted(
        "monotonic           0         0\nboottime       -86400         0\n"
    ));
    assert!(is_shifted("boottime            0       500\n"));
}
