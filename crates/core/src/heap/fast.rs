//! The paths that every allocation and free takes.
//!
//! Instruction counts are gated (`cargo xtask gate`): a change here that costs one shows itself.

use super::Front;
use crate::addr::addr;
use crate::class::{SMALL_MAX, TABLE, index};
use crate::directory::Directory;
use crate::span::{Block, Span};

/// A block of at least `size` bytes aligned to 16 B, or what `slow` returns when the heap has none
/// at hand (or is [`Front::empty`], or the size is large). 14 instructions.
///
/// # Safety
/// The caller has the tenure of the heap (or has the pocket) that `front` is of.
#[inline(always)]
pub unsafe fn alloc_or(front: *mut Front, size: usize, slow: impl FnOnce(usize) -> *mut u8) -> *mut u8 {
    if size > SMALL_MAX {
        return slow(size);
    }
    // SAFETY: the index is below the table's length by the test; the class is below CLASSES by the
    // table's proof.
    unsafe {
        let class = *TABLE.get_unchecked(index(size)) as usize;
        alloc_class_or(front, class, || slow(size))
    }
}

/// As [`alloc_or`] for a class known already.
///
/// # Safety
/// As for [`alloc_or`]; `class` is below `CLASSES`.
#[inline(always)]
pub unsafe fn alloc_class_or(front: *mut Front, class: usize, slow: impl FnOnce() -> *mut u8) -> *mut u8 {
    // SAFETY: the caller's contract.
    match unsafe { pop(front, class) } {
        block if block.is_null() => slow(),
        block => block.cast(),
    }
}

/// Pops a block of the class's list, or returns null.
///
/// # Safety
/// As for [`alloc_class_or`].
#[inline(always)]
pub(crate) unsafe fn pop(front: *mut Front, class: usize) -> *mut Block {
    // SAFETY: a list of the caller's; its blocks are free memory. The empty front's lists are null and never
    // written.
    unsafe {
        let list = (&raw mut (*front).lists).cast::<*mut Block>().add(class);
        let block = *list;
        if !block.is_null() {
            let next = (*block).next;
            Block::prefetch(next);
            *list = next;
        }
        block
    }
}

/// Frees a block of a span that the heap owns whose front is `front`; `event` when the span's countdown ends, `slow`,
/// with the span, for everything else: null, foreign, another heap's, large. 17 instructions.
///
/// # Safety
/// As for [`alloc_or`]; `block` is null or below
/// [`ADDRESS_END`](crate::directory::ADDRESS_END) and, if it is a block of this allocator, in use.
#[inline(always)]
pub unsafe fn dealloc_or(
    directory: &Directory,
    front: *mut Front,
    block: *mut u8,
    event: impl FnOnce(*mut Span),
    slow: impl FnOnce(*mut u8, *mut Span),
) {
    // SAFETY: if the caller's heap owns the span, its first line is the caller's.
    unsafe {
        let span = match directory.lookup_owned(addr(block), addr(front)) {
            Ok(span) => span,
            Err(span) => return slow(block, span),
        };
        let list = (*span).list;
        let block = block.cast::<Block>();
        (*block).next = *list;
        *list = block;
        // After the link: of a span that is available, others may have the memory from here on.
        if Span::count_down(span) {
            event(span);
        }
    }
}
