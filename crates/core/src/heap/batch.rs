//! Batches: blocks of one span that this heap does not own, on their way to its owner.
//!
//! A remote free goes into the batch for its span. There is one for each of [`SLOTS`] hash values of
//! the span's address; a batch that is full, or whose slot another span needs, goes home by one
//! exchange (`foreign::send`; batching per span is snmalloc's idea). Blocks of a batch count as in
//! use for the span's owner, so the span lives as long as a batch names it.
//!
//! Room is given out in steps of [`BYTES`] and at most [`BLOCKS`], as many as there are slots. A batch begins with one;
//! when that is used up, it goes on with another, up to [`STEPS`]; where none is left, the next other batch is sent for
//! it. So spans that many blocks are freed of have long batches. A batch that goes home full takes the next other one
//! with it: what is freed of no more does not wait for long.
//!
//! Only small spans of thread heaps have batches: who may be destroyed as a whole waits for nothing.
//!
//! A block joins an open batch by stores whose every prefix a fork's child can live with. Whatever else changes
//! batches marks the heap unsettled: between the parts of an open one, a child would link a block that is in use.

use super::{Heap, Unsettled};
use crate::addr::{addr, ptr};
use crate::allocator::Allocator;
use crate::os::Os;
use crate::span::{Block, Kind, Span};
use core::ptr::null_mut;
use core::sync::atomic::{Ordering, compiler_fence};

/// Batches that a heap keeps open.
const SLOTS: usize = 32;
/// Blocks of one step at most.
const BLOCKS: u32 = 32;
/// Bytes of one step, in blocks, at most: 128 KiB for all that a heap has.
const BYTES: usize = 4096;
/// Steps of one batch at most.
const STEPS: u32 = 4;
/// Blocks above so many bytes go home at once.
const LARGEST: usize = 2048;

/// Blocks of one span, linked from `head` to `tail`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Batch {
    span: *mut Span,
    head: *mut Block,
    /// Offset of the last block in the span, in units of 16 B.
    tail: u32,
    /// Blocks that it has room for.
    limit: u16,
    /// Blocks in it. Not at a multiple of four: there LLVM reads 32 bits for 16, which on x86-64 cannot come from the 16 that
    /// the free before has just stored, so that each free waits until the one before has its block's cache line.
    count: u16,
}

const _: () = assert!(!core::mem::offset_of!(Batch, count).is_multiple_of(4));

impl Batch {
    const EMPTY: Batch = Batch { span: null_mut(), head: null_mut(), tail: 0, limit: 0, count: 0 };
}

/// A heap's open batches.
#[derive(Debug)]
pub(super) struct Batches {
    /// A bit for each slot that holds a batch.
    open: u32,
    /// Steps of all of them.
    steps: u32,
    /// Where [`Allocator::flush_one`] begins to look.
    hand: u32,
    slots: [Batch; SLOTS],
}

const _: () = assert!(SLOTS <= u32::BITS as usize);

fn slot_of(span: *mut Span) -> usize {
    (addr(span) >> 7) % SLOTS
}

impl<O: Os> Allocator<O> {
    /// Frees a block into the open batch of `span`, in which it lies; `full` with the batch's slot when that has no more
    /// room ([`batch_full`](Self::batch_full)), `slow` when there is no such batch (or the block is none of the span's, or
    /// the one freed last) and nothing was done. 36 instructions with what leads here.
    ///
    /// # Safety
    /// The caller has the heap's tenure; the block, if it is one of this allocator, is in use.
    #[inline(always)]
    pub unsafe fn free_batched_or(
        &self,
        heap: *mut Heap,
        block: *mut u8,
        span: *mut Span,
        full: impl FnOnce(usize),
        slow: impl FnOnce(*mut u8),
    ) {
        // SAFETY: a span with a batch is alive, small and of a thread heap.
        unsafe {
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

    /// Blocks of `span` in a step. Where heaps may keep little, their part of that: 0 when a block is more.
    unsafe fn step(&self, span: *mut Span) -> u32 {
        let bytes = (self.limits.kept() / SLOTS).min(BYTES);
        // SAFETY: the caller's span: it is alive and small.
        ((bytes / unsafe { (*span).block_size() }) as u32).min(BLOCKS)
    }

    /// Opens a batch for a span in `slot`, which is free. `first`: the block that it will begin with.
    unsafe fn open(&self, heap: *mut Heap, slot: usize, span: *mut Span, first: *mut Block) {
        // SAFETY: the caller's heap and span.
        unsafe {
            self.take_step(heap, slot);
            *Self::batch(heap, slot) = Batch {
                span,
                head: null_mut(),
                tail: ((addr(first) - (*span).start) >> 4) as u32,
                count: 0,
                limit: self.step(span).max(1) as u16,
            };
            (*heap).batches.open |= 1 << slot;
        }
    }

    /// Takes a step for `slot`. Where none is left, others' batches are sent.
    unsafe fn take_step(&self, heap: *mut Heap, slot: usize) {
        // SAFETY: the caller's heap.
        unsafe {
            while (*heap).batches.steps >= SLOTS as u32 && self.flush_after(heap, slot) {}
            (*heap).batches.steps += 1;
        }
    }

    /// Sends the next batch behind `slot`, not the one in it. False: there is no other.
    unsafe fn flush_after(&self, heap: *mut Heap, slot: usize) -> bool {
        // SAFETY: the caller's heap.
        unsafe {
            let others = (*heap).batches.open & !(1 << slot);
            let ahead = others.rotate_right(slot as u32).trailing_zeros() as usize;
            if others != 0 {
                self.flush(heap, (slot + ahead) % SLOTS);
            }
            others != 0
        }
    }

    /// A batch's room is used up: gives it another step, or sends it.
    ///
    /// # Safety
    /// The caller has the heap's tenure; there is a batch in `slot`.
    #[cold]
    #[inline(never)]
    pub unsafe fn batch_full(&self, heap: *mut Heap, slot: usize) {
        // SAFETY: a batch of the caller's heap; it holds blocks, so the span is alive.
        unsafe {
            let _unsettled = Unsettled::enter(heap);
            let batch = Self::batch(heap, slot);
            let step = self.step((*batch).span);
            if u32::from((*batch).limit) < STEPS * step {
                self.take_step(heap, slot);
                (*batch).limit += step as u16;
            } else {
                self.flush(heap, slot);
                if step > 0 {
                    // Spans of which nothing is freed any more do not wait for long.
                    self.flush_after(heap, slot);
                }
            }
        }
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
            let _unsettled = Unsettled::enter(heap);
            let of_others = (*span).owner() != addr(heap) && Heap::is_users(span);
            if of_others || (*span).kind == Kind::Large || (*span).block_size() > LARGEST {
                return self.send(heap, span, block, block, 1, 0);
            }
            let slot = slot_of(span);
            let batch = Self::batch(heap, slot);
            if (*batch).span != span {
                self.flush(heap, slot);
                self.open(heap, slot, span, block);
            } else if (*batch).head == block {
                return self.double_free(addr(block));
            }
            if Self::push(batch, block) {
                self.batch_full(heap, slot);
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
            let _unsettled = Unsettled::enter(heap);
            let Batch { span, head, tail, count, limit } = *Self::batch(heap, slot);
            *Self::batch(heap, slot) = Batch::EMPTY;
            let batches = &raw mut (*heap).batches;
            (*batches).open &= !(1 << slot);
            if count > 0 {
                let steps = u32::from(limit).div_ceil(self.step(span).max(1));
                (*batches).steps = (*batches).steps.saturating_sub(steps);
            }
            if (*batches).open == 0 {
                // Also where heaps may keep more or less by now, and a step was another number of blocks.
                (*batches).steps = 0;
            }
            if count > 0 {
                let tail = ptr((*span).start + ((tail as usize) << 4));
                self.send(heap, span, head, tail, u32::from(count), 0);
            }
        }
    }

    /// Sends one open batch, each time the next, so that none waits for ever with the span that its blocks lie in.
    ///
    /// # Safety
    /// The caller has the heap's tenure.
    pub(super) unsafe fn flush_one(&self, heap: *mut Heap) {
        // SAFETY: the caller's heap.
        unsafe {
            let Batches { open, hand, .. } = (*heap).batches;
            if open != 0 {
                let slot = (hand + open.rotate_right(hand).trailing_zeros()) % SLOTS as u32;
                (*heap).batches.hand = slot + 1;
                self.flush(heap, slot as usize);
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
