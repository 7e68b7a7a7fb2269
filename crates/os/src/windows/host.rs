//! What [`crate::process`] asks of Windows: files, environment, figures.

use super::preserve;
use crate::process::{Access, Resident};
use core::ffi::{CStr, c_int};
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};
use windows_sys::Win32::Foundation::{CloseHandle, GENERIC_READ, HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Storage::FileSystem::{
    CREATE_ALWAYS, CreateFileA, FILE_APPEND_DATA, FILE_ATTRIBUTE_NORMAL, FILE_GENERIC_WRITE, FILE_SHARE_READ,
    FILE_SHARE_WRITE, OPEN_ALWAYS, OPEN_EXISTING, ReadFile, SYNCHRONIZE, WriteFile,
};
use windows_sys::Win32::System::Console::{GetStdHandle, STD_ERROR_HANDLE};
use windows_sys::Win32::System::Environment::{FreeEnvironmentStringsA, GetEnvironmentStrings};
use windows_sys::Win32::System::ProcessStatus::{K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetCurrentProcessId};

/// An open file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum File {
    /// One that was opened here.
    Handle(HANDLE),
    /// Whatever standard error is at the moment of the call.
    StandardError,
}

/// Standard error.
pub(crate) const STDERR: File = File::StandardError;

/// The handle of a file; null if there is none.
fn handle(file: File) -> HANDLE {
    match file {
        File::Handle(handle) => handle,
        // SAFETY: has no preconditions.
        File::StandardError => unsafe { GetStdHandle(STD_ERROR_HANDLE) },
    }
}

/// Opens a file.
pub(crate) fn file_open(path: &CStr, access: Access) -> Option<File> {
    let (rights, creation) = match access {
        Access::Read => (GENERIC_READ, OPEN_EXISTING),
        Access::Create => (FILE_GENERIC_WRITE, CREATE_ALWAYS),
        Access::Append => (FILE_APPEND_DATA | SYNCHRONIZE, OPEN_ALWAYS),
    };
    let share = FILE_SHARE_READ | FILE_SHARE_WRITE;
    let path = path.as_ptr().cast();
    // SAFETY: the path ends with a NUL; no security attributes, no template.
    let opened = preserve(|| unsafe {
        CreateFileA(path, rights, share, null(), creation, FILE_ATTRIBUTE_NORMAL, null_mut())
    });
    (opened != INVALID_HANDLE_VALUE).then_some(File::Handle(opened))
}

/// Reads up to the slice's length; 0 is the end.
pub(crate) fn file_read(file: File, into: &mut [u8]) -> Option<usize> {
    let mut done = 0u32;
    let len = u32::try_from(into.len()).unwrap_or(u32::MAX);
    // SAFETY: writes at most the slice's length to it, and the count.
    let ok = preserve(|| unsafe { ReadFile(handle(file), into.as_mut_ptr(), len, &mut done, null_mut()) });
    (ok != 0).then_some(done as usize)
}

/// Writes a part of the text.
pub(crate) fn file_write(file: File, text: &[u8]) -> Option<usize> {
    let mut done = 0u32;
    let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
    // SAFETY: reads at most the slice's length of it, and writes the count.
    let ok = preserve(|| unsafe { WriteFile(handle(file), text.as_ptr(), len, &mut done, null_mut()) });
    (ok != 0).then_some(done as usize)
}

/// Closes a file that was opened here.
pub(crate) fn file_close(file: File) {
    if let File::Handle(handle) = file {
        // SAFETY: opened by `file_open`.
        preserve(|| unsafe { CloseHandle(handle) });
    }
}

/// The environment as it was when first asked for, kept for the process' life.
static ENVIRONMENT: AtomicPtr<u8> = AtomicPtr::new(null_mut());

/// The block of `NAME=value` strings, each with a NUL, ended by an empty one; null if refused. The
/// system allocates it from the process heap, which is not ours.
fn environment() -> *const u8 {
    // Acquire: pairs with the exchange below.
    let known = ENVIRONMENT.load(Ordering::Acquire);
    if !known.is_null() {
        return known;
    }
    // SAFETY: has no preconditions.
    let fresh = preserve(|| unsafe { GetEnvironmentStrings() });
    if fresh.is_null() {
        return null();
    }
    // AcqRel: publishes the block; the loser uses the winner's.
    match ENVIRONMENT.compare_exchange(null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => fresh,
        Err(winner) => {
            // SAFETY: ours, seen by nobody.
            preserve(|| unsafe { FreeEnvironmentStringsA(fresh) });
            winner
        }
    }
}

/// The value of a variable, in the system's ANSI code page; names are compared without regard to case.
pub(crate) fn env_var(name: &[u8]) -> Option<&'static [u8]> {
    let mut at = environment();
    if at.is_null() || name.is_empty() {
        return None;
    }
    loop {
        // SAFETY: at a string of the block, which is never freed.
        let entry = unsafe { CStr::from_ptr(at.cast()) }.to_bytes();
        if entry.is_empty() {
            return None;
        }
        if entry.get(name.len()) == Some(&b'=') && entry[..name.len()].eq_ignore_ascii_case(name) {
            return Some(&entry[name.len() + 1..]);
        }
        // SAFETY: past the NUL: the next string, or the empty one.
        at = unsafe { at.add(entry.len() + 1) };
    }
}

/// This process' id.
pub(crate) fn process_id() -> u32 {
    // SAFETY: has no preconditions.
    unsafe { GetCurrentProcessId() }
}

/// Registers with the C runtime's `atexit`.
pub(crate) fn at_exit(handler: extern "C" fn()) -> bool {
    unsafe extern "C" {
        fn atexit(handler: extern "C" fn()) -> c_int;
    }
    // SAFETY: the function lives as long as this code.
    preserve(|| unsafe { atexit(handler) }) == 0
}

/// `GetProcessMemoryInfo`.
pub(crate) fn resident() -> Option<Resident> {
    let mut counters = PROCESS_MEMORY_COUNTERS::default();
    let len = size_of::<PROCESS_MEMORY_COUNTERS>() as u32;
    // SAFETY: writes one structure of that length.
    if preserve(|| unsafe { K32GetProcessMemoryInfo(GetCurrentProcess(), &mut counters, len) }) == 0 {
        return None;
    }
    Some(Resident {
        current_bytes: counters.WorkingSetSize,
        peak_bytes: counters.PeakWorkingSetSize,
        minor_faults: u64::from(counters.PageFaultCount),
        major_faults: 0,
    })
}
