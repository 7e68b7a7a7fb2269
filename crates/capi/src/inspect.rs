//! What a program can ask about its memory, in the shapes that glibc gave these functions.
//!
//! glibc knows "arenas" grown by brk, and blocks mapped one by one. Here the first are the spans of
//! the size classes and the second the large blocks, so that `arena + hblkhd` is all memory mapped
//! for blocks and `uordblks + hblkhd` all of it in the program's hands, as monitoring code computes.

use crate::text::Text;
use core::ffi::c_int;
use stratalloc::{Snapshot, raw};

/// glibc's `struct mallinfo2`; `mallinfo` is the same with `int` fields.
#[repr(C)]
pub struct Info<T> {
    /// Bytes mapped for the size classes, used or not.
    arena: T,
    /// Free blocks of the size classes.
    ordblks: T,
    /// Free blocks in fastbins: none, there are no fastbins.
    smblks: T,
    /// Large blocks in the program's hands.
    hblks: T,
    /// Bytes of them.
    hblkhd: T,
    /// Unused, 0.
    usmblks: T,
    /// Bytes in fastbins: none.
    fsmblks: T,
    /// Bytes of the size classes' blocks in the program's hands.
    uordblks: T,
    /// `arena - uordblks`.
    fordblks: T,
    /// Bytes that malloc_trim(0) could give back.
    keepcost: T,
}

/// The figures now. They are read while other threads run, so differences are taken saturating.
fn snapshot() -> Snapshot {
    let mut now = Snapshot::EMPTY;
    raw::snapshot(&mut now);
    now
}

/// The figures in the order and the units of `struct mallinfo2`.
fn info<T>(field: impl Fn(usize) -> T) -> Info<T> {
    let now = snapshot();
    let arena = now.mapped.saturating_sub(now.large_bytes);
    let used = now.allocated.saturating_sub(now.large_bytes).min(arena);
    let free_blocks: u64 = now.classes.iter().map(|class| class.capacity.saturating_sub(class.live)).sum();
    Info {
        arena: field(arena),
        ordblks: field(free_blocks as usize),
        smblks: field(0),
        hblks: field(now.large_live as usize),
        hblkhd: field(now.large_bytes),
        usmblks: field(0),
        fsmblks: field(0),
        uordblks: field(used),
        fordblks: field(arena - used),
        keepcost: field(now.dirty),
    }
}

/// Figures of the whole process, as `struct mallinfo2`.
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo2() -> Info<usize> {
    info(|bytes| bytes)
}

/// Figures of the whole process in `int`s; what does not fit reads `INT_MAX`, not a wrapped number.
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo() -> Info<c_int> {
    info(|bytes| c_int::try_from(bytes).unwrap_or(c_int::MAX))
}

/// malloc.h's names of mallopt's parameters.
mod param {
    use core::ffi::c_int;
    pub const MXFAST: c_int = 1;
    pub const TRIM_THRESHOLD: c_int = -1;
    pub const TOP_PAD: c_int = -2;
    pub const MMAP_THRESHOLD: c_int = -3;
    pub const MMAP_MAX: c_int = -4;
    pub const CHECK_ACTION: c_int = -5;
    pub const PERTURB: c_int = -6;
    pub const ARENA_TEST: c_int = -7;
    pub const ARENA_MAX: c_int = -8;
}

/// Largest `M_MXFAST`: `80 * sizeof(size_t) / 4`, as malloc.h says.
const MXFAST_MAX: c_int = (80 * size_of::<usize>() / 4) as c_int;
/// Largest `M_MMAP_THRESHOLD`: `4 MiB * sizeof(long)`, as mallopt(3) says.
const MMAP_THRESHOLD_MAX: c_int = (4 * 1024 * 1024 * size_of::<usize>()) as c_int;

/// Says whether glibc's parameter `param` takes `value`: 1 yes, 0 no.
///
/// The parameters tune parts that this allocator does not have (fastbins, a top chunk, arenas), so
/// a value that is taken changes nothing here. Its own settings are in the environment variable
/// `STRATALLOC`.
#[unsafe(no_mangle)]
pub extern "C" fn mallopt(param: c_int, value: c_int) -> c_int {
    let taken = match param {
        param::MXFAST => (0..=MXFAST_MAX).contains(&value),
        param::MMAP_THRESHOLD => (0..=MMAP_THRESHOLD_MAX).contains(&value),
        // -1 switches trimming off.
        param::TRIM_THRESHOLD => value >= -1,
        param::TOP_PAD | param::MMAP_MAX | param::ARENA_TEST | param::ARENA_MAX => value >= 0,
        param::CHECK_ACTION | param::PERTURB => true,
        _ => false,
    };
    c_int::from(taken)
}

/// Gives unused memory back to the system, all but about `keep` bytes: 1 if some went back, else 0.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_trim(keep: usize) -> c_int {
    c_int::from(raw::trim(keep))
}

/// Prints the totals on stderr, in glibc's layout.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_stats() {
    let now = snapshot();
    let mut was = 0;
    // SAFETY: a thread that is cancelled meanwhile leaves after the last line.
    unsafe { pthread_setcancelstate(CANCEL_DISABLE, &raw mut was) };
    // SAFETY: libc's stream, which the program may have replaced by another open one.
    let mut text = unsafe { Text::to_stream(stderr) };
    let mut line = |name: &str, number: u64| {
        text.str(name).str(" = ").padded(number, 10).str("\n");
    };
    line("Arena 0:\nsystem bytes    ", now.mapped.saturating_sub(now.large_bytes) as u64);
    line("in use bytes    ", now.allocated.saturating_sub(now.large_bytes) as u64);
    line("Total (incl. mmap):\nsystem bytes    ", now.mapped as u64);
    line("in use bytes    ", now.allocated as u64);
    line("max mmap regions", now.large_peak);
    line("max mmap bytes  ", now.large_peak_bytes as u64);
    text.flush();
    // SAFETY: as above.
    unsafe { pthread_setcancelstate(was, &raw mut was) };
}

unsafe extern "C" {
    static mut stderr: *mut libc::FILE;
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
}

/// glibc's and musl's `PTHREAD_CANCEL_DISABLE`.
const CANCEL_DISABLE: c_int = 1;

/// Writes the state as XML to `stream`, in glibc's shape. Returns 0; `EINVAL` if `options` is not 0;
/// -1 if the stream does not take it.
///
/// The process is one heap, `nr="0"`; a `size` element tells of a size class's free blocks.
///
/// # Safety
/// `stream` is an open stream of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_info(options: c_int, stream: *mut libc::FILE) -> c_int {
    if options != 0 {
        return libc::EINVAL;
    }
    // Taken before the first write: the stream may allocate its buffer.
    let now = snapshot();
    // SAFETY: the stream is open by the caller's promise.
    let mut xml = unsafe { Text::to_stream(stream) };
    xml.str("<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n");
    let mut free_blocks = 0;
    let mut free_bytes = 0;
    let mut below = 0;
    for class in &now.classes {
        let free = class.capacity.saturating_sub(class.live);
        let size = class.block_size as u64;
        if free > 0 {
            free_blocks += free;
            free_bytes += free * size;
            xml.str("  <size from=\"").num(below + 1).str("\" to=\"").num(size);
            xml.str("\" total=\"").num(free * size).str("\" count=\"").num(free).str("\"/>\n");
        }
        below = size;
    }
    xml.str("</sizes>\n");
    let arena = now.mapped.saturating_sub(now.large_bytes) as u64;
    let peak = now.peak_dirty as u64;
    totals(&mut xml, free_blocks, free_bytes, None, arena, peak);
    xml.str("</heap>\n");
    let large = (now.large_live, now.large_bytes as u64);
    totals(&mut xml, free_blocks, free_bytes, Some(large), now.mapped as u64, peak);
    xml.str("</malloc>\n");
    if xml.flush() { 0 } else { -1 }
}

/// The totals that end a heap, and with the large blocks the whole document.
fn totals(xml: &mut Text, blocks: u64, bytes: u64, large: Option<(u64, u64)>, now: u64, peak: u64) {
    let mut total = |name: &str, count: u64, size: u64| {
        xml.str("<total type=\"").str(name).str("\" count=\"").num(count);
        xml.str("\" size=\"").num(size).str("\"/>\n");
    };
    total("fast", 0, 0);
    total("rest", blocks, bytes);
    if let Some((count, size)) = large {
        total("mmap", count, size);
    }
    let mut size = |name: &str, size: u64| {
        xml.str("<").str(name).str("\" size=\"").num(size).str("\"/>\n");
    };
    size("system type=\"current", now);
    size("system type=\"max", peak.max(now));
    size("aspace type=\"total", now);
    size("aspace type=\"mprotect", now);
}
