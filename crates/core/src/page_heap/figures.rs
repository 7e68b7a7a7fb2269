//! What a page heap counts, and what of it is recent: the purge's budget is made from these.
//!
//! Written under the node's lock.

use crate::limits::Share;

/// Figures of one page heap, in slices where not otherwise named.
#[derive(Clone, Copy, Debug)]
pub struct PageFigures {
    /// Mapped for spans.
    pub mapped: usize,
    /// In spans.
    pub active: usize,
    /// In free runs and not known to be zero.
    pub dirty: usize,
    /// Of `dirty`, what stays with huge pages that are almost wholly in use, or reserved.
    pub held: usize,
    /// Of `mapped`, for which transparent huge pages are asked.
    pub huge: usize,
    /// Of `mapped`, in reserved huge pages.
    pub reserved: usize,
    /// Slices at which a kernel mapping begins because pages were moved.
    pub seams: usize,
    /// Frames that are split now.
    pub split: usize,
    /// Frames split since start.
    pub splits: u64,
    /// Highest `active`.
    pub peak_active: usize,
    /// Highest `active + dirty`.
    pub peak_dirty: usize,
    /// Highest `active` of late: halves each second.
    pub recent_peak: usize,
    /// Given back of late because it was too much, and not taken again: halves each second.
    pub recent_purged: usize,
    /// Given back of late and taken again: halves each second.
    pub recent_regret: usize,
    /// When the recent figures were last halved, ms.
    pub recent_stamp: u32,
    /// Bytes mapped for metadata.
    pub metadata: usize,
    /// Large blocks in use.
    pub large_live: u64,
    /// Usable bytes of them.
    pub large_bytes: usize,
    /// Large allocations since start.
    pub large_allocs: u64,
    /// Highest `large_live`.
    pub large_peak: u64,
    /// Highest `large_bytes`.
    pub large_peak_bytes: usize,
    /// Share of the soft limit.
    pub share: Share,
}

impl PageFigures {
    /// Nothing yet.
    pub const NONE: PageFigures = PageFigures {
        mapped: 0,
        active: 0,
        dirty: 0,
        held: 0,
        huge: 0,
        reserved: 0,
        seams: 0,
        split: 0,
        splits: 0,
        peak_active: 0,
        peak_dirty: 0,
        recent_peak: 0,
        recent_purged: 0,
        recent_regret: 0,
        recent_stamp: 0,
        metadata: 0,
        large_live: 0,
        large_bytes: 0,
        large_allocs: 0,
        large_peak: 0,
        large_peak_bytes: 0,
        share: Share::NONE,
    };

    /// Dirty slices that a purge could give back.
    pub fn loose(&self) -> usize {
        self.dirty - self.held
    }

    /// Halves the recent figures for each second since the last time. `now`: ms.
    pub fn age(&mut self, now: u32) {
        let elapsed = now.wrapping_sub(self.recent_stamp);
        // Another thread's clock, read before the lock was taken, may be a moment ahead of ours.
        let behind = elapsed.wrapping_neg() <= 1000;
        if elapsed >= 1000 && !behind {
            let halvings = (elapsed / 1000).min(31);
            self.recent_peak = self.active.max(self.recent_peak >> halvings);
            self.recent_purged >>= halvings;
            self.recent_regret >>= halvings;
            self.recent_stamp = now;
        }
    }

    /// A large block of `bytes` bytes more.
    pub fn add_large(&mut self, bytes: usize) {
        self.large_live += 1;
        self.large_allocs += 1;
        self.large_peak = self.large_peak.max(self.large_live);
        self.resize_large(0, bytes);
    }

    /// One of `bytes` bytes less.
    pub fn remove_large(&mut self, bytes: usize) {
        // Saturating: after a torn fork (`begin_anew`) the figures may be one step behind.
        self.large_live = self.large_live.saturating_sub(1);
        self.large_bytes = self.large_bytes.saturating_sub(bytes);
    }

    /// One grew or shrank.
    pub fn resize_large(&mut self, old: usize, new: usize) {
        self.large_bytes = self.large_bytes.saturating_sub(old) + new;
        self.large_peak_bytes = self.large_peak_bytes.max(self.large_bytes);
    }
}
