//! Where threads keep their caches of tiered pools: a second word of thread-local storage, and a POSIX key whose
//! destructor returns what the caches hold.
//!
//! A process without such pools has neither key nor fork handlers: the first pool makes them. A key's destructors run
//! in rounds and in no order that matters here: a destructor of the program's that releases a block after ours has
//! run finds [`GONE`], and the pool then does without a cache.

use core::ffi::{c_int, c_void};
use core::ptr::{NonNull, eq};
use core::sync::atomic::{AtomicUsize, Ordering};
use libc::pthread_key_t;
use stratalloc::raw;
use stratalloc_os::fork;
use stratalloc_pool::{ThreadCaches, Threads};

/// The caches of a thread that has none yet.
static NONE: ThreadCaches = ThreadCaches::new();
/// The caches of a thread that has none any more.
static GONE: ThreadCaches = ThreadCaches::new();

mod slot {
    stratalloc_os::heap_slot!(super::NONE, "stratalloc_pools");
}

/// The key plus one; 0 while there is none.
static KEY: AtomicUsize = AtomicUsize::new(0);

/// This library's threads.
pub struct Native;

// SAFETY: the slot is the thread's own word. What `own` puts there is allocated for the thread and freed by the key's
// destructor, on the thread, after `end`; no pool is entered.
unsafe impl Threads for Native {
    #[inline(always)]
    fn caches() -> *const ThreadCaches {
        slot::get().cast_const().cast()
    }

    #[cold]
    fn own() -> Option<*const ThreadCaches> {
        let now = Self::caches();
        if eq(now, &raw const GONE) {
            return None;
        }
        if !eq(now, &raw const NONE) {
            return Some(now);
        }
        let key = KEY.load(Ordering::Acquire).checked_sub(1)? as pthread_key_t;
        let place = NonNull::new(raw::alloc(size_of::<ThreadCaches>()))?.cast::<ThreadCaches>();
        // SAFETY: a fresh block of this size; blocks are aligned to 16 B.
        unsafe { place.write(ThreadCaches::new()) };
        // SAFETY: the key exists; its destructor takes such a pointer.
        if unsafe { libc::pthread_setspecific(key, place.as_ptr().cast()) } != 0 {
            // SAFETY: our block, which nobody saw.
            unsafe { raw::dealloc(place.as_ptr().cast()) };
            return None;
        }
        slot::set(place.as_ptr().cast());
        Some(place.as_ptr())
    }
}

const _: () = assert!(align_of::<ThreadCaches>() <= 16);

/// The thread ends: its caches go back to their pools.
unsafe extern "C" fn leave(own: *mut c_void) {
    slot::set((&raw const GONE).cast_mut().cast());
    let own = own.cast::<ThreadCaches>();
    // SAFETY: made by `own` on this thread, and not in the slot any more.
    unsafe {
        (*own).end();
        raw::dealloc(own.cast());
    }
}

unsafe extern "C" fn prepare() {
    stratalloc_pool::before_fork();
}

unsafe extern "C" fn after() {
    // SAFETY: after `prepare`, on its thread or in the child.
    unsafe { stratalloc_pool::after_fork() };
}

fn yield_now() {
    // SAFETY: no preconditions.
    unsafe { libc::sched_yield() };
}

/// Before the first tiered pool: makes the key and registers the handlers. False: the process has no key left.
pub fn init() -> bool {
    if KEY.load(Ordering::Acquire) != 0 {
        return true;
    }
    let mut key: pthread_key_t = 0;
    // SAFETY: `key` is ours; the destructor stays, as the library cannot be unloaded.
    if unsafe { libc::pthread_key_create(&mut key, Some(leave)) } != 0 {
        return KEY.load(Ordering::Acquire) != 0;
    }
    // AcqRel: one thread's key is published; the others find it.
    if KEY.compare_exchange(0, key as usize + 1, Ordering::AcqRel, Ordering::Acquire).is_err() {
        // SAFETY: created above, used by nobody.
        unsafe { libc::pthread_key_delete(key) };
        return true;
    }
    stratalloc_pool::set_yield(yield_now);
    // Without memory for them, a child of a fork does without.
    let _ = fork::register(prepare, after, after);
    true
}

/// Processors that the process may use, at least 1: for the number of a pool's stripes.
pub fn processors() -> usize {
    // SAFETY: no preconditions.
    let online: c_int = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) } as c_int;
    usize::try_from(online).unwrap_or(1).max(1)
}
