//! What `libstratalloc` is made from: C-shaped calls that set no `errno` and never unwind.
//!
//! Blocks are aligned to 16 B at least; null means that the request cannot be met. All calls are
//! safe on any thread at any time, also before `main` and after a thread's destructors.

use crate::thread::{ALLOCATOR, Own, fill, front, heap, outside, own, with_heap, within_limit};
use core::ffi::c_char;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut};
use stratalloc_core::class::{class_of, size_of_class};
use stratalloc_core::heap::{Heap, alloc_or as heap_alloc_or, dealloc_or};
pub use stratalloc_core::limits::Callback as SoftLimitCallback;
use stratalloc_core::span::Span;
use stratalloc_core::stats::Snapshot;
use stratalloc_os::process;

const MIN_ALIGN: usize = 16;

/// A block of `size` bytes, or what `slow` returns when the thread's heap has none at hand; `slow`
/// goes on with [`alloc_slow`].
#[inline(always)]
pub fn alloc_or(size: usize, slow: impl FnOnce(usize) -> *mut u8) -> *mut u8 {
    // SAFETY: the calling thread's own front, or one whose lists are empty.
    unsafe { heap_alloc_or(front(), size, slow) }
}

/// A block of `size` bytes, the long way.
#[cold]
#[inline(never)]
pub fn alloc_slow(size: usize) -> *mut u8 {
    alloc_class_slow(class_of(size), size, MIN_ALIGN)
}

/// A block of `size` bytes at `align`, whose class is known and whose class's list is empty, the long way.
#[inline(always)]
pub(crate) fn alloc_class_slow(class: Option<usize>, size: usize, align: usize) -> *mut u8 {
    if let Some(class) = class
        && let Own::Heap(heap) = own()
    {
        // SAFETY: the calling thread's own heap; its list of the class is empty.
        let block = unsafe { Heap::pop_aside(heap, class) };
        return if block.is_null() { refill(heap, class) } else { block.cast() };
    }
    alloc_long(class, size, align)
}

/// A block of `class` for the calling thread's heap, which has none at hand.
#[cold]
#[inline(never)]
fn refill(heap: *mut Heap, class: usize) -> *mut u8 {
    // SAFETY: the calling thread's heap.
    let block = within_limit(size_of_class(class), || unsafe { ALLOCATOR.refill(heap, class).0 });
    outside();
    block
}

/// As [`alloc_class_slow`], for a large block, or a thread without a heap.
#[cold]
#[inline(never)]
fn alloc_long(class: Option<usize>, size: usize, align: usize) -> *mut u8 {
    if let Some(class) = class
        && let Own::Pocket(pocket) = own()
    {
        let block = fill(pocket, class);
        if !block.is_null() {
            return block;
        }
    }
    alloc_aligned(size, align)
}

/// A block of `size` bytes, or null. Size 0 is a block like any other.
///
/// ```
/// let block = stratalloc::raw::alloc(100);
/// assert!(!block.is_null() && block.addr() % 16 == 0);
/// // SAFETY: the block is in use and not used after.
/// unsafe { stratalloc::raw::dealloc(block) };
/// ```
#[inline(always)]
pub fn alloc(size: usize) -> *mut u8 {
    alloc_or(size, alloc_slow)
}

/// A block of `size` zero bytes, or null. Memory that is known to be zero is not written.
#[inline(always)]
pub fn alloc_zeroed(size: usize) -> *mut u8 {
    let mut zeroed = false;
    let block = alloc_or(size, |size| {
        zeroed = true;
        alloc_zeroed_slow(size)
    });
    if !zeroed {
        // SAFETY: a block of at least `size` bytes: a null one came by the slow path.
        unsafe { zero(block, size) };
    }
    block
}

/// Clears a block of at least `size` bytes. Up to 64 bytes in place, by stores of 16 bytes that overlap: a
/// call of `memset` costs more than they do.
///
/// # Safety
/// `block` is a block of the caller's, of at least `size` bytes.
#[inline(always)]
pub(crate) unsafe fn zero(block: *mut u8, size: usize) {
    if size > 64 {
        // SAFETY: the caller's block.
        return unsafe { block.write_bytes(0, size) };
    }
    // Blocks are multiples of 16 bytes, and no block is shorter.
    let bytes = (size.max(1) + (MIN_ALIGN - 1)) & !(MIN_ALIGN - 1);
    let clear = |offset: usize| {
        // SAFETY: `offset + 16` is at most `bytes`, and blocks are aligned to 16.
        unsafe { block.add(offset).cast::<u128>().write(0) }
    };
    clear(0);
    clear(bytes - 16);
    if bytes > 32 {
        clear(16);
        clear(bytes - 32);
    }
}

#[cold]
#[inline(never)]
fn alloc_zeroed_slow(size: usize) -> *mut u8 {
    alloc_aligned_zeroed(size, MIN_ALIGN)
}

/// A block of `size` bytes at `align`, a power of two, or null.
pub fn alloc_aligned(size: usize, align: usize) -> *mut u8 {
    within_limit(size, || {
        // SAFETY: a usable heap with its tenure.
        with_heap(|heap| unsafe { ALLOCATOR.alloc(heap, size, align.max(MIN_ALIGN)) }).unwrap_or(null_mut())
    })
}

/// A block of `size` zero bytes at `align`, a power of two, or null.
pub fn alloc_aligned_zeroed(size: usize, align: usize) -> *mut u8 {
    within_limit(size, || {
        // SAFETY: a usable heap with its tenure.
        with_heap(|heap| unsafe { ALLOCATOR.alloc_zeroed(heap, size, align.max(MIN_ALIGN)) }).unwrap_or(null_mut())
    })
}

/// Fills `out` with blocks of `size` bytes at `align`, a power of two; returns how many it filled, from the start.
/// Fewer than asked for: out of memory. What is at hand is taken from the thread's list in one go, and blocks that
/// were never used are handed out without touching them.
///
/// ```
/// use core::mem::MaybeUninit;
/// use stratalloc::raw;
///
/// let mut blocks = [MaybeUninit::uninit(); 100];
/// assert_eq!(raw::alloc_batch(64, 16, &mut blocks), 100);
/// for block in blocks {
///     // SAFETY: all were filled; each is freed once.
///     unsafe { raw::dealloc(block.assume_init().as_ptr()) };
/// }
/// ```
pub fn alloc_batch(size: usize, align: usize, out: &mut [MaybeUninit<NonNull<u8>>]) -> usize {
    // SAFETY: a usable heap with its tenure.
    with_heap(|heap| unsafe { ALLOCATOR.alloc_batch(heap, size, align.max(MIN_ALIGN), out) }).unwrap_or(0)
}

/// Ends a block's life; null is allowed. A pointer that is no block in use is reported where that
/// shows (see the option `misuse`).
///
/// # Safety
/// `block` is null or a block in use, and not used after.
#[inline(always)]
pub unsafe fn dealloc(block: *mut u8) {
    // SAFETY: the calling thread's own front, or one that owns nothing; addresses beyond 2^48 are
    // nobody's, and fault at worst.
    unsafe {
        dealloc_or(
            &ALLOCATOR.directory,
            front(),
            block,
            |span| free_event(span),
            |block, span| dealloc_slow(block, span),
        );
    }
}

#[cold]
#[inline(never)]
unsafe fn free_event(span: *mut Span) {
    // SAFETY: the fast path found the span to be owned by the calling thread's heap.
    unsafe { ALLOCATOR.free_event(heap(), span) };
}

/// What the fast path does not do: mostly a block of another thread's heap. Calls nothing but at its ends, so that it
/// needs no frame.
#[cold]
#[inline(never)]
unsafe fn dealloc_slow(block: *mut u8, span: *mut Span) {
    // SAFETY: the calling thread's heap; the caller's block, which lies in the span.
    unsafe {
        let Own::Heap(heap) = own() else { return dealloc_without_heap(block) };
        ALLOCATOR.free_batched_or(heap, block, span, |slot| batch_full(slot), |block| dealloc_cold(heap, block));
    }
}

#[cold]
#[inline(never)]
unsafe fn dealloc_without_heap(block: *mut u8) {
    // SAFETY: the caller's block.
    unsafe {
        match own() {
            _ if block.is_null() => {}
            Own::Pocket(pocket) if ALLOCATOR.free_into_pocket(pocket, block) => {}
            // Without memory for a heap the block is lost.
            _ => {
                with_heap(|heap| ALLOCATOR.dealloc(heap, block));
            }
        }
    }
}

#[cold]
#[inline(never)]
unsafe fn batch_full(slot: usize) {
    // SAFETY: the calling thread's heap: it has a batch.
    unsafe { ALLOCATOR.batch_full(heap(), slot) };
}

#[cold]
#[inline(never)]
unsafe fn dealloc_cold(heap: *mut Heap, block: *mut u8) {
    if !block.is_null() {
        // SAFETY: the calling thread's heap; the caller's block.
        unsafe { ALLOCATOR.dealloc_cold(heap, block) };
        outside();
    }
}

/// Resizes a block: in place, by moving its pages, or by copying. Null: it cannot be met, and the
/// block is as before.
///
/// # Safety
/// `block` is a block in use; after success, only the result is.
#[inline(always)]
pub unsafe fn realloc(block: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: the caller's block: its span is the calling thread's own, if found.
    unsafe {
        if let Ok(span) = ALLOCATOR.directory.lookup_owned(block.expose_provenance(), front().expose_provenance())
            && class_of(size) == Some((*span).class as usize)
        {
            return block;
        }
        realloc_slow(block, size)
    }
}

#[cold]
#[inline(never)]
unsafe fn realloc_slow(block: *mut u8, size: usize) -> *mut u8 {
    within_limit(size, || {
        // SAFETY: a usable heap with its tenure; a refused block is as before.
        with_heap(|heap| unsafe { ALLOCATOR.realloc(heap, block, size, MIN_ALIGN) }).unwrap_or(null_mut())
    })
}

/// Makes a block hold at least `size` bytes where it is; false when it would have to move. Never shrinks, and never
/// enters a heap: a block of a first-class heap grows too.
///
/// ```
/// use stratalloc::raw;
///
/// let block = raw::alloc(100);
/// // SAFETY: the block is in use until it is freed once.
/// unsafe {
///     assert!(raw::expand(block, raw::usable_size(block)));
///     assert!(!raw::expand(block, usize::MAX));
///     raw::dealloc(block);
/// }
/// ```
///
/// # Safety
/// `block` is a block in use, the caller's.
pub unsafe fn expand(block: *mut u8, size: usize) -> bool {
    // SAFETY: the caller's contract.
    unsafe { ALLOCATOR.expand(block, size) }
}

/// Bytes that may be used in a block.
///
/// # Safety
/// `block` is a block in use.
pub unsafe fn usable_size(block: *const u8) -> usize {
    // SAFETY: the caller's contract.
    unsafe { ALLOCATOR.usable_size(block) }
}

/// Bytes that a block of `size` bytes has, at the least.
pub fn good_size(size: usize) -> usize {
    ALLOCATOR.good_size(size)
}

/// Gives back what the calling thread and parked heaps do not use, and all free memory beyond `keep`
/// bytes. True: some went back to the system.
pub fn trim(keep: usize) -> bool {
    // SAFETY: the calling thread's front.
    unsafe { ALLOCATOR.trim_all(front(), keep) }
}

/// Fills `out` with the figures of this moment.
pub fn snapshot(out: &mut Snapshot) {
    crate::process::take_snapshot(out);
}

/// Prints the statistics on standard error; does not allocate.
pub fn print_stats() {
    let mut snapshot = Snapshot::EMPTY;
    crate::process::take_snapshot(&mut snapshot);
    let mut out = process::RawFile::stderr();
    // A closed stderr is not our problem.
    let _ = crate::report::write_show(&mut out, &snapshot, process::resident());
    out.flush();
}

/// For the constructor of a library that is loaded before `main`: reads the options from the
/// environment that the loader passes.
///
/// # Safety
/// `envp` is null or an array of strings that ends with null, as `main` gets it.
pub unsafe fn on_load(envp: *const *const c_char) {
    // SAFETY: the caller's contract.
    crate::process::read_options(unsafe { process::env_var_in(envp.cast(), crate::process::VARIABLE) });
}

/// Sets one option by its name in the environment variable, with the same texts; false: the name or the
/// value is no good (reported on standard error), or another thread is setting one.
///
/// ```
/// assert!(stratalloc::raw::set_option(b"purge_delay", b"200"));
/// assert!(!stratalloc::raw::set_option(b"purge_delai", b"200"));
/// ```
pub fn set_option(name: &[u8], value: &[u8]) -> bool {
    crate::process::set_option(name, value)
}

/// Writes the value of one option in force, as [`set_option`] takes it. `None`: there is no option of that name.
pub fn write_option(name: &[u8], out: &mut dyn core::fmt::Write) -> Option<core::fmt::Result> {
    crate::process::before_heap();
    crate::process::options().write_value(name, out)
}

/// True when libraries that ask for it (`RTLD_DEEPBIND`) are to find the C library's malloc: the option `deepbind`.
pub fn honours_deepbind() -> bool {
    crate::process::before_heap();
    crate::process::options().deepbind
}

/// Writes the figures of this moment as one JSON document; see [`write_json`](crate::write_json). Does not allocate.
///
/// # Errors
/// `out`'s.
pub fn write_stats_json(out: &mut dyn core::fmt::Write) -> core::fmt::Result {
    let mut snapshot = Snapshot::EMPTY;
    crate::process::take_snapshot(&mut snapshot);
    crate::report::write_json(out, &snapshot, process::resident())
}

/// Sets what is called beyond the soft limit with the bytes held, the limit and `argument`, or nothing:
/// see [`on_soft_limit`](crate::on_soft_limit).
///
/// # Safety
/// The callback does not unwind, and may be called with that argument on any thread until another is set.
pub unsafe fn on_soft_limit(callback: Option<SoftLimitCallback>, argument: *mut u8) {
    // SAFETY: the caller's contract.
    unsafe { ALLOCATOR.on_soft_limit(callback, argument) };
}

/// For a process that ends without its exit handlers: writes what the options `show` and `report` ask
/// for, unless that has been done. Does nothing without those options.
pub fn on_quick_exit() {
    crate::process::before_quick_exit();
}
