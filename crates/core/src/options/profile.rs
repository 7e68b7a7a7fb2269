//! Profiles: named trades of time for memory, each a value for four options.
//!
//! What each costs and gains is measured in docs/measurements.md, "Profiles".

use super::Options;
use super::table::{Key, ROWS};

/// A named trade of time for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The default: freed memory stays as long as use is likely to come back to it.
    Balanced,
    /// Fewest pauses: nothing is given back by the thread that frees, unless it is very much; a background thread
    /// does it after seconds.
    Latency,
    /// Least memory: what is freed goes back at once but for a little.
    Memory,
    /// Most work per second: half of the peak may stay, for seconds.
    Throughput,
}

impl Profile {
    /// The variant of that number.
    pub(super) const fn of(raw: u64) -> Profile {
        match raw {
            0 => Profile::Balanced,
            1 => Profile::Latency,
            2 => Profile::Memory,
            _ => Profile::Throughput,
        }
    }

    /// `dirty_min`, `dirty_percent`, `purge_delay` and `parked_heaps`.
    const fn values(self) -> [(Key, u64); 4] {
        let (dirty_min, dirty_percent, purge_delay, parked_heaps) = match self {
            Profile::Balanced => (2 << 20, 12, 500, 16),
            Profile::Latency => (256 << 20, 100, 5000, 64),
            Profile::Memory => (256 << 10, 2, 100, 4),
            Profile::Throughput => (64 << 20, 50, 2000, 64),
        };
        [
            (Key::DirtyMin, dirty_min),
            (Key::DirtyPercent, dirty_percent),
            (Key::PurgeDelay, purge_delay),
            (Key::ParkedHeaps, parked_heaps),
        ]
    }
}

impl Options {
    /// Sets the profile and what it stands for.
    pub(super) const fn put_profile(&mut self, profile: Profile) {
        self.profile = profile;
        let values = profile.values();
        let mut i = 0;
        while i < values.len() {
            self.put(values[i].0, values[i].1);
            i += 1;
        }
    }
}

// Proof, at compile time: the default options are the balanced profile's.
const _: () = {
    let values = Profile::Balanced.values();
    let mut i = 0;
    while i < values.len() {
        assert!(ROWS[values[i].0 as usize].default == values[i].1);
        i += 1;
    }
};
