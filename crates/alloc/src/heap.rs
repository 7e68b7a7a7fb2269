//! [`Heap`]: a heap of one's own.

use crate::thread::{ALLOCATOR, outside};
use core::alloc::Layout;
use core::ffi::c_void;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr::NonNull;
use stratalloc_core::heap::Heap as CoreHeap;

/// A first-class heap: its blocks lie in spans of their own and can be freed all at once.
///
/// Any thread may allocate and free; one at a time is inside, the others wait for the few
/// nanoseconds that takes. Blocks may also be freed by [`Stratalloc`](crate::Stratalloc)'s `dealloc`
/// (or `free`), and then go home. Dropping the heap frees every block that is left: the borrow of
/// the heap in the allocator traits keeps safe code from using them afterwards; raw pointers are the
/// caller's care.
///
/// In a fork's child, a heap that another thread was in the middle of serves nothing more: it is
/// refused like memory that cannot be had, and what is freed there is lost.
///
/// Costs 3.4 KiB, and per size class in use one span of 16 to 128 KiB address space, of which the
/// pages in use count.
///
/// ```
/// use std::alloc::Layout;
///
/// let heap = stratalloc::Heap::new().expect("memory for a heap");
/// let layout = Layout::new::<[u64; 32]>();
/// let block = heap.alloc(layout).expect("memory");
/// // SAFETY: a block of this heap, resized once with its layout.
/// let block = unsafe { heap.realloc(block, layout, 4096) }.expect("memory");
/// // SAFETY: as above; freed once.
/// unsafe { heap.dealloc(block, Layout::from_size_align(4096, 8).unwrap()) };
/// heap.destroy(); // whatever else was in it goes too
/// ```
///
/// A container in a heap borrows it:
///
/// ```
/// # #[cfg(feature = "allocator-api2-02")] {
/// # use allocator_api2_02 as allocator_api2;
/// use allocator_api2::vec::Vec;
/// use stratalloc::Heap;
///
/// let heap = Heap::new().expect("memory for a heap");
/// let mut numbers = Vec::new_in(&heap);
/// numbers.push(17);
/// assert_eq!(numbers[0], 17);
/// drop(numbers);
/// drop(heap);
/// # }
/// ```
///
/// so one that is used after the heap is refused by the compiler:
///
/// ```compile_fail,E0505
/// # use allocator_api2_02 as allocator_api2;
/// use allocator_api2::vec::Vec;
/// use stratalloc::Heap;
///
/// let heap = Heap::new().expect("memory for a heap");
/// let mut numbers = Vec::new_in(&heap);
/// numbers.push(17);
/// drop(heap);
/// assert_eq!(numbers[0], 17);
/// ```
#[derive(Debug)]
pub struct Heap {
    core: NonNull<CoreHeap>,
}

// SAFETY: every use enters the heap by its tenure, which one thread has at a time.
unsafe impl Send for Heap {}
// SAFETY: as above.
unsafe impl Sync for Heap {}

impl Heap {
    /// A new, empty heap. `None`: no memory.
    #[inline(never)]
    pub fn new() -> Option<Heap> {
        crate::process::before_heap();
        NonNull::new(ALLOCATOR.new_user_heap()).map(|core| Heap { core })
    }

    /// A block of `layout.size()` bytes (0 is allowed) at `layout.align()`. `None`: it cannot be had.
    pub fn alloc(&self, layout: Layout) -> Option<NonNull<u8>> {
        let heap = self.core.as_ptr();
        // SAFETY: our heap, entered for the call.
        unsafe {
            let block =
                ALLOCATOR.with_tenure(heap, || ALLOCATOR.alloc(heap, layout.size(), layout.align().max(16)));
            outside();
            NonNull::new(block?)
        }
    }

    /// As [`alloc`](Heap::alloc), zeroed.
    pub fn alloc_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        let heap = self.core.as_ptr();
        // SAFETY: our heap, entered for the call.
        unsafe {
            let block = ALLOCATOR
                .with_tenure(heap, || ALLOCATOR.alloc_zeroed(heap, layout.size(), layout.align().max(16)));
            outside();
            NonNull::new(block?)
        }
    }

    /// Frees a block.
    ///
    /// # Safety
    /// The block is of this allocator (any of its heaps), was allocated with `layout`, is in use,
    /// and is not used after.
    pub unsafe fn dealloc(&self, block: NonNull<u8>, layout: Layout) {
        let _ = layout;
        let heap = self.core.as_ptr();
        // SAFETY: our heap, entered for the call; the caller's block. One in a buried heap is lost.
        unsafe { ALLOCATOR.with_tenure(heap, || ALLOCATOR.dealloc(heap, block.as_ptr())) };
    }

    /// Resizes a block to `size` bytes at its layout's alignment; its contents are kept up to the
    /// shorter size. `None`: it cannot be had, and the block is as before.
    ///
    /// # Safety
    /// As for [`dealloc`](Heap::dealloc); after success only the result is in use.
    pub unsafe fn realloc(&self, block: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
        let heap = self.core.as_ptr();
        // SAFETY: our heap, entered for the call; the caller's block.
        unsafe {
            let block = ALLOCATOR
                .with_tenure(heap, || ALLOCATOR.realloc(heap, block.as_ptr(), size, layout.align().max(16)));
            outside();
            NonNull::new(block?)
        }
    }

    /// Fills `out` with blocks of `layout`; returns how many it filled, from the start. Fewer than asked for: they
    /// cannot be had. One entry into the heap for all; what is at hand is taken in one go.
    ///
    /// ```
    /// use std::alloc::Layout;
    /// use std::mem::MaybeUninit;
    ///
    /// let heap = stratalloc::Heap::new().expect("memory for a heap");
    /// let mut blocks = [MaybeUninit::uninit(); 500];
    /// assert_eq!(heap.alloc_batch(Layout::new::<[u64; 8]>(), &mut blocks), 500);
    /// ```
    pub fn alloc_batch(&self, layout: Layout, out: &mut [MaybeUninit<NonNull<u8>>]) -> usize {
        let (heap, size, align) = (self.core.as_ptr(), layout.size(), layout.align().max(16));
        // SAFETY: our heap, entered for the call.
        unsafe { ALLOCATOR.with_tenure(heap, || ALLOCATOR.alloc_batch(heap, size, align, out)) }.unwrap_or(0)
    }

    /// Frees blocks, skipping null pointers. One entry into the heap for all.
    ///
    /// # Safety
    /// As for [`dealloc`](Heap::dealloc), each block once.
    pub unsafe fn dealloc_batch(&self, blocks: &[*mut u8]) {
        let heap = self.core.as_ptr();
        let free = || {
            for &block in blocks {
                // SAFETY: our heap, entered for the call; the caller's block.
                unsafe { ALLOCATOR.dealloc(heap, block) };
            }
        };
        // SAFETY: our heap. Blocks in a buried one are lost.
        unsafe { ALLOCATOR.with_tenure(heap, free) };
    }

    /// True when a block in use lies in this heap.
    ///
    /// A pointer that is no block gives false; of one that is not in use, the answer says nothing.
    pub fn contains(&self, block: *const u8) -> bool {
        ALLOCATOR.owned_by(block, self.core.as_ptr())
    }

    /// Calls `visitor` with each block in use and its usable bytes, in no order, until it returns false. True: all
    /// were shown. False: it ended the visit, or the heap is one of another thread's in a fork's child (see above).
    ///
    /// The heap is entered for the whole visit: other threads that allocate from it wait, and a visitor that itself
    /// uses the heap waits for ever. Blocks may be freed meanwhile by [`Stratalloc`](crate::Stratalloc), also by
    /// the visitor; those are shown if they were not yet, and a free on another thread that is under way when the
    /// visit begins may be seen or not. Blocks whose frees came before it are not shown. A step for each block ever
    /// handed out.
    ///
    /// ```
    /// use std::alloc::Layout;
    ///
    /// let heap = stratalloc::Heap::new().expect("memory for a heap");
    /// let block = heap.alloc(Layout::new::<[u8; 100]>()).expect("memory");
    /// let mut found = Vec::new();
    /// assert!(heap.visit(|block, size| {
    ///     found.push((block, size));
    ///     true
    /// }));
    /// assert!(found.len() == 1 && found[0].0 == block && found[0].1 >= 100);
    /// ```
    pub fn visit(&self, mut visitor: impl FnMut(NonNull<u8>, usize) -> bool) -> bool {
        let mut show = |block: *mut u8, size| match NonNull::new(block) {
            Some(block) => visitor(block, size),
            None => true,
        };
        self.show_all(&mut show)
    }

    /// Compiled once, here.
    #[inline(never)]
    fn show_all(&self, show: &mut dyn FnMut(*mut u8, usize) -> bool) -> bool {
        // SAFETY: our heap; this thread is not inside: no other method calls foreign code.
        unsafe { ALLOCATOR.visit_heap(self.core.as_ptr(), show) }.unwrap_or(false)
    }

    /// The heap as a pointer, for [`from_raw`](Heap::from_raw). What it holds stays until then.
    pub fn into_raw(self) -> NonNull<c_void> {
        ManuallyDrop::new(self).core.cast()
    }

    /// The heap of a pointer.
    ///
    /// # Safety
    /// The pointer is one of [`into_raw`](Heap::into_raw). Several `Heap`s may be made of it if all but one are
    /// kept from being dropped, and that one is dropped last.
    pub unsafe fn from_raw(heap: NonNull<c_void>) -> Heap {
        Heap { core: heap.cast() }
    }

    /// Frees all blocks of the heap, and the heap.
    ///
    /// Safe code cannot hold a block beyond the heap; who kept raw pointers must not use them.
    pub fn destroy(self) {
        drop(self);
    }
}

impl Drop for Heap {
    // Compiled once, here: the code below is the slow paths'.
    #[inline(never)]
    fn drop(&mut self) {
        // SAFETY: ours alone now.
        unsafe { ALLOCATOR.destroy_user_heap(self.core.as_ptr()) };
    }
}
