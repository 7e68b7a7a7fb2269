//! Keeping `errno` as the caller left it around calls into libc.
//!
//! Called by every module that goes through libc rather than through raw system calls. An allocation
//! that succeeds must not change `errno`, and one that fails has it set by the layer that knows why.

/// Runs `call` and puts the calling thread's `errno` back.
#[inline]
pub(crate) fn preserve<R>(call: impl FnOnce() -> R) -> R {
    let errno = crate::native::errno_location();
    // SAFETY: libc's errno location is valid for reads as long as the calling thread lives.
    let before = unsafe { errno.read() };
    let result = call();
    // SAFETY: as above, for writes.
    unsafe { errno.write(before) };
    result
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_failing_call_leaves_errno_alone() {
        let errno = crate::native::errno_location();
        // SAFETY: errno is this thread's own word.
        unsafe { errno.write(1234) };
        // SAFETY: closing a descriptor that cannot exist touches nothing.
        let failed = super::preserve(|| unsafe { libc::close(-1) });
        assert_eq!(failed, -1);
        // SAFETY: as above.
        assert_eq!(unsafe { errno.read() }, 1234);
    }
}
