//! What [`crate::process`] asks of Linux: files, environment, figures, the clock.

use super::sys;
use crate::process::{Access, Resident};
use core::ffi::{CStr, c_char, c_int};

/// An open file.
pub(crate) type File = c_int;
/// Standard error.
pub(crate) const STDERR: File = 2;

/// The calling thread's `errno`.
pub(crate) fn errno_location() -> *mut c_int {
    // SAFETY: has no preconditions.
    unsafe { crate::errno_word() }
}

/// libc's environment; null before libc is initialised.
pub(crate) fn environ() -> *const *const c_char {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: a word that libc defines; volatile because libc and the program replace it.
    unsafe { (&raw const environ).read_volatile() }
}

/// Reads a clock of libc's that exists since Linux 2.6.32.
fn clock(clock: libc::clockid_t) -> libc::timespec {
    let mut now = core::mem::MaybeUninit::<libc::timespec>::zeroed();
    // The vDSO's function: no system call, and errno is written on failure only.
    // SAFETY: libc writes one timespec.
    unsafe {
        libc::clock_gettime(clock, now.as_mut_ptr());
        now.assume_init()
    }
}

/// Milliseconds of the coarse monotonic clock.
pub(super) fn coarse_ms() -> u64 {
    let now = clock(libc::CLOCK_MONOTONIC_COARSE);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// Nanoseconds of the monotonic clock.
pub(super) fn fine_ns() -> u64 {
    let now = clock(libc::CLOCK_MONOTONIC);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Opens a file.
pub(crate) fn file_open(path: &CStr, access: Access) -> Option<File> {
    let flags = match access {
        Access::Read => libc::O_RDONLY,
        Access::Create => libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC,
        Access::Append => libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND,
    };
    sys::open(path, flags).ok()
}

/// Reads up to the slice's length, again when interrupted; 0 is the end.
pub(crate) fn file_read(file: File, into: &mut [u8]) -> Option<usize> {
    loop {
        match sys::read(file, into) {
            Err(libc::EINTR) => {}
            result => return result.ok(),
        }
    }
}

/// Writes a part of the text, again when interrupted.
pub(crate) fn file_write(file: File, text: &[u8]) -> Option<usize> {
    loop {
        match sys::write(file, text) {
            Err(libc::EINTR) => {}
            result => return result.ok(),
        }
    }
}

/// Closes a file.
pub(crate) fn file_close(file: File) {
    sys::close(file);
}

/// `VmRSS` and `VmHWM` of `/proc/self/status`, page faults of `getrusage`. (`getrusage`'s own peak is
/// not used: the kernel carries it over `exec`, so a small program shows its parent's.)
pub(crate) fn resident() -> Option<Resident> {
    let mut usage = core::mem::MaybeUninit::<libc::rusage>::zeroed();
    let who = libc::RUSAGE_SELF as usize;
    // SAFETY: the kernel writes one rusage.
    unsafe { sys::call3(libc::SYS_getrusage, who, usage.as_mut_ptr() as usize, 0) }.ok()?;
    // SAFETY: zeroed before, all fields are numbers.
    let usage = unsafe { usage.assume_init() };

    let mut buffer = [0u8; 4096];
    let text = crate::process::read_file(c"/proc/self/status", &mut buffer)?;
    let current = kib_after(text, b"\nVmRSS:")?;
    let peak = kib_after(text, b"\nVmHWM:").map_or(current, |peak| peak.max(current));
    Some(Resident {
        current_bytes: current << 10,
        peak_bytes: peak << 10,
        minor_faults: usage.ru_minflt as u64,
        major_faults: usage.ru_majflt as u64,
    })
}

/// The number that follows `key` and white space.
fn kib_after(text: &[u8], key: &[u8]) -> Option<usize> {
    let at = text.windows(key.len()).position(|window| window == key)? + key.len();
    let mut value = None;
    for &byte in &text[at..] {
        match byte {
            b'0'..=b'9' => value = Some(value.unwrap_or(0usize).checked_mul(10)? + usize::from(byte - b'0')),
            b' ' | b'\t' if value.is_none() => {}
            _ => break,
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines_are_found() {
        let text = b"Name:\tx\nVmHWM:\t    1904 kB\nVmRSS:\t    12 kB\n";
        assert_eq!(kib_after(text, b"\nVmHWM:"), Some(1904));
        assert_eq!(kib_after(text, b"\nVmRSS:"), Some(12));
        assert_eq!(kib_after(text, b"\nVmSwap:"), None);
    }
}
