use proptest::prelude::*;

use super::*;
use crate::entropy::SeededEntropy;

proptest! {
    #[test]
    fn every_pause_lies_between_the_bounds(
        seed: u64,
        shortest in 1_u64..1_000,
        more in 0_u64..1_000_000,
    ) {
        let (shortest, longest) =
            (Duration::from_micros(shortest), Duration::from_micros(shortest + more));
        let entropy = SeededEntropy::new(seed);
        let mut backoff = Backoff::new(shortest, longest);
        for _ in 0..50 {
            let pause = backoff.next(&entropy);
            prop_assert!(pause >= shortest && pause <= longest, "{pause:?}");
        }
    }
}

#[test]
fn pauses_grow_and_start_again_after_a_reset() {
    let entropy = SeededEntropy::new(7);
    let (shortest, longest) = (Duration::from_millis(10), Duration::from_secs(1));
    let mut backoff = Backoff::new(shortest, longest);
    let largest = (0..40).map(|_| backoff.next(&entropy)).max().unwrap();
    assert!(largest > Duration::from_millis(100), "{largest:?}");
    backoff.reset();
    assert!(backoff.next(&entropy) <= shortest * 3);
}
