//! One allocator, one thread's heap, one mock system.

use super::Owned;
use stratalloc_core::heap::Heap;
use stratalloc_core::options::Options;
use stratalloc_core::stats::Snapshot;
use stratalloc_os::mock::Mock;

/// What a test of one thread needs.
pub struct Rig {
    pub mock: Mock,
    pub allocator: Owned,
    pub heap: *mut Heap,
}

impl Rig {
    /// Over a system with pages of so many bytes.
    pub fn new(page: usize, options: Options) -> Self {
        let mock = Mock::new(page);
        let allocator = Owned::new(&mock);
        allocator.config.apply(&options);
        let heap = allocator.adopt();
        assert!(!heap.is_null());
        Self { mock, allocator, heap }
    }

    pub fn alloc(&self, size: usize) -> *mut u8 {
        // SAFETY: our heap.
        let block = unsafe { self.allocator.alloc(self.heap, size, 16) };
        assert!(!block.is_null());
        block
    }

    pub fn free(&self, block: *mut u8) {
        // SAFETY: our heap and block.
        unsafe { self.allocator.dealloc(self.heap, block) };
    }

    pub fn figures(&self) -> Snapshot {
        self.allocator.figures(self.heap)
    }
}
