//! The options in force, readable from every path without a lock.

use crate::options::{HugePages, Misuse, Options};
use crate::sync::atomic::{AtomicU64, Ordering};

/// The options that the allocator itself obeys, each an atomic (relaxed: none orders anything).
///
/// Held as the difference to the default, so that all zero means "all defaults" and the static
/// that holds the allocator needs no bytes in the binary.
#[derive(Debug)]
pub struct Config {
    values: [AtomicU64; FIELDS],
}

const FIELDS: usize = 12;
const COUNT: usize = 0;
const DIRTY_MIN: usize = 1;
const DIRTY_PERCENT: usize = 2;
const PURGE_DELAY: usize = 3;
const PURGE_THREAD: usize = 4;
const PARKED_HEAPS: usize = 5;
const MISUSE: usize = 6;
const LIMIT: usize = 7;
const SOFT_LIMIT: usize = 8;
const FOLLOW_CGROUP: usize = 9;
const HUGE_PAGES: usize = 10;
const OWN_HEAPS: usize = 11;

const fn values(options: &Options) -> [u64; FIELDS] {
    let mut values = [0; FIELDS];
    values[COUNT] = options.count as u64;
    values[DIRTY_MIN] = options.dirty_min as u64;
    values[DIRTY_PERCENT] = options.dirty_percent as u64;
    values[PURGE_DELAY] = options.purge_delay as u64;
    values[PURGE_THREAD] = options.purge_thread as u64;
    values[PARKED_HEAPS] = options.parked_heaps as u64;
    values[MISUSE] = match options.misuse {
        Misuse::Abort => 0,
        Misuse::Warn => 1,
        Misuse::Ignore => 2,
    };
    values[LIMIT] = options.limit as u64;
    values[SOFT_LIMIT] = options.soft_limit as u64;
    values[FOLLOW_CGROUP] = options.follow_cgroup as u64;
    values[OWN_HEAPS] = options.own_heaps as u64;
    values[HUGE_PAGES] = options.huge_pages as u64;
    values
}

const DEFAULTS: [u64; FIELDS] = values(&Options::DEFAULT);

impl Config {
    /// All defaults: all zero.
    pub const fn new() -> Self {
        Self { values: [const { AtomicU64::new(0) }; FIELDS] }
    }

    /// Puts `options` in force. Heaps made before keep counting, or not counting.
    pub fn apply(&self, options: &Options) {
        for (index, value) in values(options).into_iter().enumerate() {
            self.values[index].store(value ^ DEFAULTS[index], Ordering::Relaxed);
        }
    }

    fn get(&self, index: usize) -> u64 {
        self.values[index].load(Ordering::Relaxed) ^ DEFAULTS[index]
    }

    /// New heaps count every allocation.
    pub fn count(&self) -> bool {
        self.get(COUNT) != 0
    }

    /// Bytes of freed memory that may stay resident whatever the peak.
    pub fn dirty_min(&self) -> usize {
        self.get(DIRTY_MIN) as usize
    }

    /// Freed memory that may stay resident, percent of the peak.
    pub fn dirty_percent(&self) -> usize {
        self.get(DIRTY_PERCENT) as usize
    }

    /// Milliseconds that freed memory may stay resident.
    pub fn purge_delay(&self) -> u32 {
        self.get(PURGE_DELAY) as u32
    }

    /// A purge thread may be started.
    pub fn purge_thread(&self) -> bool {
        self.get(PURGE_THREAD) != 0
    }

    /// No purge thread from here on: the system refused one.
    pub fn forbid_purge_thread(&self) {
        self.values[PURGE_THREAD].store(DEFAULTS[PURGE_THREAD], Ordering::Relaxed);
    }

    /// Heaps that may be parked with what they hold.
    pub fn parked_heaps(&self) -> u64 {
        self.get(PARKED_HEAPS)
    }

    /// Threads that get a heap of their own at once.
    pub fn own_heaps(&self) -> u64 {
        self.get(OWN_HEAPS)
    }

    /// What follows a bad free.
    pub fn misuse(&self) -> Misuse {
        Misuse::of(self.get(MISUSE))
    }

    /// Bytes that may be mapped for spans; 0: no limit.
    pub fn limit(&self) -> usize {
        self.get(LIMIT) as usize
    }

    /// Bytes in memory beyond which everything free is given back; 0: what the container's limits make.
    pub fn soft_limit(&self) -> usize {
        self.get(SOFT_LIMIT) as usize
    }

    /// Limits of the process's cgroup and CPU affinity are obeyed.
    pub fn follow_cgroup(&self) -> bool {
        self.get(FOLLOW_CGROUP) != 0
    }

    /// Which pages regions are mapped in.
    pub fn huge_pages(&self) -> HugePages {
        HugePages::of(self.get(HUGE_PAGES))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}
