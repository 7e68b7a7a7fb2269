//! Linux and Android: [`Linux`], the trait over raw system calls.
//!
//! `sys` makes the calls, `purger` starts the purge thread, `numa` asks for nodes, `cgroup` for limits,
//! `huge` for huge pages, `host` serves `process`. Nothing here writes `errno` or reads libc's thread-local storage, so that the purge
//! thread may use all of it. The state is three words: the page size, the node count and the
//! placement hint; each is an atomic that is right or recomputed, so all accesses are relaxed.

mod cgroup;
mod host;
mod huge;
mod numa;
mod purger;
mod sys;
#[cfg(test)]
mod tests;

pub(crate) use host::{File, STDERR};
pub(crate) use host::{environ, errno_location, file_close, file_open, file_read, file_write, resident};
pub use numa::detect_nodes;

use crate::placement::{Pages, Placement};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use stratalloc_core::os::{Advice, HugeSystem, Moved, Os, SystemLimits};
use stratalloc_core::sync::atomic::AtomicU32;

/// Linux 3.17 or later, any libc. Newer kernels do more by themselves: 5.7 moves pages and keeps the
/// source mapped, older ones make [`Os::remap`] return [`Moved::SourceGone`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Linux;

/// The one value.
pub(crate) const NATIVE: Linux = Linux;

/// Longest [`Os::wait`]: short, so that a wake-up lost in a fork costs time but never hangs.
const WAIT_MS: u32 = 2;

/// Bytes of a page, 0 until asked.
static PAGE_SIZE: AtomicUsize = AtomicUsize::new(0);
/// Where aligned mappings go.
static PLACEMENT: Placement = Placement::new();

/// The calls that [`Placement`] makes.
struct Anonymous;

impl Pages for Anonymous {
    fn map_at(&self, hint: usize, len: usize) -> Option<usize> {
        // SAFETY: not MAP_FIXED: only free addresses are taken.
        unsafe { sys::mmap(hint, len, 0) }.ok()
    }

    unsafe fn unmap(&self, start: usize, len: usize) -> bool {
        // SAFETY: the caller's promise.
        unsafe { sys::munmap(start, len) }.is_ok()
    }
}

/// Asks the auxiliary vector for the page size.
#[cold]
fn ask_page_size() -> usize {
    // SAFETY: has no preconditions; the entry exists since Linux 2.0, so errno is not written.
    let size = unsafe { libc::getauxval(libc::AT_PAGESZ) } as usize;
    let size = if size.is_power_of_two() { size } else { 4096 };
    PAGE_SIZE.store(size, Relaxed);
    size
}

/// An address among the kernel's own mappings: the dynamic loader's, 0 in static programs.
fn loader_base() -> usize {
    // SAFETY: has no preconditions.
    crate::errno::preserve(|| unsafe { libc::getauxval(libc::AT_BASE) } as usize)
}

/// True if the range lies in one kernel mapping. Asked by growing it in place to an impossible size:
/// the kernel looks at the range first (EFAULT if it spans mappings), at the room behind it second
/// (ENOMEM). Anything but ENOMEM counts as no.
///
/// # Safety
/// The range was mapped here.
unsafe fn is_one_mapping(start: usize, len: usize) -> bool {
    // Twice the address lies outside the address space or at least behind other mappings.
    let grown = start;
    if grown <= len {
        return false;
    }
    // SAFETY: without MAYMOVE nothing moves.
    match unsafe { sys::mremap(start, len, grown, 0, 0) } {
        Err(error) => error == libc::ENOMEM,
        Ok(_) => {
            // SAFETY: it grew after all, into addresses that nobody used: give those back.
            unsafe { sys::munmap(start + len, grown - len) }.is_ok()
        }
    }
}

// SAFETY: `map` returns fresh private anonymous memory, which the kernel zeroes; `purge` returns true
// only after the kernel dropped the pages or mapped fresh ones over them.
unsafe impl Os for Linux {
    #[inline]
    fn page_size(&self) -> usize {
        match PAGE_SIZE.load(Relaxed) {
            0 => ask_page_size(),
            size => size,
        }
    }

    fn map(&self, len: usize, align: usize) -> Option<NonNull<u8>> {
        PLACEMENT.map(&Anonymous, len, align, self.page_size(), loader_base)
    }

    unsafe fn unmap(&self, start: NonNull<u8>, len: usize) -> bool {
        let start = start.as_ptr().expose_provenance();
        // SAFETY: the caller's promise.
        let done = unsafe { sys::munmap(start, len) }.is_ok();
        if done {
            PLACEMENT.unmapped(start, len);
        }
        done
    }

    /// `MADV_DONTNEED`; where that is refused (a system-call filter, locked pages) fresh memory is
    /// mapped over the range.
    unsafe fn purge(&self, start: NonNull<u8>, len: usize) -> bool {
        let start = start.as_ptr().expose_provenance();
        // SAFETY: the caller needs the contents no more; private anonymous pages then read as zero.
        if unsafe { sys::madvise(start, len, libc::MADV_DONTNEED) }.is_ok() {
            return true;
        }
        // SAFETY: the caller's range, replaced as a whole.
        unsafe { sys::mmap(start, len, libc::MAP_FIXED) }.is_ok()
    }

    /// `mremap` with `MREMAP_DONTUNMAP`, without it on kernels before 5.7. Refused when the source
    /// spans several kernel mappings, which shows before anything was touched.
    unsafe fn remap(&self, from: NonNull<u8>, to: NonNull<u8>, len: usize) -> Moved {
        let (from, to) = (from.as_ptr().expose_provenance(), to.as_ptr().expose_provenance());
        // The kernel unmaps the target before it looks at the source, and newer ones move some of
        // several mappings before one fails: so the source is looked at first.
        // SAFETY: the caller's range.
        if !unsafe { is_one_mapping(from, len) } {
            return Moved::Refused;
        }
        let flags = sys::MREMAP_MAYMOVE | sys::MREMAP_FIXED;
        // SAFETY: the caller owns both ranges and does not need the target's contents.
        if unsafe { sys::mremap(from, len, len, flags | sys::MREMAP_DONTUNMAP, to) }.is_ok() {
            return Moved::SourceZero;
        }
        // SAFETY: as above.
        if unsafe { sys::mremap(from, len, len, flags, to) }.is_ok() {
            return Moved::SourceGone;
        }
        // Out of kernel memory or of mappings. The target may have been unmapped: take it back, but
        // only if nobody else has been given it (or it never went).
        // SAFETY: FIXED_NOREPLACE replaces nothing.
        let back = unsafe { sys::mmap(to, len, sys::MAP_FIXED_NOREPLACE) };
        if let Some(stray) = back.ok().filter(|&got| got != to) {
            // SAFETY: a kernel before 4.17 took the address for a hint; nobody uses what it gave.
            let _ = unsafe { sys::munmap(stray, len) };
        }
        Moved::Refused
    }

    /// `MAP_HUGETLB`, populated at once (Linux 5.14).
    fn map_reserved(&self, len: usize, align: usize, page: usize) -> Option<NonNull<u8>> {
        huge::is_reservable(page).then(|| huge::map_reserved(len, align, page))?
    }

    /// `MADV_HUGEPAGE` and `MADV_NOHUGEPAGE`.
    unsafe fn advise(&self, start: NonNull<u8>, len: usize, advice: Advice) -> bool {
        let advice = match advice {
            Advice::Huge => libc::MADV_HUGEPAGE,
            Advice::Small => libc::MADV_NOHUGEPAGE,
        };
        // SAFETY: the caller's range; its contents stay.
        unsafe { sys::madvise(start.as_ptr().expose_provenance(), len, advice) }.is_ok()
    }

    /// From `/sys/kernel/mm`, and `prctl`.
    fn huge_system(&self) -> HugeSystem {
        huge::system()
    }

    fn wait(&self, word: &AtomicU32, expected: u32) {
        match sys::futex_wait(word.as_ptr(), expected, &sys::Timespec::from_ms(WAIT_MS)) {
            Ok(_) | Err(libc::EAGAIN | libc::ETIMEDOUT | libc::EINTR) => {}
            // No futex here (a system-call filter): do not spin hot.
            Err(_) => sys::sched_yield(),
        }
    }

    fn wake(&self, word: &AtomicU32) {
        sys::futex_wake(word.as_ptr());
    }

    fn yield_now(&self) {
        sys::sched_yield();
    }

    /// `CLOCK_MONOTONIC_COARSE` through the vDSO: a memory read, 1 to 10 ms coarse.
    fn now_ms(&self) -> u64 {
        host::coarse_ms()
    }

    /// `CLOCK_MONOTONIC` through the vDSO.
    fn now_ns(&self) -> u64 {
        host::fine_ns()
    }

    /// The thread pointer. The purge thread has one of its own.
    #[inline(always)]
    fn thread(&self) -> usize {
        sys::thread_pointer()
    }

    /// One system call, none while one node is known.
    #[inline]
    fn node(&self) -> usize {
        match self.nodes() {
            1 => 0,
            nodes => sys::current_node() % nodes,
        }
    }

    /// By libc: glibc 2.35 and later know it without asking, others ask the vDSO.
    #[inline]
    fn cpu(&self) -> usize {
        sys::current_cpu()
    }

    /// 1 until [`detect_nodes`] was called.
    #[inline]
    fn nodes(&self) -> usize {
        numa::known()
    }

    #[cold]
    fn limits(&self) -> SystemLimits {
        cgroup::limits()
    }

    /// What glibc 2.32 and later publish; false with other libcs.
    #[inline]
    fn is_threaded(&self) -> bool {
        let flag = sys::single_threaded_flag();
        // SAFETY: not null: glibc's variable, one byte that any thread may read; volatile because
        // libc changes it.
        !flag.is_null() && unsafe { flag.read_volatile() } == 0
    }

    unsafe fn spawn_purger(&self, tick: unsafe extern "C" fn(*mut u8) -> u32, arg: *mut u8) -> bool {
        // SAFETY: the caller's promise.
        unsafe { purger::spawn(self.page_size(), tick, arg) }
    }

    fn write_err(&self, mut text: &[u8]) {
        while !text.is_empty() {
            match sys::write(STDERR, text) {
                Ok(0) | Err(libc::EBADF) => return,
                Ok(written) => text = &text[written.min(text.len())..],
                Err(libc::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    /// SIGABRT to the calling thread, twice: once for the program's handler, once with the default
    /// action; then the process exits with status 127 whatever happens.
    fn abort(&self) -> ! {
        let abort_bit = 1u64 << (libc::SIGABRT - 1);
        for last in [false, true] {
            if last {
                sys::default_abort();
            }
            // SAFETY: the process ends here; nobody sees the mask again.
            let _ = unsafe { sys::signal_mask(libc::SIG_UNBLOCK, abort_bit) };
            sys::raise_abort();
        }
        loop {
            sys::exit_group(127);
        }
    }
}
