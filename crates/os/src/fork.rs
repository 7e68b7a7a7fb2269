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
    crate::errno::preserve(|| unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) }) == 0
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
