//! What concerns the whole process: giving memory back, options, figures, the version.
//!
//! The header is made from this file's documentation; see `blocks`.
#![allow(non_camel_case_types, clippy::missing_safety_doc, reason = "the header's names and words")]

use crate::errno;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::fmt::{self, Write};
use core::mem::offset_of;
use core::ptr::copy_nonoverlapping;
use libc::EINVAL;
use stratalloc::{Snapshot, raw};

/// Figures of the process, in bytes unless said otherwise. None is ever negative, and allocated <= touched <=
/// active <= mapped; a sum may be off by the few operations that other threads have under way.
///
/// The struct grows at its end. The caller sets `size` to sizeof(struct strat_stats), so that a program works with
/// a library that knows more figures, or fewer.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct strat_stats {
    /// Before the call: bytes of the caller's struct. After it: bytes that were filled.
    pub size: usize,
    /// In the program's hands, rounded up to block sizes.
    pub allocated: usize,
    /// In spans that hold at least one block, or that a heap keeps for its next allocation.
    pub active: usize,
    /// Of `active`, what was handed out at least once: close to what of it is resident.
    pub touched: usize,
    /// In free spans whose pages are still backed by memory.
    pub dirty: usize,
    /// In free spans given back to the system, or never touched.
    pub clean: usize,
    /// Mapped for spans: active + dirty + clean.
    pub mapped: usize,
    /// Mapped for the allocator's own tables (address space; little of it is touched).
    pub metadata: usize,
    /// Highest `active` so far.
    pub peak_active: usize,
    /// Highest `active + dirty` so far: close to the peak of resident memory.
    pub peak_dirty: usize,
    /// Given back to the system since start.
    pub purged: u64,
    /// Calls that gave memory back.
    pub purges: u64,
    /// System calls for memory since start.
    pub os_calls: u64,
    /// Number of large blocks in the program's hands.
    pub large_live: u64,
    /// Bytes of them.
    pub large_bytes: usize,
    /// Number of large allocations since start.
    pub large_allocs: u64,
    /// Number of heaps: of living threads and of CPUs, and first-class ones.
    pub heaps: u64,
    /// Number of heaps of threads that left, waiting for the next thread.
    pub parked: u64,
    /// Moved since start from free spans to large blocks that needed pages, instead of being given back.
    pub recycled: u64,
    /// Number of living threads that share the heaps of CPUs.
    pub pockets: u64,
}

/// Copies `full` into the caller's struct as far as that goes, its first field being the size. 0, or EINVAL where
/// there is no room for a figure.
///
/// # Safety
/// `out` is null or so many readable and writable bytes as its first field says.
pub(crate) unsafe fn hand_out<T>(out: *mut T, full: impl FnOnce(usize) -> T) -> c_int {
    if out.is_null() {
        return EINVAL;
    }
    // SAFETY: the caller's struct begins with its size.
    let size = unsafe { out.cast::<usize>().read() };
    if size < 2 * size_of::<usize>() {
        return EINVAL;
    }
    let bytes = size.min(size_of::<T>());
    let full = full(bytes);
    // SAFETY: both are at least so long.
    unsafe { copy_nonoverlapping((&raw const full).cast::<u8>(), out.cast(), bytes) };
    0
}

const _: () = assert!(offset_of!(strat_stats, size) == 0);

/// Fills in the figures of this moment. Returns 0, or EINVAL where `stats` is null or its `size` less than two
/// words; errno stays.
///
/// Does not allocate. Walks all spans: some 10 us for each 100 MiB of small blocks. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_stats_get(stats: *mut strat_stats) -> c_int {
    let figures = |size| {
        let mut now = Snapshot::EMPTY;
        raw::snapshot(&mut now);
        strat_stats {
            size,
            allocated: now.allocated,
            active: now.active,
            touched: now.touched,
            dirty: now.dirty,
            clean: now.clean,
            mapped: now.mapped,
            metadata: now.metadata,
            peak_active: now.peak_active,
            peak_dirty: now.peak_dirty,
            purged: now.purged,
            purges: now.purges,
            os_calls: now.os_calls,
            large_live: now.large_live,
            large_bytes: now.large_bytes,
            large_allocs: now.large_allocs,
            heaps: now.heaps,
            parked: now.parked,
            recycled: now.recycled,
            pockets: now.pockets,
        }
    };
    // SAFETY: the caller's struct.
    unsafe { hand_out(stats, figures) }
}

/// A C string under construction that counts what does not fit.
struct Room {
    text: *mut c_char,
    room: usize,
    length: usize,
}

impl Room {
    /// # Safety
    /// `text` is null or has room for `room` bytes, until the value's last use.
    unsafe fn new(text: *mut c_char, room: usize) -> Room {
        Room { text, room: if text.is_null() { 0 } else { room }, length: 0 }
    }

    /// Ends the text with NUL, cut to the room; returns its whole length.
    fn finish(self) -> usize {
        if let Some(last) = self.room.checked_sub(1) {
            // SAFETY: within the room.
            unsafe { self.text.add(self.length.min(last)).write(0) };
        }
        self.length
    }
}

impl Write for Room {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let left = self.room.saturating_sub(1).saturating_sub(self.length);
        if left > 0 {
            // SAFETY: `length + left` is within the room, and the piece is at least so long as what is copied.
            unsafe {
                let place = self.text.add(self.length).cast::<u8>();
                copy_nonoverlapping(piece.as_ptr(), place, piece.len().min(left));
            }
        }
        self.length += piece.len();
        Ok(())
    }
}

/// Writes all figures, with those of the size classes in use and of the process, as one JSON object.
///
/// As snprintf does: at most `room - 1` bytes and a NUL, and returns the length of the whole text without NUL; so a
/// result of `room` or more says that it was cut. A null `text` counts only. The length may differ from call to
/// call, as figures do. Does not allocate, and errno stays. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_stats_json(text: *mut c_char, room: usize) -> usize {
    // SAFETY: the caller's room.
    let mut out = unsafe { Room::new(text, room) };
    // A room never refuses.
    let _ = raw::write_stats_json(&mut out);
    out.finish()
}

/// Gives memory that is not used back to the system, all but about `keep` bytes: true if some went back.
///
/// What the calling thread's heap and those of threads that left hold without need goes back too. System calls in
/// proportion to the free stretches; no lock is held during them, and errno stays. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn strat_trim(keep: usize) -> bool {
    raw::trim(keep)
}

/// Sets one option: the names and texts of the environment variable STRATALLOC, as `stratalloc options` lists them.
///
/// Returns 0; or EINVAL after a message on stderr that names the nearest valid name or the range, or where an
/// argument is null, or while another thread is setting one. Nothing is changed then. errno stays. Best called
/// first thing in main.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_option_set(name: *const c_char, value: *const c_char) -> c_int {
    if name.is_null() || value.is_null() {
        return EINVAL;
    }
    // SAFETY: the caller's strings.
    let (name, value) = unsafe { (CStr::from_ptr(name), CStr::from_ptr(value)) };
    if raw::set_option(name.to_bytes(), value.to_bytes()) { 0 } else { EINVAL }
}

/// Called beyond the soft limit with the bytes held, the limit, and the argument of strat_on_soft_limit.
pub type strat_soft_limit_callback =
    Option<unsafe extern "C" fn(held: usize, limit: usize, argument: *mut c_void)>;

/// Sets what is called when the memory that the allocator holds (in use, and free but still resident) crosses the
/// soft limit and giving back all that is free was not enough; NULL for nothing.
///
/// The soft limit is the option soft_limit, or follows the cgroup: memory.high, or seven eighths of memory.max.
/// The callback runs on the thread whose allocation crossed the limit, before that allocation returns, outside all
/// locks of the allocator: once for each excursion, again only after what is held fell below seven eighths of the
/// limit. It may allocate, free and call all functions of this header; it is never entered twice at a time. The
/// program may hold its own locks around an allocation: take none in it. It must not throw or longjmp out. errno is
/// kept.
///
/// Compilers know malloc as a function that calls nothing of theirs: what the callback writes for its own source
/// file to read must be volatile or atomic.
///
/// Waits while another thread is in the callback; afterwards the old one runs no more. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_on_soft_limit(callback: strat_soft_limit_callback, argument: *mut c_void) {
    // SAFETY: the two callbacks differ in the name of the argument's pointer type; the caller's promise.
    unsafe {
        let callback = core::mem::transmute::<strat_soft_limit_callback, Option<raw::SoftLimitCallback>>(callback);
        raw::on_soft_limit(callback, argument.cast());
    }
}

/// Writes the value of an option in force, as strat_option_set takes it: at most `room - 1` bytes and a NUL.
///
/// Returns the length of the whole text without NUL, as snprintf does; or -1 with errno EINVAL where the name is
/// null or unknown. A null `value` counts only. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strat_option_get(name: *const c_char, value: *mut c_char, room: usize) -> isize {
    if !name.is_null() {
        // SAFETY: the caller's string and room.
        let (name, mut out) = unsafe { (CStr::from_ptr(name), Room::new(value, room)) };
        if raw::write_option(name.to_bytes(), &mut out).is_some() {
            return out.finish() as isize;
        }
    }
    errno::set(EINVAL);
    -1
}

/// The version of the library that is loaded, "MAJOR.MINOR.PATCH": a string that stays. STRAT_VERSION_MAJOR and its
/// kin are those of the header. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn strat_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
