//! macOS and its kin: [`MacOs`], the trait over libSystem.
//!
//! System calls have no stable numbers here, so everything goes through libSystem and `errno` is put
//! back. Written from the documented interfaces only: no `__ulock`, no Mach calls but `task_info`. The
//! state is the page size and the placement hint, both recomputed when unknown: relaxed accesses.

use crate::errno::preserve;
use crate::placement::{Pages, Placement};
use crate::process::{Access, Resident};
use core::ffi::{CStr, c_char, c_int};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use stratalloc_core::os::{Moved, Os};
use stratalloc_core::sync::atomic::AtomicU32;

/// macOS 10.12 or later, Intel or Apple silicon (pages of 16 KiB).
///
/// No purge thread, no moving of pages; [`Os::wait`] yields the processor.
#[derive(Clone, Copy, Debug, Default)]
pub struct MacOs;

/// The one value.
pub(crate) const NATIVE: MacOs = MacOs;

/// Bytes of a page, 0 until asked.
static PAGE_SIZE: AtomicUsize = AtomicUsize::new(0);
/// Where aligned mappings go.
static PLACEMENT: Placement = Placement::new();

/// One `mmap` of private zero memory; `flags` are added.
///
/// # Safety
/// With `MAP_FIXED` among the flags, the range at `hint` is the caller's to replace.
unsafe fn mmap(hint: usize, len: usize, flags: c_int) -> Option<usize> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
    let hint = core::ptr::with_exposed_provenance_mut(hint);
    // SAFETY: without MAP_FIXED only free addresses are taken; with it, the caller's promise.
    let start = preserve(|| unsafe { libc::mmap(hint, len, protection, flags, -1, 0) });
    if start == libc::MAP_FAILED { None } else { Some(start.expose_provenance()) }
}

/// The calls that [`Placement`] makes.
struct Anonymous;

impl Pages for Anonymous {
    fn map_at(&self, hint: usize, len: usize) -> Option<usize> {
        // SAFETY: not MAP_FIXED.
        unsafe { mmap(hint, len, 0) }
    }

    unsafe fn unmap(&self, start: usize, len: usize) -> bool {
        let start = core::ptr::with_exposed_provenance_mut(start);
        // SAFETY: the caller's promise.
        preserve(|| unsafe { libc::munmap(start, len) }) == 0
    }
}

/// Asks for the page size.
#[cold]
fn ask_page_size() -> usize {
    // SAFETY: has no preconditions.
    let size = preserve(|| unsafe { libc::sysconf(libc::_SC_PAGESIZE) }) as usize;
    let size = if size.is_power_of_two() { size } else { 16 << 10 };
    PAGE_SIZE.store(size, Relaxed);
    size
}

// SAFETY: `map` returns fresh private anonymous memory, which the kernel zeroes; `purge` returns true
// only after fresh memory was mapped over the range.
unsafe impl Os for MacOs {
    #[inline]
    fn page_size(&self) -> usize {
        match PAGE_SIZE.load(Relaxed) {
            0 => ask_page_size(),
            size => size,
        }
    }

    fn map(&self, len: usize, align: usize) -> Option<NonNull<u8>> {
        PLACEMENT.map(&Anonymous, len, align, self.page_size(), || 0)
    }

    unsafe fn unmap(&self, start: NonNull<u8>, len: usize) -> bool {
        let start = start.as_ptr().expose_provenance();
        // SAFETY: the caller's promise.
        let done = unsafe { Anonymous.unmap(start, len) };
        if done {
            PLACEMENT.unmapped(start, len);
        }
        done
    }

    /// Maps fresh memory over the range: none of this system's `madvise` makes memory read as zero.
    unsafe fn purge(&self, start: NonNull<u8>, len: usize) -> bool {
        // SAFETY: the caller's range, replaced as a whole; its contents are not needed.
        unsafe { mmap(start.as_ptr().expose_provenance(), len, libc::MAP_FIXED) }.is_some()
    }

    /// Refused: the caller copies.
    unsafe fn remap(&self, _from: NonNull<u8>, _to: NonNull<u8>, _len: usize) -> Moved {
        Moved::Refused
    }

    fn wait(&self, word: &AtomicU32, expected: u32) {
        // Relaxed: only saves a call; the caller looks again.
        if word.load(Relaxed) == expected {
            self.yield_now();
        }
    }

    fn wake(&self, _word: &AtomicU32) {}

    fn yield_now(&self) {
        // SAFETY: has no preconditions.
        preserve(|| unsafe { libc::sched_yield() });
    }

    fn now_ms(&self) -> u64 {
        let mut now = core::mem::MaybeUninit::<libc::timespec>::zeroed();
        // SAFETY: libc writes one timespec; zeroed before.
        let now = preserve(|| unsafe {
            libc::clock_gettime(libc::CLOCK_MONOTONIC, now.as_mut_ptr());
            now.assume_init()
        });
        now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
    }

    #[inline]
    fn thread(&self) -> usize {
        // SAFETY: has no preconditions; reads a register.
        unsafe { libc::pthread_self() as usize }
    }

    fn is_threaded(&self) -> bool {
        unsafe extern "C" {
            fn pthread_is_threaded_np() -> c_int;
        }
        // SAFETY: has no preconditions; reads a flag.
        unsafe { pthread_is_threaded_np() != 0 }
    }

    /// False: no thread outside libSystem here.
    unsafe fn spawn_purger(&self, _tick: unsafe extern "C" fn(*mut u8) -> u32, _arg: *mut u8) -> bool {
        false
    }

    fn write_err(&self, mut text: &[u8]) {
        while !text.is_empty() {
            match file_write(STDERR, text) {
                Some(written) if written > 0 => text = &text[written.min(text.len())..],
                _ => return,
            }
        }
    }

    fn abort(&self) -> ! {
        // SAFETY: does not return.
        unsafe { libc::abort() }
    }
}

/// One: these machines have uniform memory.
pub fn detect_nodes() -> usize {
    1
}

/// An open file.
pub(crate) type File = c_int;
/// Standard error.
pub(crate) const STDERR: File = 2;

/// The calling thread's `errno`.
pub(crate) fn errno_location() -> *mut c_int {
    // SAFETY: has no preconditions.
    unsafe { crate::errno_word() }
}

/// The environment.
pub(crate) fn environ() -> *const *const c_char {
    // SAFETY: returns the address of libSystem's word, valid for the process' life.
    let word = unsafe { libc::_NSGetEnviron() };
    if word.is_null() {
        return core::ptr::null();
    }
    // SAFETY: not null: as above. Volatile because the program may replace it.
    unsafe { word.read_volatile().cast_const().cast() }
}

/// Opens a file, closed on exec.
pub(crate) fn file_open(path: &CStr, access: Access) -> Option<File> {
    let flags = match access {
        Access::Read => libc::O_RDONLY,
        Access::Create => libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC,
        Access::Append => libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND,
    };
    // SAFETY: the path ends with a NUL.
    let file = preserve(|| unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, 0o666 as libc::c_uint) });
    (file >= 0).then_some(file)
}

/// Repeats a call that a signal interrupted.
fn uninterrupted(mut call: impl FnMut() -> isize) -> Option<usize> {
    preserve(|| {
        loop {
            let result = call();
            if result >= 0 {
                return Some(result as usize);
            }
            // SAFETY: errno of this thread.
            if unsafe { errno_location().read() } != libc::EINTR {
                return None;
            }
        }
    })
}

/// Reads up to the slice's length; 0 is the end.
pub(crate) fn file_read(file: File, into: &mut [u8]) -> Option<usize> {
    // SAFETY: writes at most the slice's length to it.
    uninterrupted(|| unsafe { libc::read(file, into.as_mut_ptr().cast(), into.len()) })
}

/// Writes a part of the text.
pub(crate) fn file_write(file: File, text: &[u8]) -> Option<usize> {
    // SAFETY: reads at most the slice's length of it.
    uninterrupted(|| unsafe { libc::write(file, text.as_ptr().cast(), text.len()) })
}

/// Closes a file.
pub(crate) fn file_close(file: File) {
    // SAFETY: the caller opened it.
    preserve(|| unsafe { libc::close(file) });
}

/// `task_info` for memory, `getrusage` for page faults.
pub(crate) fn resident() -> Option<Resident> {
    let mut usage = core::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: libc writes one rusage.
    if preserve(|| unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) }) != 0 {
        return None;
    }
    // SAFETY: zeroed before, all fields are numbers.
    let usage = unsafe { usage.assume_init() };

    let mut info = core::mem::MaybeUninit::<libc::mach_task_basic_info>::zeroed();
    let mut count =
        (size_of::<libc::mach_task_basic_info>() / size_of::<libc::natural_t>()) as libc::mach_msg_type_number_t;
    // SAFETY: the kernel writes at most `count` words.
    let result = unsafe {
        #[allow(deprecated, reason = "libc points at another crate; one function is not worth it")]
        let task = libc::mach_task_self();
        libc::task_info(
            task,
            libc::MACH_TASK_BASIC_INFO as libc::task_flavor_t,
            info.as_mut_ptr().cast(),
            &mut count,
        )
    };
    if result != libc::KERN_SUCCESS {
        return None;
    }
    // SAFETY: zeroed before, all fields are numbers.
    let info = unsafe { info.assume_init() };
    Some(Resident {
        current_bytes: info.resident_size as usize,
        peak_bytes: info.resident_size_max as usize,
        minor_faults: usage.ru_minflt as u64,
        major_faults: usage.ru_majflt as u64,
    })
}
