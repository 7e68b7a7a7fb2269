//! S3: what the strata above ask of an operating system, as one trait.
//!
//! The implementations live in `stratalloc-os`, one file a platform, with a mock beside them whose
//! calls can be made to fail. Rules for every implementation:
//!
//! * no call may allocate through the global allocator, take a lock that an allocation could need,
//!   unwind, or change `errno` as the caller sees it;
//! * a refusal is a value (`None`, `false`, [`Moved::Refused`]), never a panic or an abort;
//! * every method may be called from any thread, also after that thread's TLS destructors ran.
//!
//! A value rather than a set of static functions, so that tests run many systems (page sizes,
//! faults) side by side; the real ones are zero-sized.

use crate::sync::atomic::AtomicU32;
use core::ptr::NonNull;

/// What became of [`Os::remap`]'s source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Moved {
    /// The pages moved; the source range is still mapped and reads as zero.
    SourceZero,
    /// The pages moved; the source range is no longer mapped.
    SourceGone,
    /// Nothing happened; the caller copies.
    Refused,
}

/// Who set a bound of [`SystemLimits`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Source {
    /// Nobody: there is no such bound, or it is not known.
    #[default]
    Nobody,
    /// The CPU affinity of the calling thread.
    Affinity,
    /// A cgroup of version 1: `cpu.cfs_quota_us`, `memory.limit_in_bytes`, `memory.soft_limit_in_bytes`.
    CgroupV1,
    /// A cgroup of version 2: `cpu.max`, `memory.max`, `memory.high`.
    CgroupV2,
    /// An option of the allocator.
    Option,
}

impl Source {
    /// The source of that number (`self as u8`); `Nobody` for any other.
    pub const fn from_number(number: u8) -> Source {
        match number {
            1 => Source::Affinity,
            2 => Source::CgroupV1,
            3 => Source::CgroupV2,
            4 => Source::Option,
            _ => Source::Nobody,
        }
    }
}

/// A bound and who set it. [`Bound::NONE`] where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The number; `u64::MAX` for no bound.
    pub value: u64,
    /// Who set it.
    pub source: Source,
}

impl Bound {
    /// No bound.
    pub const NONE: Bound = Bound { value: u64::MAX, source: Source::Nobody };

    /// True unless it is [`NONE`](Self::NONE).
    pub const fn is_some(&self) -> bool {
        self.value != u64::MAX
    }

    /// The tighter of the two; of equals, this one.
    #[must_use]
    pub const fn min(self, other: Bound) -> Bound {
        if other.value < self.value { other } else { self }
    }
}

impl Default for Bound {
    fn default() -> Self {
        Self::NONE
    }
}

/// What the system lets this process use, as [`Os::limits`] found it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SystemLimits {
    /// CPUs at a time: the affinity, or a quota rounded up; at least 1 where known.
    pub cpus: Bound,
    /// Bytes of memory beyond which the system kills or refuses (`memory.max`).
    pub memory_max: Bound,
    /// Bytes of memory beyond which the system reclaims from the process (`memory.high`).
    pub memory_high: Bound,
}

/// What [`Os::advise`] tells the system about a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Back it with huge pages.
    Huge,
    /// Back it with ordinary pages.
    Small,
}

/// When the system backs memory with transparent huge pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transparent {
    /// The system has none, or does not say.
    #[default]
    Absent,
    /// Never.
    Never,
    /// Where it is asked to.
    Madvise,
    /// Wherever it can.
    Always,
}

/// Reserved huge pages of one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserve {
    /// Pages that the system has.
    pub total: usize,
    /// Of them, in nobody's use. Some may be promised to mappings.
    pub free: usize,
}

/// What the system says of its huge pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HugeSystem {
    /// When transparent ones are used.
    pub transparent: Transparent,
    /// The system's word for how it makes room for them (`always`, `defer`, `madvise`, …); empty: unknown.
    pub defrag: &'static str,
    /// Bytes of a transparent huge page; 0: unknown.
    pub bytes: usize,
    /// This process was told not to use transparent ones.
    pub forbidden: bool,
    /// Reserved pages of 2 MiB.
    pub two_mib: Reserve,
    /// Reserved pages of 1 GiB.
    pub one_gib: Reserve,
}

/// The operating system below the page heap.
///
/// # Safety
/// [`map`](Os::map) returns memory that nobody else uses, zeroed, readable and writable, aligned as
/// asked; [`purge`](Os::purge) returning true means that the range reads as zero from then on.
pub unsafe trait Os: Sync + 'static {
    /// Bytes of one page: a power of two from 4 KiB to [`SLICE`](crate::class::SLICE). Read at run time.
    fn page_size(&self) -> usize;

    /// Maps `len` bytes (a multiple of the page size) of private zero memory at a multiple of
    /// `align` (a power of two, at least the page size). One system call in the ordinary case.
    fn map(&self, len: usize, align: usize) -> Option<NonNull<u8>>;

    /// Gives a range back. False: the system refused and the range is still mapped.
    ///
    /// # Safety
    /// The range was mapped here, whole pages, and nothing in it is used again.
    unsafe fn unmap(&self, start: NonNull<u8>, len: usize) -> bool;

    /// Drops the contents of a range and its physical pages; it stays mapped and reads as zero.
    /// False: the system refused; the contents are then unspecified but the range is usable.
    ///
    /// # Safety
    /// The range was mapped here, whole pages, and its contents are not needed.
    unsafe fn purge(&self, start: NonNull<u8>, len: usize) -> bool;

    /// Moves the pages of `from..from+len` to `to..to+len` without copying.
    ///
    /// # Safety
    /// Both ranges were mapped here, whole pages, disjoint; the target's contents are not needed.
    unsafe fn remap(&self, from: NonNull<u8>, to: NonNull<u8>, len: usize) -> Moved;

    /// Maps `len` bytes of private zero memory in reserved huge pages of `page` bytes (2 MiB or 1 GiB), at a
    /// multiple of `align`; `len` and `align` are multiples of `page`. The pages are this mapping's from then on: no access faults for
    /// want of them (but see docs/design.md about a fork's child). `None`: there are too few, or none of that size.
    ///
    /// Such memory may be unmapped in whole pages only; [`purge`](Os::purge) and [`remap`](Os::remap)
    /// may refuse it.
    fn map_reserved(&self, len: usize, align: usize, page: usize) -> Option<NonNull<u8>> {
        let _ = (len, align, page);
        None
    }

    /// Tells the system what pages to back a range with when they are next touched. False: it refused.
    ///
    /// # Safety
    /// The range was mapped here, whole pages.
    unsafe fn advise(&self, start: NonNull<u8>, len: usize, advice: Advice) -> bool {
        let _ = (start, len, advice);
        false
    }

    /// Asks the system about its huge pages: some twenty system calls on Linux.
    fn huge_system(&self) -> HugeSystem {
        HugeSystem::default()
    }

    /// Blocks while `word` holds `expected`, at most a few milliseconds or until woken; may return
    /// early. Systems without such a call yield the processor.
    fn wait(&self, word: &AtomicU32, expected: u32);

    /// Wakes one waiter on `word`.
    fn wake(&self, word: &AtomicU32);

    /// Lets another thread run.
    fn yield_now(&self);

    /// Milliseconds of a monotonic clock; coarse (a few ms) is fine. No system call where possible.
    fn now_ms(&self) -> u64;

    /// Nanoseconds of a monotonic clock, as fine as there is one; for slow paths. No system call where possible.
    fn now_ns(&self) -> u64 {
        self.now_ms() * 1_000_000
    }

    /// A number that tells the calling thread from every other living one: a multiple of 4, never 0.
    /// The same in a fork's child for the thread that forked. No system call.
    fn thread(&self) -> usize;

    /// Index of the NUMA node the calling thread runs on, below [`nodes`](Os::nodes).
    fn node(&self) -> usize {
        0
    }

    /// Index of the CPU the calling thread runs on; a hint, as it may run on another at once. No system call.
    fn cpu(&self) -> usize {
        0
    }

    /// Number of NUMA nodes this process may run on, at least 1.
    fn nodes(&self) -> usize {
        1
    }

    /// What the process may use, read anew: its container's limits and its CPU affinity. What the
    /// system does not tell is [`Bound::NONE`], and so is everything where it has no such limits.
    ///
    /// Some dozens of system calls (about 0.1 ms) and up to 8 KiB of stack: for slow paths, seldom.
    fn limits(&self) -> SystemLimits {
        SystemLimits::default()
    }

    /// True when the process has, or has had, a second thread; then a background thread changes
    /// nothing for it. Where the system cannot tell: false.
    fn is_threaded(&self) -> bool;

    /// Starts the purge thread, which calls `tick(arg)` and sleeps as many milliseconds as it
    /// returns, until it returns 0. The thread uses no TLS of the host's libc, takes no signals and
    /// is unknown to libc. False: it could not be started (or the platform has no such thread).
    ///
    /// # Safety
    /// `tick` and `arg` stay valid as long as the thread runs, and `tick` may run on any thread.
    unsafe fn spawn_purger(&self, tick: unsafe extern "C" fn(*mut u8) -> u32, arg: *mut u8) -> bool;

    /// Writes to standard error, unbuffered, ignoring failure.
    fn write_err(&self, text: &[u8]);

    /// Ends the process abnormally (SIGABRT where there are signals).
    fn abort(&self) -> !;
}
