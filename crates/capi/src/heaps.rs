//! First-class heaps: `stratalloc::Heap` behind a pointer.
//!
//! The header is made from this file's documentation; see `blocks`.
#![allow(non_camel_case_types, clippy::missing_safety_doc, reason = "the header's names and words")]

use crate::blocks::{batch, product, refused, sized, strat_sized_block};
use crate::errno;
use core::alloc::Layout;
use core::ffi::c_void;
use core::mem::ManuallyDrop;
use core::ptr::{NonNull, null_mut};
use libc::{EINVAL, ENOMEM};
use stratalloc::{Heap, raw};

/// A heap of one's own: its blocks lie apart from all others and can be freed all at once.
///
/// Any thread may use it; one at a time is inside, the others wait for the few nanoseconds that takes. Its blocks
/// may also be freed by strat_free and free, on any thread. In a fork's child, a heap that another thread was in
/// the middle of is refused like memory that cannot be had, and what is freed there is lost; all others serve the
/// child.
pub struct strat_heap {
    _opaque: [u8; 0],
}

/// Called for each block in use, with its usable bytes and the argument of strat_heap_visit. False ends the visit.
pub type strat_visitor =
    Option<unsafe extern "C" fn(block: *mut c_void, size: usize, argument: *mut c_void) -> bool>;

/// The heap of a pointer; `None` for null, with errno EINVAL.
///
/// # Safety
/// `heap` is null or of `strat_heap_new`, and not destroyed.
unsafe fn at(heap: *const strat_heap) -> Option<ManuallyDrop<Heap>> {
    match NonNull::new(heap.cast_mut()) {
        // SAFETY: the caller's heap; this one is never dropped.
        Some(heap) => Some(ManuallyDrop::new(unsafe { Heap::from_raw(heap.cast()) })),
        None => {
            errno::set(EINVAL);
            None
        }
    }
}

fn or_null(block: Option<NonNull<u8>>) -> *mut c_void {
    match block {
        Some(block) => block.as_ptr().cast(),
        None => refused(ENOMEM),
    }
}

/// Alignment of a request that names none.
const PLAIN: usize = 16;

/// A block of `size` bytes, or null with errno.
unsafe fn block_of(heap: *mut strat_heap, size: usize, alignment: usize) -> *mut c_void {
    // SAFETY: the caller's heap.
    let Some(heap) = (unsafe { at(heap) }) else { return null_mut() };
    or_null(Layout::from_size_align(size, alignment).ok().and_then(|layout| heap.alloc(layout)))
}

/// A new, empty heap. Null with errno ENOMEM. The caller's, to be ended by strat_heap_destroy. Any thread.
///
/// Costs some 3.5 KiB, and for each size class in use a span of its own, of which the pages in use count.
#[unsafe(no_mangle)]
pub extern "C" fn strat_heap_new() -> *mut strat_heap {
    match Heap::new() {
        Some(heap) => heap.into_raw().as_ptr().cast(),
        None => refused(ENOMEM).cast(),
    }
}

/// Ends a heap and frees all its blocks, those in use too. Null is allowed.
///
/// A call that another thread is inside of is waited for; a call that begins later, and any use of a block of the
/// heap afterwards, is the program's error. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_heap_destroy(heap: *mut strat_heap) {
    if let Some(heap) = NonNull::new(heap) {
        // SAFETY: the caller's heap, dropped here and nowhere else.
        drop(unsafe { Heap::from_raw(heap.cast()) });
    }
}

/// strat_malloc from a heap. Null with errno ENOMEM, or EINVAL where the heap is null. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_heap_malloc(heap: *mut strat_heap, size: usize) -> *mut c_void {
    // SAFETY: the caller's heap.
    unsafe { block_of(heap, size, PLAIN) }
}

/// strat_calloc from a heap. Null with errno ENOMEM, also where the product overflows, or EINVAL where the heap is
/// null. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_heap_calloc(heap: *mut strat_heap, count: usize, size: usize) -> *mut c_void {
    // SAFETY: the caller's heap.
    let Some(heap) = (unsafe { at(heap) }) else { return null_mut() };
    let layout = product(count, size).and_then(|bytes| Layout::from_size_align(bytes, PLAIN).ok());
    or_null(layout.and_then(|layout| heap.alloc_zeroed(layout)))
}

/// strat_aligned_alloc from a heap. Null with errno EINVAL where `alignment` is no power of two or the heap is
/// null, or ENOMEM. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_heap_aligned_alloc(
    heap: *mut strat_heap,
    alignment: usize,
    size: usize,
) -> *mut c_void {
    if !alignment.is_power_of_two() {
        return refused(EINVAL);
    }
    // SAFETY: the caller's heap.
    unsafe { block_of(heap, size, alignment) }
}

/// strat_realloc in a heap: a block that moves, or a new one, is of `heap`, whichever heap it was of. Null with
/// errno ENOMEM, or EINVAL where the heap is null; the block is then as before. Any thread, one at a time on a
/// block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_heap_realloc(
    heap: *mut strat_heap,
    block: *mut c_void,
    size: usize,
) -> *mut c_void {
    let Some(old) = NonNull::new(block) else {
        // SAFETY: the caller's heap.
        return unsafe { block_of(heap, size, PLAIN) };
    };
    // SAFETY: the caller's heap.
    let Some(heap) = (unsafe { at(heap) }) else { return null_mut() };
    // The heap looks a block's size up; of the layout only the alignment counts.
    const LAYOUT: Layout = Layout::new::<u128>();
    // SAFETY: the caller's block.
    unsafe {
        if size == 0 {
            heap.dealloc(old.cast(), LAYOUT);
            return null_mut();
        }
        or_null(heap.realloc(old.cast(), LAYOUT, size))
    }
}

/// strat_malloc_at_least from a heap. Null and 0 with errno ENOMEM, or EINVAL where the heap is null. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_heap_malloc_at_least(heap: *mut strat_heap, size: usize) -> strat_sized_block {
    // SAFETY: the caller's heap.
    sized(unsafe { block_of(heap, size, PLAIN) }.cast(), size)
}

/// strat_malloc_batch from a heap: one entry into the heap for all. Fewer than `count`: errno ENOMEM; EINVAL and 0
/// where the heap or the array is null. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_heap_malloc_batch(
    heap: *mut strat_heap,
    size: usize,
    count: usize,
    out: *mut *mut c_void,
) -> usize {
    // SAFETY: the caller's heap and array.
    unsafe { strat_heap_aligned_malloc_batch(heap, PLAIN, size, count, out) }
}

/// strat_heap_malloc_batch with blocks at multiples of `alignment`. 0 with errno EINVAL where that is no power of
/// two.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_heap_aligned_malloc_batch(
    heap: *mut strat_heap,
    alignment: usize,
    size: usize,
    count: usize,
    out: *mut *mut c_void,
) -> usize {
    // SAFETY: the caller's heap.
    let Some(heap) = (unsafe { at(heap) }) else { return 0 };
    if !alignment.is_power_of_two() {
        errno::set(EINVAL);
        return 0;
    }
    let layout = Layout::from_size_align(size, alignment);
    // SAFETY: the caller's array.
    unsafe { batch(count, out, |out| layout.map_or(0, |layout| heap.alloc_batch(layout, out))) }
}

/// Ends the life of a block of any heap. Null is allowed.
///
/// Blocks of `heap` go straight back; those of other heaps go to theirs. With a null heap, strat_free. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_heap_free(heap: *mut strat_heap, block: *mut c_void) {
    // SAFETY: the caller's heap and block.
    unsafe { strat_heap_free_batch(heap, &block, 1) };
}

/// Frees `count` blocks with one entry into the heap. Null entries are allowed, and a null array; with a null heap,
/// strat_free_batch. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_heap_free_batch(heap: *mut strat_heap, blocks: *const *mut c_void, count: usize) {
    if blocks.is_null() || count == 0 {
        return;
    }
    // SAFETY: the caller's array.
    let blocks = unsafe { core::slice::from_raw_parts(blocks.cast::<*mut u8>(), count) };
    match NonNull::new(heap) {
        // SAFETY: the caller's heap and blocks; this one is never dropped.
        Some(heap) => unsafe { ManuallyDrop::new(Heap::from_raw(heap.cast())).dealloc_batch(blocks) },
        // SAFETY: the caller's blocks.
        None => blocks.iter().for_each(|&block| unsafe { raw::dealloc(block) }),
    }
}

/// Whether a block in use lies in the heap. False where either is null, or the pointer is no block. errno stays.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_heap_contains(heap: *const strat_heap, block: *const c_void) -> bool {
    // SAFETY: the caller's heap.
    !heap.is_null() && unsafe { at(heap) }.is_some_and(|heap| heap.contains(block.cast()))
}

/// Calls `visitor` with every block of the heap that is in use, in no order, until it returns false.
///
/// True: all were shown. False: the visitor returned false; or the heap or the visitor is null (errno EINVAL); or
/// the heap is one that a fork's child cannot use (errno ENOMEM).
///
/// The heap is entered for the whole visit: other threads that allocate from it wait, and a visitor that calls a
/// function on this heap waits for ever. It must return, not throw or jump. It may call everything else, and may
/// free blocks of the heap, the one it is shown too, by strat_free. What is freed meanwhile, by the visitor or on
/// other threads, is shown if it was not yet; a free on another thread that is under way when the visit begins may
/// be seen or not. Blocks whose free came before it are not shown. Costs a step for each block that was ever handed
/// out.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_heap_visit(
    heap: *mut strat_heap,
    visitor: strat_visitor,
    argument: *mut c_void,
) -> bool {
    // SAFETY: the caller's heap.
    let Some(heap) = (unsafe { at(heap) }) else { return false };
    let Some(visitor) = visitor else {
        errno::set(EINVAL);
        return false;
    };
    let mut ended = false;
    let all = heap.visit(|block, size| {
        // SAFETY: the caller's function and argument.
        let more = unsafe { visitor(block.as_ptr().cast(), size, argument) };
        ended = !more;
        more
    });
    if !all && !ended {
        errno::set(ENOMEM);
    }
    all
}
