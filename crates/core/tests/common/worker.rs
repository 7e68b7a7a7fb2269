//! Real threads over one allocator, a pattern in every block. `STRATALLOC_STRESS` multiplies the number of rounds.

use super::oracle::nobody;
use super::random::Random;
use super::{Checked, Owned, pattern};
use stratalloc_core::allocator::Allocator;
use stratalloc_core::heap::Heap;
use stratalloc_core::options::Options;
use stratalloc_core::stats::Snapshot;
use stratalloc_os::mock::Mock;

pub type Alloc = Allocator<Checked>;

/// A block in somebody's hands: its pattern's number is its first owner's.
pub struct Block {
    pub start: usize,
    pub usable: usize,
    pub id: u64,
}

impl Block {
    pub fn pointer(&self) -> *mut u8 {
        stratalloc_core::addr::ptr(self.start)
    }
}

/// What a thread uses.
pub struct Worker<'a> {
    pub allocator: &'a Alloc,
    pub heap: *mut Heap,
    pub random: Random,
}

impl<'a> Worker<'a> {
    pub fn new(allocator: &'a Alloc, seed: u64) -> Self {
        let heap = allocator.adopt();
        assert!(!heap.is_null());
        Self { allocator, heap, random: Random::new(seed) }
    }

    pub fn admit(&mut self, start: *mut u8, size: usize) -> Block {
        assert!(!start.is_null() && start.addr().is_multiple_of(16));
        // SAFETY: in use.
        let usable = unsafe { self.allocator.usable_size(start) };
        assert!(usable >= size);
        let id = self.random.next();
        // SAFETY: ours.
        unsafe { pattern::fill(start, usable, id) };
        Block { start: start.addr(), usable, id }
    }

    pub fn alloc(&mut self, size: usize) -> Block {
        let zeroed = self.random.below(4) == 0;
        // SAFETY: our heap.
        let start = unsafe {
            if zeroed {
                let start = self.allocator.alloc_zeroed(self.heap, size, 16);
                pattern::check_zero(start, size);
                start
            } else {
                self.allocator.alloc(self.heap, size, 16)
            }
        };
        self.admit(start, size)
    }

    /// Sizes that make spans of many and of few blocks, and now and then a large block.
    pub fn some(&mut self) -> Block {
        let size = match self.random.below(64) {
            0 => self.random.size(18),
            1..8 => self.random.size(15),
            _ => self.random.size(9),
        };
        self.alloc(size)
    }

    pub fn free(&mut self, block: Block) {
        // SAFETY: the block is ours, and our heap.
        unsafe {
            pattern::check(block.pointer(), block.usable, block.id);
            self.allocator.dealloc(self.heap, block.pointer());
        }
    }

    pub fn realloc(&mut self, block: Block) -> Block {
        let size = self.random.size(17);
        // SAFETY: as above; the result is as long as asked.
        let start = unsafe {
            pattern::check(block.pointer(), block.usable, block.id);
            let start = self.allocator.realloc(self.heap, block.pointer(), size, 16);
            pattern::check(start, block.usable.min(size), block.id);
            start
        };
        self.admit(start, size)
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: our heap, not used after.
            unsafe { self.allocator.park(self.heap) };
        }
    }
}

pub fn rounds(base: usize) -> usize {
    let times = std::env::var("STRATALLOC_STRESS").map_or(1, |text| text.parse().expect("a number"));
    base * times
}

pub fn allocator(options: Options) -> (Mock, Owned) {
    let mock = Mock::new(4096);
    let allocator = Owned::new(&mock);
    allocator.config.apply(&options);
    (mock, allocator)
}

pub fn figures(allocator: &Alloc) -> Snapshot {
    let mut snapshot = Snapshot::EMPTY;
    // SAFETY: no heap.
    unsafe { allocator.snapshot(nobody(), &mut snapshot) };
    assert!(snapshot.allocated <= snapshot.active && snapshot.active <= snapshot.mapped, "{snapshot:?}");
    assert_eq!(snapshot.active + snapshot.dirty + snapshot.clean, snapshot.mapped);
    snapshot
}

/// All threads have left and all blocks are freed.
#[track_caller]
pub fn nothing_is_left(allocator: &Alloc) {
    // SAFETY: no heap.
    unsafe { allocator.trim_all(nobody().cast(), 0) };
    let snapshot = figures(allocator);
    assert_eq!((snapshot.allocated, snapshot.active, snapshot.dirty), (0, 0, 0), "{snapshot:?}");
    assert_eq!((snapshot.heaps, snapshot.orphans), (0, 0));
}
