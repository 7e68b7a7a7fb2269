//! The region directory: which span an address belongs to, for any address.
//!
//! Two levels: the top half of a 48-bit address picks a 4 GiB *window*, the bits below its
//! slice. Both levels hold *differences* to a static that stands for "foreign", so memory
//! that is all zero (untouched `.bss`, a fresh mapping) already answers every address: a null
//! pointer or a foreign one finds [`Span::foreign`] by the same loads as a block of ours finds its
//! descriptor, without a test. (mimalloc 3 and snmalloc look spans up in maps of this kind; masking
//! to an aligned region, the design's first idea, needs the null test and faults on foreign
//! addresses.)
//!
//! Writers hold the lock of the node whose slices they are. Readers take no lock: whoever has a
//! block got it, directly or through other threads, from the thread that wrote the entry, and that
//! hand-over orders the entry's store before the load.

use crate::addr::{addr, ptr};
use crate::class::{SLICE, SLICE_SHIFT};
use crate::span::Span;
use crate::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// `log2` of the bytes of a window. (A model has two windows of four slices.)
pub const WINDOW_SHIFT: u32 = if cfg!(loom) { SLICE_SHIFT + 2 } else { 32 };
/// Highest address plus one.
pub const ADDRESS_END: usize = if cfg!(loom) { 2 << WINDOW_SHIFT } else { 1 << 48 };
const WINDOWS: usize = ADDRESS_END >> WINDOW_SHIFT;
/// Slices of a window.
pub const WINDOW_SLICES: usize = 1 << (WINDOW_SHIFT - SLICE_SHIFT);
const WORDS: usize = WINDOW_SLICES.div_ceil(64);

// `lookup` and `install` count entries in words.
const _: () = assert!(size_of::<AtomicUsize>() == size_of::<usize>());

/// Index of a slice in its window.
#[inline(always)]
const fn slice_of(address: usize) -> usize {
    if cfg!(loom) { (address >> SLICE_SHIFT) % WINDOW_SLICES } else { (address as u32 >> SLICE_SHIFT) as usize }
}

/// The directory of one allocator. All zero when empty: keep it in a static of its own.
#[repr(C, align(128))]
pub struct Directory {
    windows: [AtomicUsize; WINDOWS],
    /// The slices of every window that has none of ours. Never written.
    foreign: [AtomicUsize; WINDOW_SLICES],
    foreign_span: Span,
    first: AtomicPtr<Window>,
}

/// Slices of one window: their spans and, under the node's lock, what is known of their pages.
#[repr(C)]
pub struct Window {
    spans: [AtomicUsize; WINDOW_SLICES],
    bits: [[AtomicUsize; WORDS]; BITS],
    base: usize,
    next: *mut Window,
}

/// Bytes of a window's table, to be mapped zeroed.
pub const WINDOW_BYTES: usize = size_of::<Window>().next_multiple_of(SLICE);

/// A property of a slice, kept as one bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bit {
    /// Its pages may hold something other than zero.
    Dirty,
    /// It is mapped by us.
    Ours,
    /// It is in a span. Kept in page heaps with huge pages only.
    Used,
    /// It lies in a region for which transparent huge pages are asked; with `Reserved`, in pages of 1 GiB.
    Huge,
    /// It lies in reserved huge pages, of 2 MiB unless `Huge` is set too.
    Reserved,
    /// Its frame was split: the system was told not to back it with a huge page (see [`crate::frames`]).
    Split,
    /// A kernel mapping begins here because pages were moved (see `recycle`).
    Seam,
    /// It was never in a span, and its frame may be opened (see [`crate::frames`]).
    Offered,
}

const BITS: usize = Bit::Offered as usize + 1;

impl Directory {
    /// An empty directory: all zero.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            windows: [const { AtomicUsize::new(0) }; WINDOWS],
            foreign: [const { AtomicUsize::new(0) }; WINDOW_SLICES],
            foreign_span: Span::foreign(),
            first: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    /// An empty directory.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            windows: core::array::from_fn(|_| AtomicUsize::new(0)),
            foreign: core::array::from_fn(|_| AtomicUsize::new(0)),
            foreign_span: Span::foreign(),
            first: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    /// Where the descriptor of the span that `address` lies in is, as a difference to
    /// that of foreign memory; 0 stands for [`Span::foreign`]. Two loads; see [`lookup`](Self::lookup).
    #[inline(always)]
    unsafe fn entry(&self, address: usize) -> usize {
        let window = address >> WINDOW_SHIFT;
        let mut index = slice_of(address);
        // One instruction where the compiler would take two: it does not fold an atomic load into an
        // addition.
        #[cfg(all(target_arch = "x86_64", not(loom), not(feature = "count-shared")))]
        // SAFETY: a relaxed atomic load of `windows[window]`, which is in bounds by the contract.
        unsafe {
            core::arch::asm!(
                "add {index}, qword ptr [{windows} + {window} * 8]",
                index = inout(reg) index,
                windows = in(reg) &raw const self.windows,
                window = in(reg) window,
                options(pure, readonly, nostack),
            );
        }
        #[cfg(any(not(target_arch = "x86_64"), loom, feature = "count-shared"))]
        {
            // SAFETY: in bounds by the contract.
            index = index.wrapping_add(unsafe { self.windows.get_unchecked(window) }.load(Ordering::Relaxed));
        }
        let entry = addr(&raw const self.foreign).wrapping_add(index.wrapping_mul(size_of::<usize>()));
        // SAFETY: window plus slice index an entry of `foreign` or of a window table, both alive as
        // long as `self`.
        unsafe { (*ptr::<AtomicUsize>(entry)).load(Ordering::Relaxed) }
    }

    /// Descriptor of the span that `address` lies in; [`Span::foreign`] when it is not ours. Two
    /// loads. For addresses from [`ADDRESS_END`] on the answer is not defined and may fault: no
    /// allocator ever gave them out; [`find`](Directory::find) tests.
    ///
    /// # Safety
    /// `address` is below [`ADDRESS_END`].
    #[inline(always)]
    pub unsafe fn lookup(&self, address: usize) -> *mut Span {
        // SAFETY: the contract.
        let entry = unsafe { self.entry(address) };
        ptr(addr(&raw const self.foreign_span).wrapping_add(entry))
    }

    /// The span that `address` lies in: `Ok` if `owner` owns it, else `Err`.
    ///
    /// # Errors
    /// It is foreign, without owner, or another's.
    ///
    /// # Safety
    /// As for [`lookup`](Self::lookup).
    #[inline(always)]
    pub unsafe fn lookup_owned(&self, address: usize, owner: usize) -> Result<*mut Span, *mut Span> {
        // SAFETY: the contract.
        let entry = unsafe { self.entry(address) };
        let span: *mut Span = ptr(addr(&raw const self.foreign_span).wrapping_add(entry));
        // One instruction less, as above.
        #[cfg(all(target_arch = "x86_64", not(loom), not(feature = "count-shared")))]
        // SAFETY: a relaxed atomic load of the descriptor's owner word, compared and branched on.
        unsafe {
            core::arch::asm!(
                "cmp qword ptr [{directory} + {entry} + {offset}], {owner}",
                "jne {other}",
                directory = in(reg) self,
                entry = in(reg) entry,
                owner = in(reg) owner,
                offset = const core::mem::offset_of!(Directory, foreign_span) + core::mem::offset_of!(Span, owner),
                other = label { return Err(span); },
                options(readonly, nostack),
            );
        }
        #[cfg(any(not(target_arch = "x86_64"), loom, feature = "count-shared"))]
        // SAFETY: descriptors are readable for ever.
        if unsafe { (*span).owner() } != owner {
            return Err(span);
        }
        Ok(span)
    }

    /// As [`lookup`](Directory::lookup), for any address.
    pub fn find(&self, address: usize) -> *mut Span {
        if address < ADDRESS_END {
            // SAFETY: just tested.
            unsafe { self.lookup(address) }
        } else {
            (&raw const self.foreign_span).cast_mut()
        }
    }

    /// True for the descriptor that stands for foreign memory.
    pub fn is_foreign(&self, span: *const Span) -> bool {
        core::ptr::eq(span, &raw const self.foreign_span)
    }

    /// The table of the window that `address` lies in, or null.
    pub fn window(&self, address: usize) -> *mut Window {
        // Acquire pairs with the Release in `install`.
        match self.windows[address >> WINDOW_SHIFT].load(Ordering::Acquire) {
            0 => core::ptr::null_mut(),
            bias => ptr(addr(&raw const self.foreign).wrapping_add(bias.wrapping_mul(size_of::<usize>()))),
        }
    }

    /// Installs `table` (zeroed, [`WINDOW_BYTES`]) for the window of `address`. False: there is one
    /// already, and the table stays the caller's.
    ///
    /// # Safety
    /// The table is the caller's and stays mapped as long as `self` is used.
    pub unsafe fn install(&self, address: usize, table: *mut Window) -> bool {
        let bias = addr(table).wrapping_sub(addr(&raw const self.foreign)) / size_of::<usize>();
        // A difference that is negative stays so in units of entries: both ends are 8-aligned, and
        // the multiplication by 8 in `lookup` drops the high bits that the division cleared.
        let slot = &self.windows[address >> WINDOW_SHIFT];
        // Release pairs with the Acquire in `window`; readers without it see zeroes or the table.
        if slot.compare_exchange(0, bias, Ordering::Release, Ordering::Relaxed).is_err() {
            return false;
        }
        let mut first = self.first.load(Ordering::Relaxed);
        loop {
            // SAFETY: the table's list fields are written once, here, before it is published.
            unsafe {
                (*table).base = address >> WINDOW_SHIFT << WINDOW_SHIFT;
                (*table).next = first;
            }
            match self.first.compare_exchange_weak(first, table, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => first = now,
            }
        }
    }

    /// Writes the entry of one slice; null makes it foreign.
    ///
    /// # Safety
    /// The window is installed and the caller holds the lock of the slice's node.
    #[inline]
    pub unsafe fn set(&self, address: usize, span: *mut Span) {
        let value = if span.is_null() { 0 } else { addr(span).wrapping_sub(addr(&raw const self.foreign_span)) };
        let table = self.window(address);
        let slice = slice_of(address);
        // SAFETY: an installed table. Release: a reader that comes by a racing route (statistics)
        // sees an initialised descriptor.
        unsafe { (*table).spans[slice].store(value, Ordering::Release) };
    }

    /// Writes the entries of `slices` slices from `address` on.
    ///
    /// # Safety
    /// As for [`set`](Directory::set).
    pub unsafe fn set_range(&self, address: usize, slices: usize, span: *mut Span) {
        for slice in 0..slices {
            // SAFETY: the caller's contract.
            unsafe { self.set(address + slice * SLICE, span) };
        }
    }

    /// Sets or clears a bit of `slices` slices; returns how many changed.
    ///
    /// # Safety
    /// As for [`set`](Directory::set).
    pub unsafe fn mark(&self, bit: Bit, address: usize, slices: usize, value: bool) -> usize {
        let mut changed = 0;
        let mut at = address;
        let end = address + slices * SLICE;
        while at < end {
            let first = slice_of(at);
            let count = (64 - first % 64).min((end - at) >> SLICE_SHIFT);
            let mask = (if count == 64 { usize::MAX } else { (1 << count) - 1 }) << (first % 64);
            // SAFETY: an installed table.
            let word = unsafe { &(*self.window(at)).bits(bit)[first / 64] };
            // Plain load and store: writers hold the node's lock, and two nodes never share a word
            // (regions of different nodes are at least 4 MiB apart, see the page heap).
            let old = word.load(Ordering::Relaxed);
            let new = if value { old | mask } else { old & !mask };
            changed += (old ^ new).count_ones() as usize;
            word.store(new, Ordering::Relaxed);
            at += count * SLICE;
        }
        changed
    }

    /// True if the bit of the slice at `address` is set.
    ///
    /// # Safety
    /// As for [`set`](Directory::set).
    pub unsafe fn has(&self, bit: Bit, address: usize) -> bool {
        let slice = slice_of(address);
        // SAFETY: an installed table.
        unsafe { (*self.window(address)).bits(bit)[slice / 64].load(Ordering::Relaxed) >> (slice % 64) & 1 == 1 }
    }

    /// The last maximal stretch of slices with the bit set in `address..address + slices`, as
    /// (address, slices).
    ///
    /// # Safety
    /// As for [`set`](Directory::set).
    pub unsafe fn last_stretch(&self, bit: Bit, address: usize, slices: usize) -> Option<(usize, usize)> {
        // SAFETY: the caller's contract.
        let is_set = |at: usize| unsafe { self.has(bit, at) };
        let mut end = address + slices * SLICE;
        while end > address && !is_set(end - SLICE) {
            end -= SLICE;
        }
        let mut start = end;
        while start > address && is_set(start - SLICE) {
            start -= SLICE;
        }
        (start < end).then_some((start, (end - start) >> SLICE_SHIFT))
    }

    /// Slices in the range with the bit set.
    ///
    /// # Safety
    /// As for [`set`](Directory::set).
    pub unsafe fn count(&self, bit: Bit, address: usize, slices: usize) -> usize {
        let mut total = 0;
        let mut at = address;
        let end = address + slices * SLICE;
        while at < end {
            let first = slice_of(at);
            let count = (64 - first % 64).min((end - at) >> SLICE_SHIFT);
            let mask = (if count == 64 { usize::MAX } else { (1 << count) - 1 }) << (first % 64);
            // SAFETY: an installed table.
            let word = unsafe { (*self.window(at)).bits(bit)[first / 64].load(Ordering::Relaxed) };
            total += (word & mask).count_ones() as usize;
            at += count * SLICE;
        }
        total
    }

    /// Calls `visit` with each slice that is ours, lowest first within a window; `visit` returns how
    /// many slices to go on by (at least 1).
    pub fn for_each_slice(&self, mut visit: impl FnMut(usize, *mut Span) -> usize) {
        let mut table = self.first.load(Ordering::Acquire);
        // SAFETY: installed tables stay mapped; their list fields are written before publication.
        while let Some(window) = unsafe { table.as_ref() } {
            let mut slice = 0;
            while slice < WINDOW_SLICES {
                let word = window.bits(Bit::Ours)[slice / 64].load(Ordering::Relaxed) >> (slice % 64);
                if word == 0 {
                    slice = (slice / 64 + 1) * 64;
                } else if word & 1 == 0 {
                    slice += word.trailing_zeros() as usize;
                } else {
                    let address = window.base + slice * SLICE;
                    slice += visit(address, self.find(address)).max(1);
                }
            }
            table = window.next;
        }
    }
}

impl Window {
    /// A table without spans: all zero, but for loom, whose atomics are not.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            spans: core::array::from_fn(|_| AtomicUsize::new(0)),
            bits: core::array::from_fn(|_| core::array::from_fn(|_| AtomicUsize::new(0))),
            base: 0,
            next: core::ptr::null_mut(),
        }
    }

    fn bits(&self, bit: Bit) -> &[AtomicUsize; WORDS] {
        &self.bits[bit as usize]
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for Directory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Directory").finish_non_exhaustive()
    }
}
