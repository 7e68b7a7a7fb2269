//! What the tests share: random numbers from a printed seed, patterns in blocks.
#![allow(dead_code)]

use std::alloc::Layout;

/// Random numbers (SplitMix64), the same for the same seed.
pub struct Random(u64);

impl Random {
    /// Prints the seed, so that a failure can be repeated; `SEED` in the environment replaces it.
    pub fn new(name: &str, seed: u64) -> Random {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(seed);
        println!("{name}: SEED={seed}");
        Random(seed)
    }

    /// Another stream of the same seed, for thread `index`.
    pub fn split(&self, index: u64) -> Random {
        Random(self.0 ^ (index + 1).wrapping_mul(0xa076_1d64_78bd_642f))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// A size from 1 to `2^bits`, each doubling as likely as any other.
    pub fn size(&mut self, bits: u32) -> usize {
        let doubling = self.below(bits as usize);
        1 + (1 << doubling) + self.below(1 << doubling) - 1
    }
}

pub fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a valid layout")
}

/// Fills a block with one byte.
///
/// # Safety
/// `len` bytes may be written at `block`.
pub unsafe fn fill(block: *mut u8, len: usize, pattern: u8) {
    // SAFETY: the caller's block.
    unsafe { block.write_bytes(pattern, len) };
}

/// True when a block holds that byte throughout.
///
/// # Safety
/// `len` bytes may be read at `block` and nobody writes them meanwhile.
pub unsafe fn holds(block: *const u8, len: usize, pattern: u8) -> bool {
    // SAFETY: the caller's block.
    let bytes = unsafe { std::slice::from_raw_parts(block, len) };
    // The first byte, and every other equal to the one before it: one comparison of memory.
    len == 0 || (bytes[0] == pattern && bytes[1..] == bytes[..len - 1])
}
