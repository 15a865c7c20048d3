//! [`Dice`]: numbers that repeat themselves for the same seed.

/// A stream of numbers from a seed (`SplitMix64`: Steele, Lea, Flood, "Fast splittable pseudorandom
/// number generators", OOPSLA 2014).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice {
    state: u64,
    /// Nobody is unlucky any more.
    pub(crate) calm: bool,
}

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            state: seed,
            calm: false,
        }
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `most`.
    pub(crate) fn up_to(&mut self, most: u64) -> u64 {
        let number = self.next();
        most.checked_add(1)
            .and_then(|n| number.checked_rem(n))
            .unwrap_or(number)
    }

    /// Whether something happens that does so many times in a million.
    pub(crate) fn is_unlucky(&mut self, ppm: u32) -> bool {
        let number = self.next() % 1_000_000;
        number < u64::from(ppm) && !self.calm
    }
}
