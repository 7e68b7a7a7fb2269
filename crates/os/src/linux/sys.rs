//! Linux system calls that touch no thread-local storage.
//!
//! On x86-64 and AArch64 they are one instruction each and errors are returned, so `errno` is never
//! written and a thread without libc's TLS may make them. Elsewhere libc makes the call and `errno`
//! is put back. Everything in this folder that enters the kernel does so from here.

use core::ffi::{CStr, c_char, c_int, c_long};

#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
#[path = "sys_x86_64.rs"]
mod arch;
#[cfg(all(target_arch = "aarch64", target_pointer_width = "64"))]
#[path = "sys_aarch64.rs"]
mod arch;
#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_pointer_width = "64")))]
#[path = "sys_libc.rs"]
mod arch;

pub(super) use arch::*;

/// An error number, positive.
pub(super) type Errno = c_int;

/// Bytes of the kernel's signal set.
pub(super) const SIGSET_BYTES: usize = 8;

// The kernel's numbers, the same on all architectures; the libc crate lacks them on Android.
pub(super) const MREMAP_MAYMOVE: c_int = 1;
pub(super) const MREMAP_FIXED: c_int = 2;
pub(super) const MREMAP_DONTUNMAP: c_int = 4;
pub(super) const MAP_FIXED_NOREPLACE: c_int = 0x10_0000;
pub(super) const MADV_POPULATE_WRITE: c_int = 23;
pub(super) const MAP_HUGE_SHIFT: c_int = 26;
pub(super) const PR_GET_THP_DISABLE: c_int = 42;

/// `struct timespec` as these calls take it: two words of the machine's long.
#[repr(C)]
pub(super) struct Timespec {
    pub(super) seconds: c_long,
    pub(super) nanos: c_long,
}

impl Timespec {
    /// A duration.
    pub(super) fn from_ms(ms: u32) -> Self {
        Self { seconds: (ms / 1000) as c_long, nanos: ((ms % 1000) * 1_000_000) as c_long }
    }
}

/// Splits a raw result into value and error.
fn check(raw: isize) -> Result<usize, Errno> {
    if (-4095..0).contains(&raw) { Err(-raw as Errno) } else { Ok(raw as usize) }
}

/// A call with up to three arguments.
///
/// # Safety
/// As the system call demands.
pub(super) unsafe fn call3(number: c_long, a: usize, b: usize, c: usize) -> Result<usize, Errno> {
    // SAFETY: the caller's promise; the kernel ignores arguments that a call does not have.
    check(unsafe { call(number, [a, b, c, 0, 0, 0]) })
}

/// A call with up to six arguments.
///
/// # Safety
/// As the system call demands.
pub(super) unsafe fn call6(number: c_long, args: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: the caller's promise.
    check(unsafe { call(number, args) })
}

/// Maps private zero memory, readable and writable; `flags` are added.
///
/// # Safety
/// With `MAP_FIXED` among the flags, the range at `hint` is the caller's to replace.
pub(super) unsafe fn mmap(hint: usize, len: usize, flags: c_int) -> Result<usize, Errno> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // Without MAP_NORESERVE: a request that memory and swap could never meet is refused here, not by a
    // fatal page fault later; what is mapped ahead of need is a quarter of what is used at most.
    let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: without MAP_FIXED a mapping replaces nothing; with it, the caller's promise.
    check(unsafe { map(hint, len, protection, flags) })
}

/// Unmaps.
///
/// # Safety
/// The range is the caller's and is not used again.
pub(super) unsafe fn munmap(start: usize, len: usize) -> Result<usize, Errno> {
    // SAFETY: the caller's promise.
    unsafe { call3(libc::SYS_munmap, start, len, 0) }
}

/// Advises about a range.
///
/// # Safety
/// The range is the caller's; `advice` may drop its contents.
pub(super) unsafe fn madvise(start: usize, len: usize, advice: c_int) -> Result<usize, Errno> {
    // SAFETY: the caller's promise.
    unsafe { call3(libc::SYS_madvise, start, len, advice as usize) }
}

/// Moves or resizes a mapping.
///
/// # Safety
/// Both ranges are the caller's; the target's contents are not needed.
pub(super) unsafe fn mremap(
    from: usize,
    len: usize,
    new_len: usize,
    flags: c_int,
    to: usize,
) -> Result<usize, Errno> {
    // SAFETY: the caller's promise.
    unsafe { call6(libc::SYS_mremap, [from, len, new_len, flags as usize, to, 0]) }
}

/// Blocks while `*word == expected`, at most `timeout`.
pub(super) fn futex_wait(word: *const u32, expected: u32, timeout: &Timespec) -> Result<usize, Errno> {
    let op = (libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG) as usize;
    let timeout = core::ptr::from_ref(timeout) as usize;
    // SAFETY: the kernel checks the word's address and only reads both.
    unsafe { call6(libc::SYS_futex, [word as usize, op, expected as usize, timeout, 0, 0]) }
}

/// Wakes one thread that waits on `word`.
pub(super) fn futex_wake(word: *const u32) {
    let op = (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG) as usize;
    // SAFETY: the address serves as a key only.
    let _ = unsafe { call6(libc::SYS_futex, [word as usize, op, 1, 0, 0, 0]) };
}

/// Sleeps, at most `duration`.
pub(super) fn nanosleep(duration: &Timespec) {
    // SAFETY: the kernel reads the duration; no remainder is asked for.
    let _ = unsafe { call3(libc::SYS_nanosleep, core::ptr::from_ref(duration) as usize, 0, 0) };
}

/// Lets another thread run.
pub(super) fn sched_yield() {
    // SAFETY: touches no memory.
    let _ = unsafe { call3(libc::SYS_sched_yield, 0, 0, 0) };
}

/// The NUMA node of the calling thread; 0 if the kernel does not say.
pub(super) fn current_node() -> usize {
    let mut node = 0u32;
    // SAFETY: the kernel writes one u32; a null processor pointer asks for the node only.
    let _ = unsafe { call3(libc::SYS_getcpu, 0, &raw mut node as usize, 0) };
    node as usize
}

/// The CPU of the calling thread; 0 if the system does not say.
pub(super) fn current_cpu() -> usize {
    // SAFETY: touches no memory of ours.
    let cpu = unsafe { libc::sched_getcpu() };
    usize::try_from(cpu).unwrap_or(0)
}

/// The CPUs that the calling thread may run on, a bit each; returns the bytes written.
pub(super) fn affinity(mask: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most `len` bytes to the slice.
    unsafe { call3(libc::SYS_sched_getaffinity, 0, mask.len(), mask.as_mut_ptr() as usize) }
}

/// Sets the signal mask and returns the old one.
///
/// # Safety
/// `how` and `mask` leave the calling thread in a state its owner expects.
pub(super) unsafe fn signal_mask(how: c_int, mask: u64) -> Result<u64, Errno> {
    let mut old = 0u64;
    let (new, out) = (&raw const mask as usize, &raw mut old as usize);
    // SAFETY: the kernel reads and writes eight bytes each; the mask is the caller's promise.
    unsafe { call6(libc::SYS_rt_sigprocmask, [how as usize, new, out, SIGSET_BYTES, 0, 0]) }?;
    Ok(old)
}

/// Opens a file, closed on exec.
pub(super) fn open(path: &CStr, flags: c_int) -> Result<c_int, Errno> {
    let args = [libc::AT_FDCWD as usize, path.as_ptr() as usize, (flags | libc::O_CLOEXEC) as usize, 0o666, 0, 0];
    // SAFETY: the path ends with a NUL and the kernel only reads it.
    unsafe { call6(libc::SYS_openat, args) }.map(|fd| fd as c_int)
}

/// Reads once.
pub(super) fn read(fd: c_int, into: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most `len` bytes to the slice.
    unsafe { call3(libc::SYS_read, fd as usize, into.as_mut_ptr() as usize, into.len()) }
}

/// Writes once.
pub(super) fn write(fd: c_int, text: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel reads at most `len` bytes of the slice.
    unsafe { call3(libc::SYS_write, fd as usize, text.as_ptr() as usize, text.len()) }
}

/// Closes a descriptor that the caller opened.
pub(super) fn close(fd: c_int) {
    // SAFETY: touches no memory.
    let _ = unsafe { call3(libc::SYS_close, fd as usize, 0, 0) };
}

/// Names the calling thread (15 bytes and a NUL).
pub(super) fn set_thread_name(name: &CStr) {
    let name: *const c_char = name.as_ptr();
    // SAFETY: the kernel reads up to 16 bytes of a string that ends before.
    let _ = unsafe { call3(libc::SYS_prctl, libc::PR_SET_NAME as usize, name as usize, 0) };
}

/// Sends SIGABRT to the calling thread.
pub(super) fn raise_abort() {
    // SAFETY: these calls touch no memory of ours.
    let ids = unsafe { (call3(libc::SYS_getpid, 0, 0, 0), call3(libc::SYS_gettid, 0, 0, 0)) };
    if let (Ok(process), Ok(thread)) = ids {
        // SAFETY: as above; what the signal does is what the caller wants.
        let _ = unsafe { call3(libc::SYS_tgkill, process, thread, libc::SIGABRT as usize) };
    }
}

/// Gives SIGABRT its default action: end the process with a core dump.
pub(super) fn default_abort() {
    // `struct kernel_sigaction` of all zeros is SIG_DFL without flags; larger than any layout of it.
    let default = [0usize; 16];
    let args = [libc::SIGABRT as usize, default.as_ptr() as usize, 0, SIGSET_BYTES, 0, 0];
    // SAFETY: the kernel reads a structure smaller than the array.
    let _ = unsafe { call6(libc::SYS_rt_sigaction, args) };
}

/// Ends all threads of the process.
pub(super) fn exit_group(status: c_int) {
    // SAFETY: does not return unless refused.
    let _ = unsafe { call3(libc::SYS_exit_group, status as usize, 0, 0) };
}
