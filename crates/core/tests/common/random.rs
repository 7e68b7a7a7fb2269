//! Reproducible random numbers for stress tests (SplitMix64).

/// A generator; equal seeds give equal sequences.
pub struct Random(u64);

impl Random {
    /// A generator that starts from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// A size up to about `2^log`, each doubling equally likely.
    pub fn size(&mut self, log: u32) -> usize {
        let high = 1usize << self.below(log as usize + 1);
        high / 2 + self.below(high / 2 + 1)
    }
}

/// The seed of a stress test: `STRATALLOC_SEED` if set, else from the clock. Printed, so that a failure
/// can be run again.
pub fn seed(test: &str) -> u64 {
    let seed = match std::env::var("STRATALLOC_SEED") {
        Ok(text) => text.parse().expect("STRATALLOC_SEED is a number"),
        Err(_) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(1, |since| since.as_nanos() as u64)
        }
    };
    println!("{test}: STRATALLOC_SEED={seed}");
    seed
}
