//! The calling thread's heap: its slot, its adoption at the first need, its parking at the end.
//!
//! The slot starts on [`EMPTY`], a heap without blocks that owns nothing, so the fast paths need no
//! test for "no heap yet". The first slow path publishes a heap in the slot and only then arms the
//! exit hook, which may allocate. The hook puts [`GONE`] in the slot: a thread that allocates or
//! frees after that uses the late heap, which is shared and entered for each call.

use core::ptr::null_mut;
use stratalloc_core::allocator::Allocator;
use stratalloc_core::heap::Heap;
use stratalloc_os::{NATIVE, Native, process, thread_exit};

/// The process's allocator.
pub(crate) static ALLOCATOR: Allocator<Native> = Allocator::new(NATIVE);

/// The heap of a thread that has none yet.
static EMPTY: Heap = Heap::empty();
/// The heap of a thread that has none any more.
static GONE: Heap = Heap::empty();

mod slot {
    stratalloc_os::heap_slot!(super::EMPTY, "stratalloc_heap");
}

/// The calling thread's heap: its own, [`EMPTY`] or [`GONE`]. Two instructions.
#[inline(always)]
pub(crate) fn heap() -> *mut Heap {
    slot::get().cast()
}

/// Runs `work` with a usable heap and its tenure; null when there is no memory for one.
#[inline]
pub(crate) fn with_heap<T>(work: impl FnOnce(*mut Heap) -> T) -> Option<T> {
    let own = heap();
    // SAFETY: what the slot holds is a heap; a usable one is the calling thread's.
    let result = if unsafe { ALLOCATOR.is_usable(own) } { Some(work(own)) } else { with_new_heap(own, work) };
    outside();
    result
}

/// Where a call that may have taken memory leaves the allocator: the soft limit has its turn. One load.
#[inline]
pub(crate) fn outside() {
    if ALLOCATOR.is_soft_limit_due() {
        at_soft_limit();
    }
}

#[cold]
#[inline(never)]
fn at_soft_limit() {
    // An allocation that succeeds leaves `errno` alone, whatever the callback does.
    // SAFETY: the calling thread's heap, or one that owns nothing; its work is done.
    process::preserve_errno(|| unsafe { ALLOCATOR.at_soft_limit(heap()) });
}

/// Runs `work`, which allocates `size` bytes; where it is refused by the option `limit`, once more after what
/// the calling thread and parked heaps do not use was given back.
#[inline]
pub(crate) fn within_limit(size: usize, work: impl Fn() -> *mut u8) -> *mut u8 {
    let block = work();
    if block.is_null() && may_try_again(size) { work() } else { block }
}

#[cold]
#[inline(never)]
fn may_try_again(size: usize) -> bool {
    if size > ALLOCATOR.config.limit() {
        return false;
    }
    // SAFETY: the calling thread's heap, or one that owns nothing.
    unsafe { ALLOCATOR.trim_all(heap(), 0) };
    true
}

#[cold]
fn with_new_heap<T>(own: *mut Heap, work: impl FnOnce(*mut Heap) -> T) -> Option<T> {
    if core::ptr::eq(own, &raw const GONE) {
        let late = ALLOCATOR.late_heap();
        if late.is_null() {
            return None;
        }
        // SAFETY: the late heap, and `work` does not come back here.
        return unsafe { ALLOCATOR.with_tenure(late, || work(late)) };
    }
    let adopted = adopt();
    if adopted.is_null() { None } else { Some(work(adopted)) }
}

/// Gives the thread a heap. Null: no memory.
fn adopt() -> *mut Heap {
    crate::process::before_heap();
    let heap = ALLOCATOR.adopt();
    if heap.is_null() {
        return null_mut();
    }
    slot::set(heap.cast());
    // Published: what the two calls below allocate is served.
    crate::process::after_heap(leave);
    thread_exit::arm();
    heap
}

/// The exit hook.
unsafe extern "C" fn leave() {
    let own = heap();
    slot::set((&raw const GONE).cast_mut().cast());
    // SAFETY: a usable heap in the slot was the thread's own; it is not in the slot any more.
    unsafe {
        if ALLOCATOR.is_usable(own) {
            ALLOCATOR.park(own);
        }
    }
}
