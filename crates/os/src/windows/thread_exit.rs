//! A hook that runs when a thread leaves: fiber-local storage with a callback.
//!
//! Callbacks run when a thread ends, but also when a fiber is deleted and when the index is freed. The
//! value tells which thread armed itself: a callback on another thread runs no hook. A thread whose
//! arming fiber is deleted loses its heap early and simply starts another.
//!
//! `init` creates the index once, `arm` marks the calling thread. No locks: creation is a race that
//! one thread wins.

use core::ffi::c_void;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use windows_sys::Win32::System::Threading::{
    FLS_OUT_OF_INDEXES, FlsAlloc, FlsFree, FlsGetValue, FlsSetValue, GetCurrentThreadId,
};

/// The index plus one; 0 while there is none.
static INDEX: AtomicU32 = AtomicU32::new(0);
/// What to run, as a function's address; null while there is none.
static HOOK: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Creates the index; `hook` runs on every thread that [`arm`]s itself, when that thread leaves.
///
/// False: the system has no index left, and no hook will run. Idempotent: later calls change nothing.
/// Any thread may call it. The hook may run more than once on a thread and may find nothing to do.
pub fn init(hook: unsafe extern "C" fn()) -> bool {
    // Acquire: pairs with the exchange below; who sees the index sees the hook.
    if INDEX.load(Ordering::Acquire) != 0 {
        return true;
    }
    // Release: pairs with the callback's load. Racing callers pass the same hook.
    HOOK.store(hook as *mut (), Ordering::Release);
    // SAFETY: the callback lives as long as this code.
    let index = unsafe { FlsAlloc(Some(callback)) };
    if index == FLS_OUT_OF_INDEXES {
        return INDEX.load(Ordering::Acquire) != 0;
    }
    // AcqRel: publishes the index and the hook; the loser sees the winner's.
    if INDEX.compare_exchange(0, index + 1, Ordering::AcqRel, Ordering::Acquire).is_err() {
        // SAFETY: allocated above, used by nobody.
        unsafe { FlsFree(index) };
    }
    true
}

/// Makes the hook run when the calling thread leaves.
///
/// False: there is no index, or the system had no memory for the thread's value. Idempotent. Publish
/// the thread's heap first.
pub fn arm() -> bool {
    // Acquire: pairs with the exchange in `init`.
    let Some(index) = INDEX.load(Ordering::Acquire).checked_sub(1) else { return false };
    crate::native::preserve(|| {
        // SAFETY: the index exists.
        if !unsafe { FlsGetValue(index) }.is_null() {
            return true;
        }
        // SAFETY: reads the thread's block.
        let thread = unsafe { GetCurrentThreadId() } as usize;
        // SAFETY: the index exists; the value is a number that nobody follows.
        unsafe { FlsSetValue(index, core::ptr::without_provenance(thread)) != 0 }
    })
}

/// Frees the index: no hook runs after this, except now on the calling thread if it is armed.
///
/// For a library that is unloaded: its `DllMain` must call this.
pub fn shutdown() {
    // AcqRel: one caller gets the index.
    if let Some(index) = INDEX.swap(0, Ordering::AcqRel).checked_sub(1) {
        // SAFETY: ours, and nobody else frees it.
        unsafe { FlsFree(index) };
    }
}

/// Runs the hook if the value was set by the thread that this runs on.
unsafe extern "system" fn callback(value: *const c_void) {
    // SAFETY: reads the thread's block.
    if value.addr() != unsafe { GetCurrentThreadId() } as usize {
        return;
    }
    // Acquire: pairs with the store in `init`.
    let hook = HOOK.load(Ordering::Acquire);
    if !hook.is_null() {
        // SAFETY: `init` stored a function of exactly this type.
        let hook = unsafe { core::mem::transmute::<*mut (), unsafe extern "C" fn()>(hook) };
        // SAFETY: the promise of who passed it: it may run on any thread.
        unsafe { hook() };
    }
}
