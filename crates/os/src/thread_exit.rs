//! A hook that runs when a thread leaves: a POSIX thread-specific key.
//!
//! `init` creates the key once, `arm` marks the calling thread, and the key's destructor calls the
//! hook. Two things about keys shape this file:
//!
//! * Destructors run in rounds, four of them in every libc, each going through the keys in order of
//!   creation. An allocator's key is created early, so its destructor would run *first*, and all
//!   others would free into a heap that is gone. So ours postpones itself, by setting its value again,
//!   to the third round: late enough for destructors that postpone themselves once or twice, and one
//!   round early, so that a heap which the last destructors start anew is still caught in the fourth.
//! * glibc's `pthread_setspecific` calls `calloc` for keys from 32 on, the first time in each thread.
//!   **The caller must have published its heap before [`arm`]**, so that this nested call finds it.
//!
//! Also called by `unload` (Linux), which deletes the key when a shared library leaves or the process
//! ends; threads that leave later simply do not run the hook. No locks: creation is a race that one
//! thread wins, so that a fork at any moment leaves nothing half done.

use crate::errno::preserve;
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use libc::pthread_key_t;

/// The key plus one; 0 while there is none.
static KEY: AtomicUsize = AtomicUsize::new(0);
/// What to run, as a function's address; null while there is none.
static HOOK: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// The value of an armed thread's key in round one; the destructor counts it up.
const FIRST_ROUND: usize = 1;
/// The round in which the hook runs.
const LAST_ROUND: usize = 3;
/// The value after the hook ran: should there be another round, run it again.
const AGAIN: usize = 4;

/// Creates the key; `hook` runs on every thread that [`arm`]s itself, when that thread leaves.
///
/// False: the system has no key left, and no hook will run. Idempotent: later calls change nothing.
/// Any thread may call it, several at once too. Does not allocate, does not change `errno`.
///
/// The hook may run more than once on a thread and may find nothing to do.
pub fn init(hook: unsafe extern "C" fn()) -> bool {
    // Acquire: pairs with the exchange below; who sees the key sees the hook.
    if KEY.load(Ordering::Acquire) != 0 {
        return true;
    }
    // Release: pairs with `run_hook`'s load. Racing callers pass the same hook.
    HOOK.store(hook as *mut (), Ordering::Release);
    let mut key: pthread_key_t = 0;
    // SAFETY: `key` is ours, the destructor lives as long as this code (`unload` deletes the key).
    if preserve(|| unsafe { libc::pthread_key_create(&mut key, Some(destructor)) }) != 0 {
        return KEY.load(Ordering::Acquire) != 0;
    }
    // AcqRel: publishes the key and the hook; the loser sees the winner's.
    if KEY.compare_exchange(0, key as usize + 1, Ordering::AcqRel, Ordering::Acquire).is_err() {
        // Another thread was faster: ours is one too many.
        // SAFETY: created above, used by nobody.
        preserve(|| unsafe { libc::pthread_key_delete(key) });
    }
    true
}

/// Makes the hook run when the calling thread leaves.
///
/// False: there is no key, or libc had no memory for the thread's value. Idempotent. May call
/// `calloc`: publish the thread's heap first. Does not change `errno`.
pub fn arm() -> bool {
    let Some(key) = key() else { return false };
    // While the thread leaves, the destructor's own mark stays: it says which round it is.
    // SAFETY: the key exists.
    if !unsafe { libc::pthread_getspecific(key) }.is_null() {
        return true;
    }
    set(key, FIRST_ROUND)
}

/// Deletes the key: no hook runs after this, and the code of the hook may be unloaded.
///
/// For a shared library that is closed; on Linux that happens by itself. Threads that still live keep
/// what the hook would have freed. [`init`] may be called again. A thread inside [`arm`] at this
/// moment is the caller's error, as it is for all code that is being unloaded.
pub fn shutdown() {
    // AcqRel: one caller gets the key.
    let key = KEY.swap(0, Ordering::AcqRel);
    if key != 0 {
        // SAFETY: ours, and nobody else deletes it.
        preserve(|| unsafe { libc::pthread_key_delete((key - 1) as pthread_key_t) });
    }
}

/// The key, once created.
fn key() -> Option<pthread_key_t> {
    // Acquire: pairs with the exchange in `init`.
    KEY.load(Ordering::Acquire).checked_sub(1).map(|key| key as pthread_key_t)
}

/// Sets the calling thread's value.
fn set(key: pthread_key_t, value: usize) -> bool {
    let value: *const c_void = core::ptr::without_provenance(value);
    // SAFETY: the key exists; the value is a number that nobody follows.
    let error: c_int = preserve(|| unsafe { libc::pthread_setspecific(key, value) });
    error == 0
}

/// Counts rounds and runs the hook in the third. libc set the value to null before the call.
unsafe extern "C" fn destructor(value: *mut c_void) {
    let round = value.addr();
    if round < LAST_ROUND {
        if key().is_some_and(|key| set(key, round + 1)) {
            return;
        }
    } else if round == LAST_ROUND {
        // Marked before the hook runs: what the hook itself starts anew is caught too.
        let _ = key().is_some_and(|key| set(key, AGAIN));
    }
    run_hook();
}

/// Runs the hook.
fn run_hook() {
    // Acquire: pairs with the store in `init`.
    let hook = HOOK.load(Ordering::Acquire);
    if !hook.is_null() {
        // SAFETY: `init` stored a function of exactly this type.
        let hook = unsafe { core::mem::transmute::<*mut (), unsafe extern "C" fn()>(hook) };
        // SAFETY: the promise of who passed it: it may run on any thread.
        unsafe { hook() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::thread;
    use std::vec::Vec;

    static EVENTS: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    static OTHER: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn hook() {
        EVENTS.lock().unwrap().push(0);
    }

    /// A foreign key's destructor, which postpones itself once, like a library that frees late.
    unsafe extern "C" fn foreign(value: *mut c_void) {
        EVENTS.lock().unwrap().push(value.addr());
        if value.addr() == 100 {
            let key = OTHER.load(Ordering::Relaxed) as pthread_key_t;
            // SAFETY: the key exists.
            unsafe { libc::pthread_setspecific(key, core::ptr::without_provenance(101)) };
        }
    }

    #[test]
    fn the_hook_runs_after_all_other_destructors_also_beyond_32_keys() {
        // Half of the other keys before ours, half after; ours is beyond 32 then.
        let mut keys = Vec::new();
        let mut create = |count| {
            for _ in 0..count {
                let mut key: pthread_key_t = 0;
                // SAFETY: writes the key.
                assert_eq!(unsafe { libc::pthread_key_create(&mut key, Some(foreign)) }, 0);
                keys.push(key);
            }
        };
        create(50);
        assert!(init(hook));
        assert!(init(hook));
        create(50);
        OTHER.store(keys[70] as usize, Ordering::Relaxed);

        let other_keys = keys.clone();
        thread::spawn(move || {
            assert!(arm());
            assert!(arm());
            for (i, key) in other_keys.iter().enumerate() {
                let value = core::ptr::without_provenance(if i == 70 { 100 } else { i + 1000 });
                // SAFETY: the key exists.
                assert_eq!(unsafe { libc::pthread_setspecific(*key, value) }, 0);
            }
        })
        .join()
        .unwrap();
        {
            let events = EVENTS.lock().unwrap();
            assert_eq!(events.len(), 100 + 1 + 2, "{events:?}");
            assert!(events[..101].iter().all(|&e| e != 0), "{events:?}");
            assert_eq!(events[101..], [0, 0]);
        }

        EVENTS.lock().unwrap().clear();
        thread::spawn(|| ()).join().unwrap();
        assert!(EVENTS.lock().unwrap().is_empty(), "a thread that is not armed runs no hook");

        thread::spawn(|| assert!(arm())).join().unwrap();
        assert_eq!(*EVENTS.lock().unwrap(), [0, 0]);

        EVENTS.lock().unwrap().clear();
        shutdown();
        assert!(!arm());
        assert!(init(hook), "may be created again");
        thread::spawn(|| assert!(arm())).join().unwrap();
        assert_eq!(*EVENTS.lock().unwrap(), [0, 0]);
        for key in keys {
            // SAFETY: created above.
            unsafe { libc::pthread_key_delete(key) };
        }
    }
}
