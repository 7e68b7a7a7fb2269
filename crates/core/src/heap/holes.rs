//! Holes: pages inside spans that hold free blocks only, given back to the system.
//!
//! A span goes back when its last block is freed. Where some blocks of each span stay (what is left of a phase of the
//! program, rows that outlive their neighbours), whole pages between them are free and would stay resident for ever.
//! Such pages become holes: their blocks leave the span's list, and the system takes the pages. Blocks of holes count as
//! carved and free; they are in no list, and nobody touches them. When a heap has used up all else of its current
//! span, it fills the first hole: its blocks go to the list again. Of a block that lies in two holes, both must be filled.
//!
//! The holes of a span are a set of bits in its descriptor, its owner's; one bit stands for a page, or for more where the
//! span has more than 64.
//!
//! # When
//! To find such pages, a span's list must be walked, blocks that no cache holds; so it is not done on the way to
//! fresh memory, where it costs more than the faults that it spares (docs/measurements.md, "Holes"), but:
//!
//! * by the clock: once each `purge_delay` a heap goes through its available spans, some at a time, as others come and go:
//!   are taken into use, or become available or empty. It looks at a span whose class *rests* (of which it has taken none
//!   into use while 128 of all classes came and went: blocks at hand of a class in use will be wanted before long), if
//!   half of the blocks that were in use when it last did are free, and so many that whole pages are likely to be;
//! * in a heap that is parked, or a CPU's that rests, by the purge thread;
//! * at once where somebody trims, or the soft limit is reached.
//!
//! Frames that huge pages back are left whole.
//!
//! (Mesh, Powers et al., PLDI 2019, gives such memory back by mapping two spans onto the same pages, where the blocks of
//! one lie in the gaps of the other. docs/measurements.md, "Holes", compares what both could give back.)

use super::{Heap, Unsettled};
use crate::addr::{addr, ptr};
use crate::allocator::Allocator;
use crate::class::{CLASSES, MIN_BLOCK, SLICE, block_at};
use crate::directory::Bit;
use crate::os::Os;
use crate::span::{Block, Place, Span};
use core::ptr::{NonNull, null_mut};

/// Spans that came and went before a heap looks for holes at all: small heaps have little to give.
const SETTLED: u32 = 128;
/// Spans of all classes that come and go until a class rests of which none was taken into use.
const REST: u32 = 128;
/// The unit of `Search::used`, in spans that came and went; and how many do between two occasions to look for holes.
const TICK: u32 = 32;
/// On one occasion: spans that are looked at, spans that are found not to be worth it, classes until one rests.
const SPANS: usize = 4;
const PASSED: usize = 64;
const STEPS: usize = 8;
/// Pages that may be expected to be free in a span that is looked at.
const LEAST: usize = 2;
/// Most blocks of a span.
const BLOCKS: usize = 1 << 14;

const _: () = assert!(4 * 64 * 1024 / MIN_BLOCK <= BLOCKS && SETTLED.is_multiple_of(TICK));

/// What is to be known of a heap's search for holes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    /// Spans that came and went.
    moved: u32,
    /// Until when it need not look again, ms; 0: not known yet.
    until: u32,
    /// Times it has been through all classes; not 0.
    round: u16,
    /// Class that it looks at.
    class: u8,
    /// Of each class: when a span of it was last taken into use, by `moved` in units of [`TICK`].
    used: [u8; CLASSES],
}

impl Search {
    pub(super) const fn new() -> Search {
        Search { moved: 0, until: 0, round: 1, class: 0, used: [0; CLASSES] }
    }

    fn rests(&self, class: usize) -> bool {
        ((self.moved / TICK) as u8).wrapping_sub(self.used[class]) > (REST / TICK) as u8
    }
}

/// The pages of a span, as bits.
#[derive(Clone, Copy)]
struct Pages {
    /// `log2` of the bytes that a bit stands for.
    shift: u32,
    /// Bytes of a block.
    size: usize,
}

impl Pages {
    fn of(span: &Span, page: usize) -> Pages {
        let mut shift = page.trailing_zeros();
        while span.bytes() >> shift > u64::BITS as usize {
            shift += 1;
        }
        Pages { shift, size: span.block_size() }
    }

    /// Those that block `index` lies in.
    fn of_block(self, index: usize) -> u64 {
        let first = (index * self.size) >> self.shift;
        let last = ((index + 1) * self.size - 1) >> self.shift;
        stretch(first, last + 1)
    }

    /// Blocks that lie in a page, the last excluded.
    fn blocks(self, page: usize) -> (usize, usize) {
        ((page << self.shift) / self.size, ((page + 1) << self.shift).div_ceil(self.size))
    }
}

/// The bits from `first` to `end`.
fn stretch(first: usize, end: usize) -> u64 {
    (u64::MAX >> (u64::BITS as usize - (end - first))) << first
}

impl Span {
    /// Blocks that lie in holes. A step for each stretch of holes.
    pub(crate) fn hollow(&self, page: usize) -> u32 {
        let mut holes = self.holes();
        if holes == 0 {
            return 0;
        }
        let pages = Pages::of(self, page);
        let (mut blocks, mut counted) = (0, 0);
        while holes != 0 {
            let first = holes.trailing_zeros() as usize;
            let end = first + (holes >> first).trailing_ones() as usize;
            let from = pages.blocks(first).0.max(counted);
            counted = pages.blocks(end - 1).1.min(self.carved() as usize);
            blocks += counted.saturating_sub(from);
            holes &= !stretch(first, end);
        }
        blocks as u32
    }

    /// Blocks that were in use when the span was last looked at, or all that were carved.
    fn in_use_before(&self) -> u32 {
        // SAFETY: who has the span's owner's tenure asks.
        match unsafe { Span::looked(core::ptr::from_ref(self).cast_mut()) } {
            0 => self.carved(),
            used => used,
        }
    }

    /// True when block `index` lies in a hole.
    pub(crate) fn is_hollow(&self, index: usize, page: usize) -> bool {
        self.holes() != 0 && self.holes() & Pages::of(self, page).of_block(index) != 0
    }

    /// Bytes of the blocks that were carved, without the pages that are holes.
    pub(crate) fn touched(&self, page: usize) -> usize {
        let carved = self.carved() as usize * self.block_size();
        match self.holes().count_ones() as usize {
            0 => carved,
            holes => {
                let shift = Pages::of(self, page).shift;
                (carved.div_ceil(1 << shift).saturating_sub(holes)) << shift
            }
        }
    }
}

impl<O: Os> Allocator<O> {
    /// A span of the class was taken into use: looks for holes where that is due.
    ///
    /// # Safety
    /// The caller has the heap's tenure.
    #[inline]
    pub(super) unsafe fn took_span(&self, heap: *mut Heap, class: usize) {
        // SAFETY: the caller's heap.
        unsafe {
            let search = &mut (*heap).search;
            search.used[class] = (search.moved.wrapping_add(1) / TICK) as u8;
            self.moved_span(heap);
        }
    }

    /// A span came or went: looks for holes where that is due.
    ///
    /// # Safety
    /// The caller has the heap's tenure, and every span of the heap is in the list that its place names.
    #[inline]
    pub(super) unsafe fn moved_span(&self, heap: *mut Heap) {
        // SAFETY: the caller's heap.
        unsafe {
            let search = &mut (*heap).search;
            search.moved = search.moved.wrapping_add(1);
            if search.moved.is_multiple_of(TICK) && search.moved >= SETTLED && self.is_search_due(heap) {
                self.look_for_holes(heap);
            }
        }
    }

    unsafe fn is_search_due(&self, heap: *mut Heap) -> bool {
        // SAFETY: the caller's heap.
        let until = unsafe { &mut (*heap).search.until };
        let now = self.os.now_ms() as u32;
        if *until == 0 {
            *until = now.wrapping_add(self.config.purge_delay()).max(1);
        }
        now.wrapping_sub(*until) as i32 >= 0
    }

    /// Looks at some spans.
    #[cold]
    unsafe fn look_for_holes(&self, heap: *mut Heap) {
        // SAFETY: the caller's heap.
        unsafe {
            let search = &raw mut (*heap).search;
            let (mut spans, mut passed) = (0, 0);
            for _ in 0..STEPS {
                let class = (*search).class as usize;
                while (*search).rests(class) && spans < SPANS && passed < PASSED {
                    let list = &raw mut (*heap).available[class];
                    let span = (*list).first;
                    if span.is_null() || (*span).stamp == u32::from((*search).round) {
                        break;
                    }
                    // What was looked at waits behind the others.
                    (*list).remove(span);
                    (*list).push_back(span);
                    (*span).stamp = u32::from((*search).round);
                    if is_worth_a_look(&*span, self.os.page_size()) {
                        self.dig(span);
                        spans += 1;
                    } else {
                        passed += 1;
                    }
                }
                if spans == SPANS || passed == PASSED {
                    return;
                }
                (*search).class = (*search).class.wrapping_add(1);
                if (*search).class as usize == CLASSES {
                    (*search).class = 0;
                    (*search).round = (*search).round.wrapping_add(1).max(1);
                    // From the next look at the clock.
                    (*search).until = 0;
                    return;
                }
            }
        }
    }

    /// Gives back all pages of free blocks in the heap's available spans.
    ///
    /// # Safety
    /// The caller has the heap's tenure.
    pub(crate) unsafe fn dig_all(&self, heap: *mut Heap) {
        // SAFETY: the caller's heap.
        unsafe {
            let _unsettled = Unsettled::enter(heap);
            for class in 0..CLASSES {
                let mut span = (*heap).available[class].first;
                while !span.is_null() {
                    self.dig(span);
                    span = (*span).next;
                }
            }
        }
    }

    /// Makes holes of the pages of an available span that hold free blocks only.
    unsafe fn dig(&self, span: *mut Span) {
        // SAFETY: a span of a heap whose tenure the caller has, with all its free blocks in its own list.
        unsafe {
            let (used, page) = ((*span).countdown(), self.os.page_size());
            if used >= (*span).in_use_before() || self.is_framed(span) {
                return;
            }
            // 0 stands for "never".
            Span::set_looked(span, used.max(1));
            // Meanwhile nobody may retire it.
            if (*span).withdraw() {
                self.dig_pages(span, page);
            }
            (*span).set_place(Place::Available);
        }
    }

    unsafe fn dig_pages(&self, span: *mut Span, page: usize) {
        // SAFETY: the caller's span, as in `dig`, and nobody else may have its memory.
        unsafe {
            let mut in_use = [0u64; BLOCKS / 64];
            if !self.mark_used(span, &mut in_use) {
                return;
            }
            let found = free_pages(&*span, page, &in_use);
            if found == 0 {
                return;
            }
            self.unlink_hollow(span, found);
            (*span).set_holes((*span).holes() | found);
            self.purge_holes(span, found);
        }
    }

    /// True where huge pages may back the span: it is shorter than one, so looking at its ends is enough.
    unsafe fn is_framed(&self, span: *mut Span) -> bool {
        // SAFETY: a live span: its window's table is installed.
        unsafe {
            [(*span).start, (*span).end() - SLICE]
                .into_iter()
                .any(|at| self.directory.has(Bit::Huge, at) || self.directory.has(Bit::Reserved, at))
        }
    }

    /// Sets the bits of the blocks in use, as far as the span was carved. False: the list is broken, which is reported.
    unsafe fn mark_used(&self, span: *mut Span, in_use: &mut [u64; BLOCKS / 64]) -> bool {
        // SAFETY: the caller's span; only links that lie in it are followed.
        unsafe {
            let (class, carved) = ((*span).class as usize, (*span).carved() as usize);
            for (word, bits) in in_use.iter_mut().enumerate().take(carved.div_ceil(64)) {
                *bits = stretch(0, (carved - word * 64).min(64));
            }
            let mut link = (*span).free;
            for _ in 0..=carved {
                if link.is_null() {
                    return true;
                }
                match block_at(class, addr(link).wrapping_sub((*span).start)) {
                    Some(index) if index < carved => in_use[index / 64] &= !(1 << (index % 64)),
                    _ => break,
                }
                link = (*link).next;
            }
            self.broken(b"a free block was written to: its link leads out of the span", addr(link));
            false
        }
    }

    /// Takes the blocks that lie in `holes` out of the span's list.
    unsafe fn unlink_hollow(&self, span: *mut Span, holes: u64) {
        // SAFETY: the caller's span, whose list is whole.
        unsafe {
            let pages = Pages::of(&*span, self.os.page_size());
            let mut link: *mut *mut Block = &raw mut (*span).free;
            while !(*link).is_null() {
                let block = *link;
                let index = block_at((*span).class as usize, addr(block) - (*span).start).unwrap_or(0);
                if pages.of_block(index) & holes != 0 {
                    *link = (*block).next;
                } else {
                    link = &raw mut (*block).next;
                }
            }
        }
    }

    /// Has the system take the pages that are `holes`.
    unsafe fn purge_holes(&self, span: *mut Span, mut holes: u64) {
        // SAFETY: the caller's span.
        let (start, shift) = unsafe { ((*span).start, Pages::of(&*span, self.os.page_size()).shift) };
        while holes != 0 {
            let first = holes.trailing_zeros() as usize;
            let count = (holes >> first).trailing_ones() as usize;
            holes &= !stretch(first, first + count);
            let Some(memory) = NonNull::new(ptr::<u8>(start + (first << shift))) else { continue };
            // Where the system refuses, they wait as they are.
            // SAFETY: whole pages of ours in which nothing is used.
            let _ = unsafe { self.purge_pages(memory, count << shift) };
        }
    }

    /// Fills holes of the span, the first first, until a block of them is at hand; the blocks, linked by address. The span
    /// has holes.
    ///
    /// # Safety
    /// The caller has the tenure of the heap that owns the span.
    pub(super) unsafe fn fill_hole(&self, span: *mut Span) -> *mut Block {
        // SAFETY: the caller's span; blocks in holes are nobody's.
        unsafe {
            let pages = Pages::of(&*span, self.os.page_size());
            loop {
                let holes = (*span).holes();
                debug_assert!(holes != 0);
                let page = holes.trailing_zeros() as usize;
                let left = holes & (holes - 1);
                (*span).set_holes(left);
                let (first, end) = pages.blocks(page);
                let mut list: *mut Block = null_mut();
                for index in (first..end.min((*span).carved() as usize)).rev() {
                    if pages.of_block(index) & left == 0 {
                        let block = ptr::<Block>((*span).start + index * pages.size);
                        Block::link(block, list);
                        list = block;
                    }
                }
                if !list.is_null() || left == 0 {
                    return list;
                }
            }
        }
    }
}

/// True for a span of whose blocks in use half were freed since it was last looked at, and where whole pages are likely
/// to be free: as many as there would be if those in use lay at random, or three quarters of all are free.
fn is_worth_a_look(span: &Span, page: usize) -> bool {
    let (used, carved) = (span.countdown() as usize, span.carved() as usize);
    if used * 2 > span.in_use_before() as usize {
        return false;
    }
    let bytes = carved * span.block_size();
    // In 65536ths: how likely a block is free, and then all that a page touches.
    let free = ((carved - used) << 16) / carved;
    let mut likely = 1 << 16;
    for _ in 0..page / span.block_size() + 1 {
        likely = (likely * free) >> 16;
    }
    used * 4 <= carved || (bytes / page * likely) >> 16 >= LEAST
}

/// Pages below what was carved that are no holes and that no block in use lies in.
fn free_pages(span: &Span, page: usize, in_use: &[u64; BLOCKS / 64]) -> u64 {
    let pages = Pages::of(span, page);
    let carved = span.carved() as usize * pages.size;
    // A page that was carved in part stays: the rest of it is carved some day.
    let end =
        if span.carved() == span.capacity { carved.div_ceil(1 << pages.shift) } else { carved >> pages.shift };
    let mut found = 0;
    for index in 0..end {
        let (first, last) = pages.blocks(index);
        let free = (first..last.min(span.carved() as usize))
            .all(|block| in_use[block / 64] >> (block % 64) & 1 == 0 || span.is_hollow(block, page));
        if free && span.holes() >> index & 1 == 0 {
            found |= stretch(index, index + 1);
        }
    }
    found
}
