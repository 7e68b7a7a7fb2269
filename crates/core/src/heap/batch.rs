//! Batches: blocks of one span that this heap does not own, on their way to its owner.
//!
//! A remote free goes into the batch for its span. There is one for each of [`SLOTS`] hash values of
//! the span's address; a batch that is full, or whose slot another span needs, goes home by one
//! exchange (`foreign::send`; batching per span is snmalloc's idea). Blocks of a batch count as in
//! use for the span's owner, so the span lives as long as a batch names it.
//!
//! Only small spans of thread heaps have batches: who may be destroyed as a whole waits for nothing.

use super::{Heap, Role};
use crate::addr::{addr, ptr};
use crate::allocator::Allocator;
use crate::os::Os;
use crate::span::{Block, Kind, Span};
use core::ptr::null_mut;
use core::sync::atomic::{Ordering, compiler_fence};

/// Batches that a heap keeps open.
const SLOTS: usize = 32;
/// Blocks of one batch at most.
const BLOCKS: u32 = 32;
/// Bytes of one batch at most, in blocks: larger blocks go home at once.
const BYTES: u32 = 4096;

/// Blocks of one span, linked from `head` to `tail`.
#[derive(Clone, Copy, Debug)]
struct Batch {
    span: *mut Span,
    head: *mut Block,
    /// Offset of the last block in the span, in units of 16 B.
    tail: u32,
    /// Blocks in it.
    count: u16,
    /// Blocks that it goes home with.
    limit: u16,
}

impl Batch {
    const EMPTY: Batch = Batch { span: null_mut(), head: null_mut(), tail: 0, count: 0, limit: 0 };
}

/// A heap's open batches.
#[derive(Debug)]
pub(super) struct Batches {
    /// A bit for each slot that holds a batch.
    open: u32,
    slots: [Batch; SLOTS],
}

const _: () = assert!(SLOTS <= u32::BITS as usize);

fn slot_of(span: *mut Span) -> usize {
    (addr(span) >> 7) % SLOTS
}

impl<O: Os> Allocator<O> {
    /// Frees a block into the open batch of its span; `full` with the batch's slot when it must be sent
    /// ([`flush`](Self::flush)), `slow` when there is no such batch (or the block is none of the span's, or
    /// the one freed last) and nothing was done.
    ///
    /// # Safety
    /// The caller has the heap's tenure; `block` is null or below
    /// [`ADDRESS_END`](crate::directory::ADDRESS_END) and, if it is a block of this allocator, in use.
    #[inline(always)]
    pub unsafe fn free_batched_or(
        &self,
        heap: *mut Heap,
        block: *mut u8,
        full: impl FnOnce(usize),
        slow: impl FnOnce(*mut u8),
    ) {
        // SAFETY: a span with a batch is alive, small and of a thread heap.
        unsafe {
            let span = self.directory.lookup(addr(block));
            let slot = slot_of(span);
            let batch = Self::batch(heap, slot);
            let link = block.cast::<Block>();
            if (*batch).span != span || (*batch).head == link || !(*span).is_small_block(addr(block)) {
                return slow(block);
            }
            if Self::push(batch, link) {
                full(slot);
            }
        }
    }

    /// Blocks of `size` bytes that a batch goes home with. Where heaps may keep little, its part of that.
    fn batch_limit(&self, size: u32) -> u16 {
        let bytes = (self.limits.kept() / SLOTS).min(BYTES as usize) as u32;
        (bytes / size).clamp(1, BLOCKS) as u16
    }

    /// The batch in `slot`.
    #[inline(always)]
    fn batch(heap: *mut Heap, slot: usize) -> *mut Batch {
        // SAFETY: inside the heap's array: slots are below `SLOTS`.
        unsafe { (&raw mut (*heap).batches.slots).cast::<Batch>().add(slot) }
    }

    /// Adds a block to a batch. True: it is full.
    #[inline(always)]
    unsafe fn push(batch: *mut Batch, block: *mut Block) -> bool {
        // SAFETY: a batch of the caller's heap; the block is ours.
        unsafe {
            Block::link(block, (*batch).head);
            (*batch).head = block;
            // In this order: a fork in a signal handler in between loses a block, not the chain.
            compiler_fence(Ordering::SeqCst);
            (*batch).count += 1;
            (*batch).count >= (*batch).limit
        }
    }

    /// Frees a block of a span that `heap` does not own: a small one, or the large block of a
    /// first-class heap.
    ///
    /// # Safety
    /// The caller has the heap's tenure; the block is one of the span's and in use.
    pub(crate) unsafe fn free_remote(&self, heap: *mut Heap, span: *mut Span, block: *mut Block) {
        // SAFETY: the caller's heap; the block was the program's and is now ours.
        unsafe {
            let owner = (*span).owner();
            let user = owner > 2 && owner != addr(heap) && (*ptr::<Heap>(owner)).front.role == Role::User;
            let size = (*span).block_size;
            if user || (*span).kind == Kind::Large || size * 2 > BYTES {
                return self.send(heap, span, block, block, 1, 0);
            }
            let slot = slot_of(span);
            let batch = Self::batch(heap, slot);
            if (*batch).span != span {
                self.flush(heap, slot);
                *batch = Batch {
                    span,
                    head: null_mut(),
                    tail: ((addr(block) - (*span).start) >> 4) as u32,
                    count: 0,
                    limit: self.batch_limit(size),
                };
                (*heap).batches.open |= 1 << slot;
            } else if (*batch).head == block {
                return self.double_free(addr(block));
            }
            if Self::push(batch, block) {
                self.flush(heap, slot);
            }
        }
    }

    /// Sends the batch in `slot`, if there is one.
    ///
    /// # Safety
    /// The caller has the heap's tenure.
    #[cold]
    #[inline(never)]
    pub unsafe fn flush(&self, heap: *mut Heap, slot: usize) {
        // SAFETY: a batch of the caller's heap.
        unsafe {
            let Batch { span, head, tail, count, .. } = *Self::batch(heap, slot);
            *Self::batch(heap, slot) = Batch::EMPTY;
            (*heap).batches.open &= !(1 << slot);
            if count > 0 {
                let tail = ptr((*span).start + ((tail as usize) << 4));
                self.send(heap, span, head, tail, u32::from(count), 0);
            }
        }
    }

    /// Sends all open batches.
    ///
    /// # Safety
    /// The caller has the heap's tenure.
    pub unsafe fn flush_batches(&self, heap: *mut Heap) {
        // SAFETY: the caller's heap.
        unsafe {
            loop {
                let open = (*heap).batches.open;
                if open == 0 {
                    return;
                }
                self.flush(heap, open.trailing_zeros() as usize);
            }
        }
    }
}
