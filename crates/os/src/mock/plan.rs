//! Which calls fail, and how many there were.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// The kinds of calls that a [`Mock`](super::Mock) counts, and of which it can make some fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`Os::map`](stratalloc_core::os::Os::map); failing: `None`.
    Map,
    /// [`Os::unmap`](stratalloc_core::os::Os::unmap); failing: false, the range stays.
    Unmap,
    /// [`Os::purge`](stratalloc_core::os::Os::purge); failing: false, the contents are scribbled over.
    Purge,
    /// [`Os::remap`](stratalloc_core::os::Os::remap); failing: `Refused`.
    Remap,
    /// [`Os::map_reserved`](stratalloc_core::os::Os::map_reserved); failing: `None`.
    MapReserved,
    /// [`Os::advise`](stratalloc_core::os::Os::advise); failing: false.
    Advise,
    /// [`Os::huge_system`](stratalloc_core::os::Os::huge_system); cannot fail.
    HugeSystem,
    /// [`Os::wait`](stratalloc_core::os::Os::wait); cannot fail.
    Wait,
    /// [`Os::wake`](stratalloc_core::os::Os::wake); cannot fail.
    Wake,
    /// [`Os::yield_now`](stratalloc_core::os::Os::yield_now); cannot fail.
    Yield,
    /// [`Os::now_ms`](stratalloc_core::os::Os::now_ms); cannot fail.
    Now,
    /// [`Os::spawn_purger`](stratalloc_core::os::Os::spawn_purger); failing: false.
    Spawn,
    /// [`Os::write_err`](stratalloc_core::os::Os::write_err); cannot fail.
    WriteErr,
    /// [`Os::limits`](stratalloc_core::os::Os::limits); failing: nothing is known.
    Limits,
}

/// Kinds of calls.
const KINDS: usize = Call::Limits as usize + 1;

/// Counts and faults of one kind. Call numbers start at 1; 0 in a plan means never.
#[derive(Default)]
struct Kind {
    count: AtomicU64,
    fail_once: AtomicU64,
    fail_from: AtomicU64,
}

/// Counts and faults of all kinds.
#[derive(Default)]
pub(super) struct Plan {
    kinds: [Kind; KINDS],
}

impl Plan {
    /// Counts a call; true if it is to fail.
    pub(super) fn fails(&self, call: Call) -> bool {
        let kind = &self.kinds[call as usize];
        let number = kind.count.fetch_add(1, SeqCst) + 1;
        let from = kind.fail_from.load(SeqCst);
        number == kind.fail_once.load(SeqCst) || (from != 0 && number >= from)
    }

    /// Calls so far.
    pub(super) fn count(&self, call: Call) -> u64 {
        self.kinds[call as usize].count.load(SeqCst)
    }

    /// The `n`-th call from now on fails.
    pub(super) fn fail_nth(&self, call: Call, n: u64) {
        self.kinds[call as usize].fail_once.store(self.count(call) + n, SeqCst);
    }

    /// All calls after the next `n` fail.
    pub(super) fn fail_after(&self, call: Call, n: u64) {
        self.kinds[call as usize].fail_from.store(self.count(call) + n + 1, SeqCst);
    }

    /// No call fails.
    pub(super) fn heal(&self) {
        for kind in &self.kinds {
            kind.fail_once.store(0, SeqCst);
            kind.fail_from.store(0, SeqCst);
        }
    }
}
