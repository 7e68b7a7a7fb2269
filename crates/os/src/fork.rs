//! Handlers around `fork`.
//!
//! An allocator takes its locks before a fork and resets them after it, so that the child finds whole
//! data. POSIX runs `prepare` handlers in reverse order of registration and the others in order, so
//! an allocator that registers first prepares last and is ready again first: other libraries'
//! handlers may allocate.
//!
//! glibc does not serialise forks of several threads with each other's handlers: a handler must not
//! count nesting in one global word.

/// Registers handlers; false if libc has no memory for them.
///
/// `prepare` runs in the parent before the fork, `parent` and `child` after it. On glibc the handlers
/// belong to the shared object that this code is linked into, and go with it when it is closed.
///
/// May allocate (glibc: for the 49th registration of a process) and takes a lock of libc's; call it
/// with a heap published and no allocator lock held. Does not change `errno`.
pub fn register(
    prepare: unsafe extern "C" fn(),
    parent: unsafe extern "C" fn(),
    child: unsafe extern "C" fn(),
) -> bool {
    // SAFETY: the functions live as long as this code, and libc drops them with it.
    crate::errno::preserve(|| unsafe { at_fork(prepare, parent, child) }) == 0
}

/// A handler.
type Handler = unsafe extern "C" fn();

/// `pthread_atfork`.
///
/// # Safety
/// The functions live as long as this code.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
unsafe fn at_fork(prepare: Handler, parent: Handler, child: Handler) -> core::ffi::c_int {
    // SAFETY: the caller's functions.
    unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) }
}

/// What glibc's `pthread_atfork` does, which is not in its shared library but in an archive that is linked into each
/// other one: called from there it lies, with the table that its call goes by, behind all code of ours, and makes 24 KiB
/// more of that resident in every process.
///
/// # Safety
/// The functions live as long as this code.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
unsafe fn at_fork(prepare: Handler, parent: Handler, child: Handler) -> core::ffi::c_int {
    unsafe extern "C" {
        /// glibc's since 2.3.2; `object`: who the handlers belong to.
        fn __register_atfork(
            prepare: Option<Handler>,
            parent: Option<Handler>,
            child: Option<Handler>,
            object: *const core::ffi::c_void,
        ) -> core::ffi::c_int;
        /// The shared object that this code is in; the compiler's start files have it.
        static __dso_handle: u8;
    }
    // SAFETY: the caller's functions; of the object only the address is taken.
    unsafe { __register_atfork(Some(prepare), Some(parent), Some(child), (&raw const __dso_handle).cast()) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::sync::Mutex;

    /// Held by tests that fork: the handlers below belong to the whole process.
    pub(crate) static FORKS: Mutex<()> = Mutex::new(());
    static TRACE: AtomicUsize = AtomicUsize::new(0);

    unsafe extern "C" fn prepare() {
        TRACE.store(TRACE.load(SeqCst) * 10 + 1, SeqCst);
    }
    unsafe extern "C" fn parent() {
        TRACE.store(TRACE.load(SeqCst) * 10 + 2, SeqCst);
    }
    unsafe extern "C" fn child() {
        TRACE.store(TRACE.load(SeqCst) * 10 + 3, SeqCst);
    }

    #[test]
    fn handlers_run_around_a_fork() {
        let _alone = FORKS.lock();
        assert!(register(prepare, parent, child));
        // SAFETY: the child only reads an atomic and exits.
        match unsafe { libc::fork() } {
            // SAFETY: ends the child at once.
            0 => unsafe { libc::_exit(if TRACE.load(SeqCst) == 13 { 7 } else { 1 }) },
            pid => {
                let mut status = 0;
                // SAFETY: waits for the child above.
                assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
                assert_eq!(libc::WEXITSTATUS(status), 7);
                assert_eq!(TRACE.load(SeqCst), 12);
            }
        }
    }
}
