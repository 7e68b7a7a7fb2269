//! A shared library that uses the crate as an allocator's `.so` would; `tests/loaded.rs` preloads it,
//! opens it with `dlopen`, and closes it again.

#[cfg(unix)]
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

static EMPTY: u64 = 11;

mod slot {
    stratalloc_os::heap_slot!(super::EMPTY, "stratalloc_os_probe");

    /// Reads the slot; also what one looks at in a disassembly.
    #[unsafe(no_mangle)]
    pub extern "C" fn probe_get() -> *mut u8 {
        get()
    }

    /// Writes the slot.
    #[unsafe(no_mangle)]
    pub extern "C" fn probe_set(value: *mut u8) {
        set(value);
    }
}

/// The address that a thread's slot starts with.
#[unsafe(no_mangle)]
pub extern "C" fn probe_empty() -> *const u64 {
    &raw const EMPTY
}

/// The host's word that events are counted in.
#[cfg(unix)]
static COUNTER: AtomicUsize = AtomicUsize::new(0);

#[cfg(unix)]
fn count(by: usize) {
    let counter: *const AtomicUsize = std::ptr::with_exposed_provenance(COUNTER.load(SeqCst));
    // SAFETY: `probe_start` was given a word that outlives the process' threads.
    unsafe { (*counter).fetch_add(by, SeqCst) };
}

#[cfg(unix)]
unsafe extern "C" fn thread_left() {
    count(1);
}

#[cfg(unix)]
unsafe extern "C" fn forked() {
    count(1_000_000);
}

/// Registers the thread-exit hook and fork handlers; events add to `counter`: 1 for a thread that
/// left, a million for each fork handler.
#[cfg(unix)]
#[unsafe(no_mangle)]
pub extern "C" fn probe_start(counter: &'static AtomicUsize) -> bool {
    COUNTER.store(std::ptr::from_ref(counter).expose_provenance(), SeqCst);
    stratalloc_os::thread_exit::init(thread_left) && stratalloc_os::fork::register(forked, forked, forked)
}

/// Arms the calling thread.
#[cfg(unix)]
#[unsafe(no_mangle)]
pub extern "C" fn probe_arm() -> bool {
    stratalloc_os::thread_exit::arm()
}

/// True when the process has threads; links the weak reference to libc's flag into a library.
#[unsafe(no_mangle)]
pub extern "C" fn probe_is_threaded() -> bool {
    stratalloc_core::os::Os::is_threaded(&stratalloc_os::NATIVE)
}

/// Says, when preloaded with `STRATALLOC_PROBE` in the environment, that the slot works.
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn(i32, *const *const u8, *const *const u8) = {
    extern "C" fn start(_count: i32, _args: *const *const u8, envp: *const *const u8) {
        // SAFETY: the dynamic loader passes the environment.
        let asked = unsafe { stratalloc_os::process::env_var_in(envp, b"STRATALLOC_PROBE") };
        if asked.is_some() {
            let fresh = slot::probe_get().cast_const().cast() == probe_empty();
            slot::probe_set(std::ptr::null_mut());
            let works = fresh && slot::probe_get().is_null();
            let text: &[u8] = if works { b"probe works\n" } else { b"probe fails\n" };
            stratalloc_os::process::RawFile::stderr().write_bytes(text);
        }
    }
    start
};
