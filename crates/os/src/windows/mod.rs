//! Windows: [`Windows`], the trait over `VirtualAlloc` and `WaitOnAddress`.
//!
//! `host` serves `process`, `thread_exit` and `fork` are this platform's versions of those modules.
//! Written from the documented interfaces. The thread's last-error word is put back after each call,
//! as `errno` is elsewhere. The state is the page size, recomputed when unknown: relaxed accesses.

mod host;

pub(crate) use host::{File, STDERR};
pub(crate) use host::{at_exit, env_var, file_close, file_open, file_read, file_write, process_id, resident};

use core::ffi::c_void;
use core::ptr::{NonNull, null, null_mut};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use stratalloc_core::os::{Moved, Os};
use stratalloc_core::sync::atomic::AtomicU32;
use windows_sys::Win32::Foundation::{GetLastError, SetLastError};
use windows_sys::Win32::System::Diagnostics::Debug::RaiseFailFastException;
use windows_sys::Win32::System::Memory::{
    MEM_COMMIT, MEM_DECOMMIT, MEM_FREE, MEM_RELEASE, MEM_RESERVE, MEMORY_BASIC_INFORMATION, PAGE_READWRITE,
    VirtualAlloc, VirtualFree, VirtualQuery,
};
use windows_sys::Win32::System::SystemInformation::{GetSystemInfo, GetTickCount64, SYSTEM_INFO};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetCurrentThreadId, Sleep, SwitchToThread, TerminateProcess, WaitOnAddress,
    WakeByAddressSingle,
};

/// Windows 8 or later.
///
/// * Ranges are given back whole, as they were mapped: [`Os::unmap`] of a part returns false.
/// * Mapped memory is committed and counts against the system's commit limit at once.
/// * No purge thread, no moving of pages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Windows;

/// The one value.
pub(crate) const NATIVE: Windows = Windows;

/// Bytes of a page, 0 until asked.
static PAGE_SIZE: AtomicUsize = AtomicUsize::new(0);

/// Longest [`Os::wait`].
const WAIT_MS: u32 = 2;
/// How often an aligned address is tried that another thread may take first.
const TRIES: usize = 16;

/// Runs `call` and puts the thread's last-error word back.
pub(crate) fn preserve<R>(call: impl FnOnce() -> R) -> R {
    // SAFETY: reads this thread's word.
    let before = unsafe { GetLastError() };
    let result = call();
    // SAFETY: writes this thread's word.
    unsafe { SetLastError(before) };
    result
}

/// `VirtualAlloc` of readable and writable memory; null if refused.
///
/// # Safety
/// With `MEM_COMMIT` alone, the range is the caller's reservation.
unsafe fn allocate(at: *const c_void, len: usize, kind: u32) -> *mut c_void {
    // SAFETY: reserving takes free addresses only; committing, the caller's promise.
    unsafe { VirtualAlloc(at, len, kind, PAGE_READWRITE) }
}

/// Bytes of the reservation that starts at `start`; 0 if none starts there.
fn reservation(start: *const c_void) -> usize {
    let mut len = 0;
    loop {
        let mut info = core::mem::MaybeUninit::<MEMORY_BASIC_INFORMATION>::zeroed();
        let at = start.wrapping_byte_add(len);
        // SAFETY: asks about an address; writes one structure.
        if unsafe { VirtualQuery(at, info.as_mut_ptr(), size_of::<MEMORY_BASIC_INFORMATION>()) } == 0 {
            return len;
        }
        // SAFETY: zeroed before, and all zeros are valid.
        let info = unsafe { info.assume_init() };
        if info.State == MEM_FREE || !core::ptr::eq(info.AllocationBase, start) || info.RegionSize == 0 {
            return len;
        }
        len += info.RegionSize;
    }
}

// SAFETY: `map` returns freshly committed memory, which the system zeroes; `purge` returns true only
// after the range was decommitted and committed afresh.
unsafe impl Os for Windows {
    #[inline]
    fn page_size(&self) -> usize {
        match PAGE_SIZE.load(Relaxed) {
            0 => {
                let mut info = core::mem::MaybeUninit::<SYSTEM_INFO>::zeroed();
                // SAFETY: writes one structure, zeroed before.
                let info = unsafe {
                    GetSystemInfo(info.as_mut_ptr());
                    info.assume_init()
                };
                let size = info.dwPageSize as usize;
                PAGE_SIZE.store(size, Relaxed);
                size
            }
            size => size,
        }
    }

    /// One call where the system's own 64 KiB alignment is enough or comes out right; otherwise a
    /// larger range is reserved to find an aligned address, released, and asked for at that address.
    fn map(&self, len: usize, align: usize) -> Option<NonNull<u8>> {
        preserve(|| {
            let both = MEM_RESERVE | MEM_COMMIT;
            // SAFETY: takes free addresses.
            let start = unsafe { allocate(null(), len, both) };
            if start.is_null() || start.addr() & (align - 1) == 0 {
                return NonNull::new(start.cast());
            }
            // SAFETY: allocated above, used by nobody.
            unsafe { VirtualFree(start, 0, MEM_RELEASE) };
            let over = len.checked_add(align)?;
            for _ in 0..TRIES {
                // SAFETY: takes free addresses, without committing.
                let room = unsafe { allocate(null(), over, MEM_RESERVE) };
                if room.is_null() {
                    return None;
                }
                let aligned = room.wrapping_byte_add(room.addr().wrapping_neg() & (align - 1));
                // SAFETY: reserved above, used by nobody.
                unsafe { VirtualFree(room, 0, MEM_RELEASE) };
                // SAFETY: takes the address if it is still free.
                let start = unsafe { allocate(aligned, len, both) };
                if !start.is_null() {
                    return NonNull::new(start.cast());
                }
            }
            None
        })
    }

    unsafe fn unmap(&self, start: NonNull<u8>, len: usize) -> bool {
        let start: *mut c_void = start.as_ptr().cast();
        preserve(|| {
            let whole = reservation(start) == len.next_multiple_of(self.page_size());
            // SAFETY: the caller's range, and it is all of the reservation.
            whole && unsafe { VirtualFree(start, 0, MEM_RELEASE) } != 0
        })
    }

    /// Decommits and commits again (`MEM_RESET` and `DiscardVirtualMemory` leave the contents
    /// unspecified). Should the system have given the memory to somebody else meanwhile, this waits
    /// up to a second for it; a range that cannot be had back ends the process, since the caller's
    /// next access would.
    unsafe fn purge(&self, start: NonNull<u8>, len: usize) -> bool {
        let start: *mut c_void = start.as_ptr().cast();
        preserve(|| {
            // SAFETY: the caller's range, whose contents are not needed.
            if unsafe { VirtualFree(start, len, MEM_DECOMMIT) } == 0 {
                return false;
            }
            for _ in 0..1000 {
                // SAFETY: the caller's reservation.
                if !unsafe { allocate(start, len, MEM_COMMIT) }.is_null() {
                    return true;
                }
                // SAFETY: has no preconditions.
                unsafe { Sleep(1) };
            }
            self.write_err(b"stratalloc: the system has no memory left to commit\n");
            self.abort()
        })
    }

    /// Refused: the caller copies.
    unsafe fn remap(&self, _from: NonNull<u8>, _to: NonNull<u8>, _len: usize) -> Moved {
        Moved::Refused
    }

    fn wait(&self, word: &AtomicU32, expected: u32) {
        let (word, expected): (*const c_void, _) = (word.as_ptr().cast(), &raw const expected);
        // SAFETY: compares four bytes at both addresses, which live through the call.
        preserve(|| unsafe { WaitOnAddress(word, expected.cast(), size_of::<u32>(), WAIT_MS) });
    }

    fn wake(&self, word: &AtomicU32) {
        // SAFETY: the address serves as a key only.
        unsafe { WakeByAddressSingle(word.as_ptr().cast()) };
    }

    fn yield_now(&self) {
        // SAFETY: has no preconditions.
        unsafe { SwitchToThread() };
    }

    fn now_ms(&self) -> u64 {
        // SAFETY: has no preconditions; reads shared memory.
        unsafe { GetTickCount64() }
    }

    #[inline]
    fn thread(&self) -> usize {
        // SAFETY: has no preconditions; reads the thread's block. Never 0.
        unsafe { GetCurrentThreadId() as usize }
    }

    /// False: not asked, since there is no purge thread.
    fn is_threaded(&self) -> bool {
        false
    }

    /// False: every thread of a process runs each library's entry point here.
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
        // SAFETY: ends the process without running its handlers.
        unsafe { RaiseFailFastException(null(), null_mut(), 0) };
        loop {
            // SAFETY: ends this process, with the status that C's `abort` gives.
            unsafe { TerminateProcess(GetCurrentProcess(), 3) };
        }
    }
}

/// One: nodes are not told apart here.
pub fn detect_nodes() -> usize {
    1
}
