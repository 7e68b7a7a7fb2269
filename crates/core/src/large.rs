//! Large blocks: a span each, straight from the page heap.
//!
//! A large block begins at its span's first byte; its usable size is the request rounded up to
//! pages, and the rest of its last slice is never touched. Its owner word names no heap (or the
//! first-class heap it belongs to), so a free of it always takes the slow path.

use crate::addr::{addr, ptr};
use crate::allocator::Allocator;
use crate::class::SLICE;
use crate::frames::FRAME;
use crate::heap::{Heap, Role};
use crate::os::{Moved, Os};
use crate::page_heap::{Gaps, PageHeap, Purpose};
use crate::span::{Kind, OWNER_LARGE, Place, Span};
use crate::sync::atomic::Ordering;
use core::ptr::{NonNull, null_mut};

/// Largest request, bytes: `Layout`'s and C's limit.
pub const MAX_SIZE: usize = isize::MAX as usize;

/// Slices of the largest block that may be copied where it grows, 4 MiB: up to there dirty memory of the
/// new size is no accident.
const COPIED: usize = (4 << 20) / SLICE;
/// Slices of the largest block, 256 KiB, for which it is enough that somewhere as much is dirty: a system call
/// and the faults that follow it cost more than the copy.
const COPIED_SOON: usize = (256 << 10) / SLICE;

impl<O: Os> Allocator<O> {
    fn page_round(&self, size: usize) -> Option<usize> {
        crate::addr::round_up(size.max(1), self.os.page_size())
    }

    /// A large block of `size` bytes at `align` (a power of two). Null: it cannot be had. Its pages are those of
    /// free runs, where that spares it others.
    ///
    /// # Safety
    /// The caller has the heap's tenure.
    #[cold]
    pub unsafe fn alloc_large(&self, heap: *mut Heap, size: usize, align: usize) -> *mut u8 {
        let mut gaps = Gaps::new();
        // SAFETY: the caller's heap; the block is new.
        unsafe {
            let (block, _) = self.take_large(heap, size, align, Some(&mut gaps));
            if !block.is_null() {
                self.recycle((*heap).node as usize, &gaps);
            }
            block
        }
    }

    /// A large block of `size` bytes at `align` (a power of two) as the page heap has it, and whether it reads as
    /// zero. Null: it cannot be had. `gaps`: where to note which of its slices are clean.
    ///
    /// # Safety
    /// The caller has the heap's tenure.
    #[cold]
    pub(crate) unsafe fn take_large(
        &self,
        heap: *mut Heap,
        size: usize,
        align: usize,
        gaps: Option<&mut Gaps>,
    ) -> (*mut u8, bool) {
        let none = (null_mut(), false);
        if size > MAX_SIZE || align > MAX_SIZE {
            return none;
        }
        let Some(usable) = self.page_round(size) else { return none };
        let slices = usable.div_ceil(SLICE);
        if slices > u32::MAX as usize {
            return none;
        }
        let mut zeroed = false;
        // SAFETY: the caller's heap; the descriptor is ours.
        unsafe {
            let user = (*heap).front.role == Role::User;
            let owner = if user { addr(heap) } else { OWNER_LARGE };
            let mut init = |span: *mut Span, zero| {
                zeroed = zero;
                (*span).kind = Kind::Large;
                (*span).set_place(Place::None);
                (*span).class = u8::MAX;
                (*span).capacity = 1;
                (*span).set_carved(1);
                // A first-class heap's own free is an event at once.
                (*span).set_countdown(1);
                (*span).free = null_mut();
                (*span).list = &raw mut (*span).free;
                (*span).size = usable;
                (*span).owner.store(owner, Ordering::Release);
            };
            let (node, align) = ((*heap).node as usize, align.div_ceil(SLICE));
            let mut span = null_mut();
            if slices >= FRAME && align < FRAME && self.wants_frames() {
                span = self.alloc_span(node, slices, FRAME, Purpose::Large(None), &mut init);
            }
            if span.is_null() {
                span = self.alloc_span(node, slices, align, Purpose::Large(gaps), &mut init);
            }
            if span.is_null() {
                return none;
            }
            if user {
                Heap::add_large(heap, span);
            }
            (ptr((*span).start), zeroed)
        }
    }

    /// Resizes a large block to a large size. Null: it cannot be had, and the block is as before.
    ///
    /// In place where the slices behind it are free, else by moving its pages. Bytes are copied only up to
    /// 4 MiB where dirty memory is at hand that the block would otherwise be moved over, up to 256 KiB where there is
    /// as much dirty memory anywhere, or where the system refuses to move pages.
    ///
    /// # Safety
    /// The span holds a large block of the program's; the caller has the heap's tenure.
    pub(crate) unsafe fn realloc_large(&self, heap: *mut Heap, span: *mut Span, size: usize) -> *mut u8 {
        let Some(usable) = self.page_round(size).filter(|&usable| usable <= MAX_SIZE) else {
            return null_mut();
        };
        let new = usable.div_ceil(SLICE);
        if new > u32::MAX as usize {
            return null_mut();
        }
        // SAFETY: the caller's span and heap.
        unsafe {
            if self.resize_large(span, usable) { ptr((*span).start) } else { self.move_large(heap, span, usable) }
        }
    }

    /// Resizes a large block where it is to `usable` bytes, whole pages. False: the slices behind it are not free,
    /// and nothing changed.
    unsafe fn resize_large(&self, span: *mut Span, usable: usize) -> bool {
        let new = usable.div_ceil(SLICE);
        // SAFETY: the caller's span: nobody else changes it.
        unsafe {
            let (start, node) = ((*span).start, (*span).node as usize);
            let old = (*span).slices as usize;
            let mut beyond = false;
            let mut gaps = Gaps::new();
            let grown = if new > old {
                self.with_pages(node, |pages| {
                    if pages.is_framed() {
                        pages.set_clock(self.os.now_ms() as u32);
                    }
                    let taken = pages.take_at(&self.directory, start + old * SLICE, new - old, Some(&mut gaps));
                    beyond = taken && pages.figures.is_beyond();
                    taken
                })
                .unwrap_or(false)
            } else {
                true
            };
            if !grown {
                return false;
            }
            self.recycle(node, &gaps);
            let now = self.os.now_ms() as u32;
            let purge = self
                .with_pages(node, |pages| {
                    pages.figures.resize_large((*span).size, usable);
                    // Without a descriptor for the tail, the block keeps it.
                    if new < old && !pages.needs_meta() {
                        (*span).slices = new as u32;
                        let (tail, count) = (start + new * SLICE, old - new);
                        pages.put(&self.directory, tail, count, 0, count, now);
                    } else {
                        (*span).slices = old.max(new) as u32;
                    }
                    (*span).size = usable;
                    self.purge_due(pages, now)
                })
                .unwrap_or(false);
            if purge {
                self.purge_excess(node, now);
            }
            if beyond {
                self.look(true);
            }
            true
        }
    }

    /// Makes a block hold at least `size` bytes where it is; never shrinks it. False: it would have to move (or is
    /// no block, reported), and nothing changed.
    ///
    /// Small blocks have what their class has; large ones grow into the free slices behind them. No heap is
    /// entered: a block in use is its user's, whichever heap it belongs to.
    ///
    /// # Safety
    /// The block, if it is one, is the caller's and in use.
    pub unsafe fn expand(&self, block: *mut u8, size: usize) -> bool {
        let span = self.checked(b"expand", block);
        if span.is_null() {
            return false;
        }
        // SAFETY: a live span of the caller's block.
        unsafe {
            if (*span).kind == Kind::Small {
                return size <= (*span).block_size();
            }
            if size <= (*span).size {
                return true;
            }
            match self.page_round(size) {
                Some(usable) if usable <= MAX_SIZE && usable.div_ceil(SLICE) <= u32::MAX as usize => {
                    self.resize_large(span, usable)
                }
                _ => false,
            }
        }
    }

    unsafe fn move_large(&self, heap: *mut Heap, span: *mut Span, usable: usize) -> *mut u8 {
        // SAFETY: the caller's span and heap.
        unsafe {
            let (source, slices, bytes) = ((*span).start, (*span).slices as usize, (*span).size);
            // Onto memory that is there already, copying a page costs a seventh of what the fault costs that
            // takes the place of a page moved away.
            let new = usable.div_ceil(SLICE);
            let pays = |pages: &mut PageHeap| {
                slices <= COPIED_SOON && pages.figures.dirty >= new
                    || slices <= COPIED && pages.is_mostly_dirty(new)
            };
            let copies = self.with_pages((*span).node as usize, pays).unwrap_or(false);
            let mut gaps = Gaps::new();
            let (block, _) = self.take_large(heap, usable, 1, Some(&mut gaps));
            if block.is_null() {
                return block;
            }
            let fixed = self.is_reserved(source, slices) || self.is_reserved(addr(block), slices);
            let left = if copies || fixed {
                core::ptr::copy_nonoverlapping(ptr::<u8>(source), block, bytes);
                Left::Dirty
            } else {
                self.move_pages(source, addr(block), slices, bytes)
            };
            // What was moved or copied has its pages.
            gaps.cut_below(addr(block) + slices * SLICE);
            self.recycle((*heap).node as usize, &gaps);
            if (*span).owner() == addr(heap) {
                Heap::remove_large(heap, span);
            }
            match left {
                Left::Dirty => self.free_span(span),
                Left::Zero => self.free_clean_span(span),
                Left::Gone => self.forget_span(span),
            }
            block
        }
    }

    /// Moves `slices` slices; where the system refuses, in halves (the source may consist of several
    /// mappings), and a single slice by copying what of `bytes` is in it. Says what it left behind,
    /// the same for every part.
    unsafe fn move_pages(&self, from: usize, to: usize, slices: usize, bytes: usize) -> Left {
        let (Some(source), Some(target)) = (NonNull::new(ptr::<u8>(from)), NonNull::new(ptr::<u8>(to))) else {
            return Left::Dirty;
        };
        self.counters.os_calls.fetch_add(1, Ordering::Relaxed);
        // SAFETY: both are whole slices of spans of ours, the target's contents are not needed.
        match unsafe { self.os.remap(source, target, slices * SLICE) } {
            Moved::SourceZero => Left::Zero,
            Moved::SourceGone => Left::Gone,
            Moved::Refused if slices == 1 => {
                // SAFETY: both blocks are at least this long.
                unsafe {
                    core::ptr::copy_nonoverlapping(source.as_ptr(), target.as_ptr(), bytes.min(SLICE));
                }
                Left::Dirty
            }
            Moved::Refused => {
                let half = slices / 2;
                let (first, second) = (half * SLICE, bytes.saturating_sub(half * SLICE));
                // SAFETY: as above, in two parts; a part that is still mapped where the other is
                // not is unmapped as well.
                unsafe {
                    let low = self.move_pages(from, to, half, bytes.min(first));
                    let high = self.move_pages(from + first, to + first, slices - half, second);
                    match (low, high) {
                        (Left::Gone, Left::Gone) => Left::Gone,
                        (Left::Gone, _) => self.unmap_part(from + first, slices - half),
                        (_, Left::Gone) => self.unmap_part(from, half),
                        (Left::Zero, Left::Zero) => Left::Zero,
                        _ => Left::Dirty,
                    }
                }
            }
        }
    }

    unsafe fn unmap_part(&self, start: usize, slices: usize) -> Left {
        if let Some(memory) = NonNull::new(ptr::<u8>(start)) {
            // SAFETY: whole slices of a span of ours whose contents have moved. If the system
            // refuses, the part stays mapped and unused.
            unsafe { self.unmap(memory, slices * SLICE) };
        }
        Left::Gone
    }
}

/// What a move left at its source.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Mapped, reads as zero.
    Zero,
    /// Mapped, with old contents.
    Dirty,
    /// Not mapped.
    Gone,
}
