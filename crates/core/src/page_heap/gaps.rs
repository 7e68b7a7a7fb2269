//! What of a block needs pages: the clean stretches of slices that were just taken out of a run.

use crate::class::SLICE;
use crate::directory::{Bit, Directory};

/// Slices of a stretch at least, 128 KiB: a system call is worth it then (docs/measurements.md, "Recycling").
pub const PIECE: usize = (128 << 10) / SLICE;
/// What slices have that are in huge pages, which are not moved.
pub(super) const IN_FRAMES: [Bit; 2] = [Bit::Huge, Bit::Reserved];
/// Stretches that are noted; what has more is in small pieces.
const MOST: usize = 8;

/// Clean stretches of at least [`PIECE`] slices, lowest first.
#[derive(Debug)]
pub struct Gaps {
    stretches: [(usize, usize); MOST],
    count: usize,
}

impl Gaps {
    /// None.
    pub const fn new() -> Self {
        Self { stretches: [(0, 0); MOST], count: 0 }
    }

    /// As (address, slices).
    pub fn iter(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.stretches.iter().copied().take(self.count)
    }

    /// Forgets what lies below `address`.
    pub fn cut_below(&mut self, address: usize) {
        let (old, count) = (self.stretches, self.count);
        self.count = 0;
        for &(at, slices) in old.iter().take(count) {
            let from = at.max(address);
            self.add(from, (at + slices * SLICE).saturating_sub(from) / SLICE);
        }
    }

    fn add(&mut self, at: usize, slices: usize) {
        if slices >= PIECE
            && let Some(place) = self.stretches.get_mut(self.count)
        {
            *place = (at, slices);
            self.count += 1;
        }
    }

    /// Notes those of `slices` slices at `start` that are clean, and with `framed` in no frame.
    ///
    /// # Safety
    /// They are ours, and the caller has their node's lock.
    pub(super) unsafe fn note(&mut self, directory: &Directory, start: usize, slices: usize, framed: bool) {
        // SAFETY: the caller's slices.
        let served = |at| unsafe {
            directory.has(Bit::Dirty, at) || framed && IN_FRAMES.iter().any(|&bit| directory.has(bit, at))
        };
        let end = start + slices * SLICE;
        self.count = 0;
        let mut at = start;
        while at < end && self.count < MOST {
            let from = at;
            while at < end && !served(at) {
                at += SLICE;
            }
            self.add(from, (at - from) / SLICE);
            while at < end && served(at) {
                at += SLICE;
            }
        }
    }
}

impl Default for Gaps {
    fn default() -> Self {
        Self::new()
    }
}
