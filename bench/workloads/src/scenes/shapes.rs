//! What the scenes share: sizes as services have them, blocks that are written and read as programs do it,
//! and maps whose order repeats.
//!
//! A block's bytes are all written once (a program asks for memory to put something there) and its ends are
//! read before it goes, so that a block that somebody else wrote to shows in the checksum.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::random::{Random, mix};

/// A distribution of sizes: each row is a share of 1000 and the range, evenly spread, that it stands for.
pub struct Sizes(&'static [(u32, usize, usize)]);

/// Sizes as in long-running services: 98 of 100 objects below 1 KiB, while blocks of 8 KiB and more hold much of the
/// bytes. That is the form of the distributions that Google published of its fleet (Hunter et al., "Beyond malloc
/// efficiency to fleet efficiency", OSDI 2021; Zhou et al., "Characterizing a memory allocator at warehouse
/// scale", ASPLOS 2024), not their figures.
pub const FLEET: Sizes = Sizes(&[
    (180, 8, 16),
    (480, 17, 64),
    (220, 65, 256),
    (100, 257, 1024),
    (17, 1025, 8 << 10),
    (2, 8 << 10, 64 << 10),
    (1, 64 << 10, 256 << 10),
]);

/// The small part of [`FLEET`]: what a request, a message or a session holds many of.
pub const SMALL: Sizes = Sizes(&[(300, 8, 24), (420, 25, 80), (200, 81, 256), (80, 257, 1024)]);

impl Sizes {
    /// A size of this distribution.
    pub fn pick(&self, random: &mut Random) -> usize {
        let bits = random.next();
        let mut share = (bits as u32) % 1000;
        for &(weight, low, high) in self.0 {
            if share < weight {
                return low + (bits >> 32) as usize % (high - low + 1);
            }
            share -= weight;
        }
        unreachable!("the shares of a distribution are 1000 in all")
    }
}

/// A new block, every byte written; [`read`] of it depends on `tag` and the size.
pub fn block(size: usize, tag: u64) -> Box<[u8]> {
    // Never zero: a vector of zeros would ask for memory that is already clear.
    vec![(tag as u8) | 1; size].into_boxed_slice()
}

/// What the ends of a block hold: equal blocks give equal values.
pub fn read(block: &[u8]) -> u64 {
    let word = |part: &[u8]| part.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
    let end = block.len().min(8);
    mix(block.len() as u64 ^ word(&block[..end]) ^ word(&block[block.len() - end..]).rotate_left(17))
}

/// A map from numbers or words whose order, and so whose work, is the same in each process.
pub type Map<K, V> = HashMap<K, V, BuildHasherDefault<Fnv>>;

/// FNV-1a with a final mix: std's own hasher is seeded anew in each process.
pub struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = mix(self.0 ^ value);
    }

    fn finish(&self) -> u64 {
        mix(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_sizes_follow_them() {
        for sizes in [&FLEET, &SMALL] {
            assert_eq!(sizes.0.iter().map(|row| row.0).sum::<u32>(), 1000);
        }
        let mut random = Random::new(5);
        let sizes: Vec<usize> = (0..100_000).map(|_| FLEET.pick(&mut random)).collect();
        let below = sizes.iter().filter(|&&size| size <= 1024).count();
        assert!((97_500..98_500).contains(&below), "{below} of 100000 to 1 KiB");
        assert!(sizes.iter().all(|size| (8..=256 << 10).contains(size)));
    }

    #[test]
    fn reading_a_block_tells_tags_sizes_and_damage() {
        assert_eq!(read(&block(40, 7)), read(&block(40, 7)));
        assert_ne!(read(&block(40, 7)), read(&block(40, 9)));
        assert_ne!(read(&block(40, 7)), read(&block(41, 7)));
        let mut damaged = block(40, 7);
        damaged[0] = 0;
        assert_ne!(read(&damaged), read(&block(40, 7)));
        assert_ne!(read(&[]), read(&[1]));
    }
}
