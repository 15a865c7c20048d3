use super::tail;

#[test]
fn the_tail_of_a_short_log_is_the_log() {
    assert_eq!(tail("a\nb"), "a\nb");
}
