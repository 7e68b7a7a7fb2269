//! The purge thread: a kernel thread of this process that libc does not know.
//!
//! A thread that libc starts would switch off its single-thread fast paths, allocate, and run the
//! program's thread hooks. This one is a bare `clone` with everything in one mapping of its own:
//!
//! ```text
//! | guard page | stack, 64 KiB, grows down | record, frame | TLS, thread pointer in its middle |
//! ```
//!
//! * Its thread pointer leads to zeroed memory of its own, not to the creator's: `Os::thread` tells
//!   it apart, and code that reads the stack protector's canary or libc's thread header by accident
//!   finds memory that stays valid when the creator has left. It is still not a thread that may use
//!   libc or Rust thread-locals: those would read zeros, not their initial values. So `tick` must not
//!   allocate through the heap slot, lock std locks or panic.
//! * All signals are blocked: the program's handlers never run here.
//! * It ends when `tick` returns 0, with the process, and does not exist in a fork's child. libc's
//!   process-wide `setuid` family does not reach it; it opens no files and starts nothing.
//! * It frees its mapping itself: the last instructions after the unmapping touch no memory.
//!
//! A library that starts it must stay loaded: its code runs here.

use super::sys;
use core::ffi::c_int;

/// Bytes of stack.
const STACK: usize = 64 << 10;
/// Bytes of thread-local memory: the thread pointer stands in the middle, because x86-64 puts data
/// below it and AArch64 above, and libc's own header is on the other side.
const TLS: usize = 16 << 10;

/// What the thread finds at the top of its stack. The first two words are read by `start_thread`.
#[repr(C, align(16))]
struct Record {
    mapping: usize,
    len: usize,
    tick: unsafe extern "C" fn(*mut u8) -> u32,
    arg: *mut u8,
}

/// The thread's frame: `start_thread` reads the record's address from its first word.
#[repr(C, align(16))]
struct Frame {
    record: *const Record,
    end_of_stack: usize,
    body: Record,
}

/// Starts the thread; false if the kernel refuses memory or the thread.
///
/// # Safety
/// `tick` and `arg` stay valid as long as the thread runs, and `tick` keeps to this file's header.
pub(super) unsafe fn spawn(page: usize, tick: unsafe extern "C" fn(*mut u8) -> u32, arg: *mut u8) -> bool {
    let len = (page + STACK + TLS).next_multiple_of(page);
    // SAFETY: not MAP_FIXED.
    let Ok(mapping) = (unsafe { sys::mmap(0, len, 0) }) else {
        return false;
    };
    // SAFETY: the lowest page of our fresh mapping becomes the guard. Refused: no guard, still sound.
    let _ = unsafe { sys::call3(libc::SYS_mprotect, mapping, page, libc::PROT_NONE as usize) };

    let pointer = mapping + len - TLS / 2;
    let frame_at = (mapping + len - TLS - size_of::<Frame>()) & !15;
    let frame: *mut Frame = core::ptr::with_exposed_provenance_mut(frame_at);
    // SAFETY: inside our mapping, above the stack's end, aligned.
    unsafe {
        frame.write(Frame {
            record: &raw const (*frame).body,
            end_of_stack: 0,
            body: Record { mapping, len, tick, arg },
        });
    }
    let header: *mut usize = core::ptr::with_exposed_provenance_mut(pointer);
    // SAFETY: the middle of the TLS part. x86-64 code finds the thread pointer in its first word, and
    // libcs find their own header's address there or in the third.
    unsafe {
        header.write(pointer);
        header.add(2).write(pointer);
    }

    // Blocked around the start, so that no handler ever runs on the new stack.
    // SAFETY: restored below.
    let old_mask = unsafe { sys::signal_mask(libc::SIG_SETMASK, u64::MAX) };
    let flags: c_int = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_SETTLS;
    let started = match old_mask {
        // SAFETY: the frame is aligned, holds the record's address, and the stack below is unused.
        Ok(_) => (unsafe { sys::start_thread(flags as usize, frame_at, pointer, run) }) > 0,
        Err(_) => false,
    };
    if let Ok(mask) = old_mask {
        // SAFETY: the mask the caller had.
        let _ = unsafe { sys::signal_mask(libc::SIG_SETMASK, mask) };
    }
    if !started {
        // SAFETY: no thread uses the mapping.
        let _ = unsafe { sys::munmap(mapping, len) };
    }
    started
}

/// The thread's life.
///
/// # Safety
/// `record` leads to the [`Record`] that `spawn` wrote.
unsafe extern "C" fn run(record: *const usize) {
    // SAFETY: written before the thread started, never again.
    let record = unsafe { &*record.cast::<Record>() };
    sys::set_thread_name(c"strat-purge");
    loop {
        // SAFETY: the promise given to `spawn`.
        let ms = unsafe { (record.tick)(record.arg) };
        if ms == 0 {
            return;
        }
        sys::nanosleep(&sys::Timespec::from_ms(ms));
    }
}
